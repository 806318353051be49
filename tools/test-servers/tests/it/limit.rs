//! A file that a running process writes does not grow beyond a limit.

use std::process::Command;

use crate::dialogue::Dialogue;
use test_servers::limit_file_size;

/// Appends ten bytes to a file for each line of its input, and ignores the signal, as a JVM does.
const APPEND: &str = "import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for _ in sys.stdin:
    try: print(os.write(file, b'0123456789'), flush=True)
    except OSError as error: print(error.strerror, flush=True)";

#[test]
fn a_file_stays_within_the_limit_until_it_is_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let mut python = Dialogue::start(Command::new("python3").args(["-c", APPEND]).arg(&file));
    let pid = python.child.id();
    assert_eq!(python.ask(), "10");
    limit_file_size(pid, Some(15)).unwrap();
    assert_eq!(python.ask(), "5", "what still fits");
    assert_eq!(python.ask(), "File too large");
    limit_file_size(pid, None).unwrap();
    assert_eq!(python.ask(), "10");
    python.end();
}

#[test]
fn a_missing_process_cannot_be_limited() {
    assert!(limit_file_size(0, Some(1)).is_err());
    assert!(limit_file_size(u32::MAX, Some(1)).is_err());
}
