//! Watches the processes of `spin up`. It starts `spin trigger-kafka`, which starts this program.
//! If one of them is killed, this program gets no signal, and the consumer would continue to run
//! and could not be stopped by Spin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, getppid};

/// Interval at which the parent processes are checked.
const INTERVAL: Duration = Duration::from_millis(250);

/// Variable in which Spin passes the path of its executable.
const SPIN: &str = "SPIN_BIN_PATH";

/// The parent and the grandparent of this process.
#[derive(Debug, Clone)]
pub struct Parents {
    parent: Option<Pid>,
    /// The parent's parent; None if it could not be read.
    grandparent: Option<u32>,
}

impl Parents {
    /// The current parents.
    pub fn now() -> Self {
        let parent = getppid();
        Self { parent, grandparent: parent.and_then(parent_of) }
    }

    /// Whether Spin started this program and has ended already: the parent or the
    /// grandparent is another program.
    pub fn are_gone(&self) -> bool {
        let Some(spin) = std::env::var_os(SPIN).map(PathBuf::from) else { return false };
        let Some(parent) = self.parent else { return true };
        let is_other =
            |pid: u32| executable(pid).is_ok_and(|running| !is_same_file(&running, &spin));
        is_other(parent.as_raw_nonzero().get().unsigned_abs())
            || self.grandparent.is_some_and(is_other)
    }

    /// Resolves when one of the parents has ended.
    pub async fn gone(self) {
        while !self.differ_from(&Self::now()) {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// If a grandparent could not be read, it counts as unchanged.
    fn differ_from(&self, now: &Self) -> bool {
        let changed = |(then, now): (u32, u32)| then != now;
        self.parent != now.parent || self.grandparent.zip(now.grandparent).is_some_and(changed)
    }
}

fn executable(pid: u32) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
}

/// Compares resolved paths. True if one cannot be resolved, for example after an upgrade, because
/// then nothing is known.
fn is_same_file(running: &Path, named: &Path) -> bool {
    match (running.canonicalize(), named.canonicalize()) {
        (Ok(running), Ok(named)) => running == named,
        _ => true,
    }
}

/// The fourth field of `/proc/<pid>/stat`. The second one is a name in parentheses that may itself
/// contain parentheses.
fn parent_of(pid: Pid) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_other_parent_is_a_change() {
        let now = Parents::now();
        let grandparent = |grandparent| Parents { grandparent, ..now.clone() };
        assert!(!now.differ_from(&now));
        assert!(!grandparent(Some(7)).differ_from(&grandparent(None)));
        assert!(!grandparent(None).differ_from(&grandparent(Some(7))));
        assert!(grandparent(Some(7)).differ_from(&grandparent(Some(1))));
        assert!(now.differ_from(&Parents { parent: None, ..now.clone() }));
    }
}
