//! The secrets of the tests, and the log, which must not contain any of them.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

/// Lines of the log that a failed wait shows.
const TAIL_LINES: usize = 30;
/// A shorter line of a PEM text (its last one) could appear in a log by chance.
const LINE_BYTES_MIN: usize = 16;

static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The log of the process at all levels.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Captures the log from now on.
pub fn capture() {
    LazyLock::force(&LOG);
}

fn log() -> String {
    String::from_utf8_lossy(&LOG.0.lock().unwrap()).into_owned()
}

/// Adds to the secrets; a PEM text line by line.
pub fn keep(secret: String) -> String {
    let lines = secret.lines().filter(|line| !line.starts_with("-----"));
    let lines = lines.filter(|line| line.len() >= LINE_BYTES_MIN);
    SECRETS.lock().unwrap().extend(lines.map(str::to_owned));
    secret
}

/// A new password.
pub fn password() -> String {
    keep(std::iter::repeat_with(fastrand::alphanumeric).take(24).collect())
}

/// Waits for a line that contains all these parts.
pub async fn until_logged(parts: &[&str]) {
    let is_logged = || log().lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let wait = async {
        while !is_logged() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(crate::support::WAIT_LIMIT, wait).await.is_err() {
        let log = log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        panic!("no line of the log holds {parts:?}:\n{tail}");
    }
}

/// The text must not contain a secret.
pub fn assert_none_in(text: &str) {
    let secrets = SECRETS.lock().unwrap().clone();
    assert!(!secrets.is_empty());
    for secret in &secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "a secret is shown");
    }
}

/// No test of the process may have logged a secret so far.
pub fn assert_none_logged() {
    assert_none_in(&log());
}
