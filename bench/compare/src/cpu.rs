//! CPU seconds of processes: user and kernel mode, all threads.

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{SysconfVar, sysconf};

/// Index of `utime` among the fields after the command's name. In proc_pid_stat(5), `utime` and
/// `stime` are fields 14 and 15, and the first field after the name is field 3.
const UTIME: usize = 11;

/// CPU seconds that a process has used, with a resolution of 1/100 s.
pub fn of_process(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = ticks(&stat).with_context(|| format!("{path} has an unexpected form: {stat}"))?;
    let per_second =
        sysconf(SysconfVar::CLK_TCK)?.context("the system's clock tick is not known")?;
    Ok(ticks as f64 / per_second as f64)
}

/// CPU seconds of all child processes that have ended and were waited for.
pub fn of_ended_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the children's usage")?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// `utime` and `stime`. The command's name may contain spaces and parentheses, so fields are
/// counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(UTIME);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 10 20 30 40 250 17 3 4 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(267));
        assert_eq!(ticks("7 (cut"), None);
    }

    #[test]
    fn this_process_uses_time() {
        let pid = std::process::id();
        let before = of_process(pid).unwrap();
        let mut x = 1_u64;
        while of_process(pid).unwrap() < before + 0.05 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(of_process(u32::MAX).is_err());
    }
}
