//! The resource usage of a container, read from its control groups.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const GROUPS: &str = "/sys/fs/cgroup";

/// `cpu.stat` of version 2 contains microseconds.
const NS_PER_US: u64 = 1_000;

/// The CPU time since the start, and the memory limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    pub total_ns: u64,
    pub user_ns: u64,
    pub kernel_ns: u64,
    /// The memory limit in bytes; a very large number if there is none.
    pub memory_bytes_max: u64,
}

impl Usage {
    /// Reads the usage of the control groups of the process with this id.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Self::read(&groups, Path::new(GROUPS))
    }

    /// `groups` is the content of `/proc/PID/cgroup`.
    fn read(groups: &str, root: &Path) -> io::Result<Self> {
        match (folder(groups, "cpuacct", root), folder(groups, "memory", root)) {
            (Some(cpu), Some(memory)) => Self::version_1(&cpu, &memory),
            _ => Self::version_2(&folder(groups, "", root).ok_or(ErrorKind::NotFound)?),
        }
    }

    fn version_1(cpu: &Path, memory: &Path) -> io::Result<Self> {
        Ok(Self {
            total_ns: number(&cpu.join("cpuacct.usage"))?,
            user_ns: number(&cpu.join("cpuacct.usage_user"))?,
            kernel_ns: number(&cpu.join("cpuacct.usage_sys"))?,
            memory_bytes_max: number(&memory.join("memory.limit_in_bytes"))?,
        })
    }

    fn version_2(folder: &Path) -> io::Result<Self> {
        let times = fs::read_to_string(folder.join("cpu.stat"))?;
        let time_ns = |name: &str| -> io::Result<u64> {
            let line = times.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(parse(line.ok_or(ErrorKind::InvalidData)?)?.saturating_mul(NS_PER_US))
        };
        Ok(Self {
            total_ns: time_ns("usage_usec")?,
            user_ns: time_ns("user_usec")?,
            kernel_ns: time_ns("system_usec")?,
            memory_bytes_max: number(&folder.join("memory.max"))?,
        })
    }
}

/// The folder of the group with this controller. The line of version 2 names no controller.
fn folder(groups: &str, controller: &str, root: &Path) -> Option<PathBuf> {
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let found = controllers.split(',').any(|name| name == controller);
        found.then(|| root.join(controller).join(path.trim_start_matches('/')))
    })
}

fn number(file: &Path) -> io::Result<u64> {
    parse(fs::read_to_string(file)?.trim())
}

fn parse(text: &str) -> io::Result<u64> {
    match text {
        "max" => Ok(u64::MAX),
        number => number.parse().map_err(|_| ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cpuacct/pods/a/cpuacct.usage", "3000000\n"),
                ("cpuacct/pods/a/cpuacct.usage_user", "2000000\n"),
                ("cpuacct/pods/a/cpuacct.usage_sys", "1000000\n"),
                ("memory/pods/a/memory.limit_in_bytes", "134217728\n"),
            ],
        );
        let groups = "9:memory:/pods/a\n4:cpu,cpuacct:/pods/a\n1:name=systemd:/other\n0::/other\n";
        let usage = Usage {
            total_ns: 3_000_000,
            user_ns: 2_000_000,
            kernel_ns: 1_000_000,
            memory_bytes_max: 134_217_728,
        };
        assert_eq!(Usage::read(groups, root.path()).unwrap(), usage);
    }

    #[test]
    fn version_2_counts_microseconds() {
        let root = tempfile::tempdir().unwrap();
        let times = "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 0\n";
        write(root.path(), &[("pods/a/cpu.stat", times), ("pods/a/memory.max", "max\n")]);
        let usage = Usage {
            total_ns: 3_000_000,
            user_ns: 2_000_000,
            kernel_ns: 1_000_000,
            memory_bytes_max: u64::MAX,
        };
        assert_eq!(Usage::read("0::/pods/a\n", root.path()).unwrap(), usage);
    }
}
