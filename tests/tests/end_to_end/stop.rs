//! The end of the program.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::{doorbuster, without_servers};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

/// Runs the program. After the first signal it accepts requests for another ten seconds.
async fn serve(manifest: &Path) -> Child {
    let mut command = doorbuster();
    command.args(["up", "--listen", "127.0.0.1:0", "--linger-s", "10", "--from"]).arg(manifest);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().starts_with("Press Ctrl-C") {}
    child
}

/// The exit code if this signal is sent repeatedly.
async fn end(mut child: Child, signal: Signal) -> Option<i32> {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        tokio::select! {
            status = child.wait() => return status.unwrap().code(),
            _ = ticks.tick() => {
                let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
                kill(pid, signal).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_signal_that_is_repeated_ends_the_program_at_once() {
    let manifest = without_servers().unwrap();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let child = serve(manifest.path()).await;
        // After a drain the exit code would be 0.
        assert_eq!(end(child, signal).await, Some(code), "{signal}");
    }
}
