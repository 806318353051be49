//! Kills a server whose parent process ended without stopping it, and removes its files.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::process::AtDrop;

/// Kills the server and removes the folder, if there is one.
const KILL: &str = r#"kill -9 "$1"; ${2:+rm -rf "$2"};"#;

/// Lets the server quit, for at most 5 s.
const QUIT: &str = r#"
kill -QUIT "$1"; polls=0
while kill -0 "$1" && [ $polls -lt 50 ]; do sleep 0.1; polls=$((polls + 1)); done
"#;

/// A shell that waits for this process to end, then kills the server and removes its temporary
/// folder, so that nothing remains after a crash. It detects the end of this process by the end of
/// its standard input.
pub struct Watchdog {
    /// Open until this is dropped or this process ends.
    pipe: ChildStdin,
}

impl Watchdog {
    /// Starts the shell for the server with this process id.
    pub fn start(pid: u32, at_drop: AtDrop, temporary: Option<&Path>) -> Result<Self> {
        let script = match at_drop {
            AtDrop::Kill => KILL.to_owned(),
            AtDrop::Quit => format!("{QUIT}{KILL}"),
        };
        let mut shell = Command::new("sh")
            .args(["-c", &format!("read -r _ || {{ {script} }}"), "watchdog", &pid.to_string()])
            .args(temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The shell has its own process group: otherwise Ctrl-C would end it before the
            // server.
            .process_group(0)
            .spawn()
            .context("cannot run sh")?;
        let pipe = shell.stdin.take().context("sh has no standard input")?;
        std::thread::Builder::new().name("watchdog".into()).spawn(move || shell.wait())?;
        Ok(Self { pipe })
    }

    /// Ends the watchdog without a kill: the server has ended, and its process id may soon be that
    /// of another process.
    pub fn dismiss(mut self) {
        let _ = self.pipe.write_all(b"\n");
    }
}
