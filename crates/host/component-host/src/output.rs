//! The destination of the components' standard output: that of the program, files, or both.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::Error;
use spin_app::app::App;

/// The most bytes that are accepted at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The destination of the output of an application's components. By default all of it goes to the
/// program's standard error, where each line begins with the id of the component.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    dir: Option<PathBuf>,
    follow: Follow,
}

/// The components whose output is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Follow {
    /// All components.
    #[default]
    All,
    /// No component.
    None,
    /// These components.
    Only(BTreeSet<String>),
}

impl Follow {
    fn has(&self, component: &str) -> bool {
        match self {
            Follow::All => true,
            Follow::None => false,
            Follow::Only(ids) => ids.contains(component),
        }
    }
}

impl Outputs {
    /// Shows the output of the followed components on standard error. If `dir` is given, the output
    /// of each component also goes to `<component>_stdout.txt` and `<component>_stderr.txt` in it;
    /// the folder is created if it is missing.
    pub fn new(app: &App, dir: Option<&Path>, follow: Follow) -> Result<Self, Error> {
        if let Follow::Only(ids) = &follow
            && let Some(unknown) = ids.iter().find(|id| app.component(id).is_none())
        {
            let known: Vec<&str> = app.components.iter().map(|c| c.id.as_str()).collect();
            return Err(Error::Follow { component: unknown.clone(), known: known.join(", ") });
        }
        if let Some(dir) = dir {
            std::fs::create_dir_all(dir)
                .map_err(|source| Error::Log { path: dir.into(), source })?;
        }
        Ok(Self { dir: dir.map(Into::into), follow })
    }

    /// Empties the log files.
    pub fn truncate(&self, app: &App) -> Result<(), Error> {
        let Some(dir) = &self.dir else { return Ok(()) };
        for component in &app.components {
            for stream in ["stdout", "stderr"] {
                let path = file_name(dir, &component.id, stream);
                if path.exists() {
                    File::create(&path).map_err(|source| Error::Log { path, source })?;
                }
            }
        }
        Ok(())
    }

    /// The output of one component.
    pub(crate) fn for_component(&self, component: &str) -> Result<Output, Error> {
        let shown = self.follow.has(component).then(|| Arc::from(component));
        let sink = |stream: &str| {
            let open = |dir| {
                let path = file_name(dir, component, stream);
                match OpenOptions::new().create(true).append(true).open(&path) {
                    Ok(file) => {
                        Ok(Arc::new(LogFile { path, file, failed: AtomicBool::new(false) }))
                    }
                    Err(source) => Err(Error::Log { path, source }),
                }
            };
            let file = self.dir.as_deref().map(open).transpose()?;
            Ok::<_, Error>(Sink { file, shown: shown.clone() })
        };
        Ok(Output { stdout: sink("stdout")?, stderr: sink("stderr")? })
    }
}

/// A valid file name for any id: characters other than letters, digits, `-` and `_` are removed.
fn file_name(dir: &Path, component: &str, stream: &str) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let component: String = component.chars().map(safe).collect();
    dir.join(format!("{component}_{stream}.txt"))
}

/// One component's output.
#[derive(Clone)]
pub(crate) struct Output {
    pub stdout: Sink,
    pub stderr: Sink,
}

/// An open log file.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether a failed write was already reported.
    failed: AtomicBool,
}

/// A stream for a guest's output. A write blocks as long as the file or the terminal does.
#[derive(Clone)]
pub(crate) struct Sink {
    file: Option<Arc<LogFile>>,
    /// The id of the component, if its output is shown on standard error.
    shown: Option<Arc<str>>,
}

/// The output of all components on standard error. Each line begins with the id of its component.
struct Shown {
    /// The component whose last line has no end yet. If another component writes, the line ends.
    incomplete: Option<Arc<str>>,
}

static SHOWN: Mutex<Shown> = Mutex::new(Shown { incomplete: None });

impl Shown {
    fn with_ids(&mut self, component: &Arc<str>, bytes: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(bytes.len() + component.len() + 3);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.incomplete.as_ref() != Some(component) {
                if self.incomplete.is_some() {
                    lines.push(b'\n');
                }
                lines.extend_from_slice(component.as_bytes());
                lines.extend_from_slice(b": ");
            }
            lines.extend_from_slice(line);
            self.incomplete = (!line.ends_with(b"\n")).then(|| component.clone());
        }
        lines
    }
}

impl Sink {
    /// Never fails: a guest whose output fails would trap, and valid records would fail with it.
    fn write_all(&self, bytes: &[u8]) {
        if let Some(LogFile { path, file, failed }) = self.file.as_deref()
            && let Err(error) = (&*file).write_all(bytes)
            && !failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(path = %path.display(), %error, "output of a component is lost");
        }
        if let Some(component) = &self.shown {
            // Locked until the lines are written, so that they are written in this order.
            let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = shown.with_ids(component, bytes);
            // If standard error is closed, the error cannot be reported anywhere.
            let _ = io::stderr().write_all(&lines);
        }
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_all(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_to_a_full_disk_does_not_fail_in_the_guest() {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let file = LogFile { path, file, failed: AtomicBool::new(false) };
        let mut sink = Sink { file: Some(Arc::new(file)), shown: None };
        assert!(OutputStream::write(&mut sink, Bytes::from_static(b"lost")).is_ok());
        assert!(sink.file.unwrap().failed.load(Ordering::Relaxed));
    }

    fn shown(writes: &[(&str, &str)]) -> String {
        let mut shown = Shown { incomplete: None };
        let lines =
            writes.iter().flat_map(|(id, text)| shown.with_ids(&(*id).into(), text.as_bytes()));
        String::from_utf8(lines.collect()).unwrap()
    }

    #[test]
    fn each_shown_line_begins_with_the_id_of_the_component() {
        let writes = ["one\ntw", "o\n", "", "\n", "three"].map(|text| ("orders", text));
        assert_eq!(shown(&writes), "orders: one\norders: two\norders: \norders: three");
    }

    #[test]
    fn a_line_ends_if_another_component_writes() {
        let writes = [("orders", "on"), ("sales", ""), ("sales", "two\n"), ("orders", "e\n")];
        assert_eq!(shown(&writes), "orders: on\nsales: two\norders: e\n");
    }

    #[test]
    fn the_file_of_any_id_is_in_the_folder() {
        let name = file_name(Path::new("logs"), "../a.b/c", "stdout");
        assert_eq!(name, Path::new("logs/___a_b_c_stdout.txt"));
    }
}
