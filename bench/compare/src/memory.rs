//! The memory of processes.

use anyhow::{Context as _, Result};

/// The proportional set size of a process, in MiB: its resident memory, with a share of the pages
/// that several processes have in common.
pub fn of_process_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = pss_kib(&text).with_context(|| format!("{path} has an unexpected form: {text}"))?;
    Ok(kib as f64 / 1_024.0)
}

fn pss_kib(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_read() {
        let text = "5-7 ---p 0 00:00 0 [rollup]\nRss:  2048 kB\nPss:  1536 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(pss_kib(text), Some(1_536));
        assert_eq!(pss_kib("Rss: 2048 kB\n"), None);
        assert!(of_process_mib(std::process::id()).unwrap() > 0.1);
    }
}
