//! Limits on a running process.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Lets no file that a running process writes grow beyond `bytes`; none lifts the limit.
///
/// A write beyond it fails with `EFBIG` in a process that ignores the signal `SIGXFSZ`, such as a
/// JVM, which stands for a full disk; the signal ends any other. Bytes that are written already
/// stay, but cannot be written again. Files include the one that the process logs to.
///
/// Fails if there is no such process or it is another user's.
pub fn limit_file_size(pid: u32, bytes: Option<u64>) -> Result<()> {
    let process = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{pid} is no running process"))?;
    // The limit's own limit stays as our children have it from us: it could not be raised again.
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    prlimit(Some(process), Resource::Fsize, Rlimit { current, maximum })
        .with_context(|| format!("cannot limit the files of process {pid}"))?;
    Ok(())
}
