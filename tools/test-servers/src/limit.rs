//! Limits on a running process.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Limits the size of the files that a running process writes to `bytes`; `None` removes the limit.
///
/// A write beyond the limit fails with `EFBIG` in a process that ignores the signal `SIGXFSZ`, such
/// as a JVM; this simulates a full disk. Any other process is ended by the signal. Bytes that have
/// been written already are kept, but cannot be overwritten. The limit also applies to the file to
/// which the process logs.
///
/// Fails if there is no such process, or if it belongs to another user.
pub fn limit_file_size(pid: u32, bytes: Option<u64>) -> Result<()> {
    let process = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{pid} is not a running process"))?;
    // The hard limit remains as child processes inherit it from this process: once lowered, it
    // could not be raised again.
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    prlimit(Some(process), Resource::Fsize, Rlimit { current, maximum })
        .with_context(|| format!("cannot limit the files of process {pid}"))?;
    Ok(())
}
