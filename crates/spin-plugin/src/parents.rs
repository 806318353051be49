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
#[derive(Debug, Clone)]
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

    /// Whether Spin started this program and is gone already: both are Spin's executable.
    pub fn are_gone(&self) -> bool {
        let Some(spin) = std::env::var_os(SPIN).map(PathBuf::from) else { return false };
        let Some(parent) = self.parent else { return true };
        let is_other =
            |pid: u32| executable(pid).is_ok_and(|running| !is_same_file(&running, &spin));
        is_other(parent.as_raw_nonzero().get().unsigned_abs())
            || self.grandparent.is_some_and(is_other)
    }

    /// Returns once one of them is gone.
    pub async fn gone(self) {
        while !self.differ_from(&Self::now()) {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// A parent that cannot be asked for its own is no other parent.
    fn differ_from(&self, now: &Self) -> bool {
        let changed = |(then, now): (u32, u32)| then != now;
        self.parent != now.parent || self.grandparent.zip(now.grandparent).is_some_and(changed)
    }
}

fn executable(pid: u32) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_parent_is_another_parent() {
        let now = Parents::now();
        let grandparent = |grandparent| Parents { grandparent, ..now.clone() };
        assert!(!now.differ_from(&now));
        assert!(!grandparent(Some(7)).differ_from(&grandparent(None)));
        assert!(!grandparent(None).differ_from(&grandparent(Some(7))));
        assert!(grandparent(Some(7)).differ_from(&grandparent(Some(1))));
        assert!(now.differ_from(&Parents { parent: None, ..now.clone() }));
    }
}
