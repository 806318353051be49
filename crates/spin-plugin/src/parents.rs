//! `spin up`, while it lives. It starts `spin trigger-kafka`, which starts this program; if either
//! is killed nobody tells, and a consumer that nobody can stop would go on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, getppid};

/// How often they are looked for.
const INTERVAL: Duration = Duration::from_millis(250);

/// Spin's executable, as Spin says it to what it starts.
const SPIN: &str = "SPIN_BIN_PATH";

/// The processes that started this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parents {
    parent: Option<Pid>,
    /// The parent's parent; none where it cannot be asked.
    grandparent: Option<u32>,
}

impl Parents {
    /// As they are now.
    pub fn now() -> Self {
        let parent = getppid();
        Self { parent, grandparent: parent.and_then(parent_of) }
    }

    /// Whether Spin started this program and is gone already.
    pub fn are_gone(&self) -> bool {
        let Some(spin) = std::env::var_os(SPIN).map(PathBuf::from) else { return false };
        match self.parent.map(executable) {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(executable)) => executable != spin && !is_same_file(&executable, &spin),
        }
    }

    /// Returns once one of them is gone.
    pub async fn gone(self) {
        while Self::now() == self {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

fn executable(pid: Pid) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()))
}

/// Links may lead to it, and an upgrade may have replaced it: then nothing is known.
fn is_same_file(running: &Path, named: &Path) -> bool {
    match (running.canonicalize(), named.canonicalize()) {
        (Ok(running), Ok(named)) => running == named,
        _ => true,
    }
}

/// The fourth field of `/proc/<pid>/stat`; the second is a name in brackets and may hold any.
fn parent_of(pid: Pid) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(1)?.parse().ok()
}
