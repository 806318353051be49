//! Writes the ledger.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use ledger::Entry;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// Maximum number of entries that wait to be written; if it is reached, the senders wait.
const QUEUE: usize = 4_096;

/// Maximum number of entries that are written with one system call.
const AT_ONCE: usize = 1_024;

/// Truncates the file, and writes the entries that are sent, until the last sender is dropped.
pub(crate) fn open(path: &Path) -> Result<(Sender<Entry>, JoinHandle<Result<()>>)> {
    let failed = format!("cannot write the ledger {}", path.display());
    let file = File::create(path).with_context(|| failed.clone())?;
    let (entries, received) = mpsc::channel(QUEUE);
    let writer = tokio::task::spawn_blocking(move || write(file, received).context(failed));
    Ok((entries, writer))
}

/// Writes the entries. Every system call writes complete lines, so a program that is killed leaves
/// no incomplete line.
fn write(mut file: File, mut entries: Receiver<Entry>) -> Result<()> {
    let (mut received, mut lines) = (Vec::new(), Vec::new());
    while entries.blocking_recv_many(&mut received, AT_ONCE) > 0 {
        for entry in received.drain(..) {
            ledger::write(&mut lines, &entry)?;
        }
        file.write_all(&lines)?;
        lines.clear();
    }
    Ok(file.sync_all()?)
}
