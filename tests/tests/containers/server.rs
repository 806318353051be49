//! What happens to a container whose shim's server is killed.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::eventually;
use tokio::net::TcpStream;

use crate::container::Node;
use crate::two;

/// A line of `/proc/PID/status` without its name; None if the process does not exist.
fn status(pid: &str, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_ends_when_its_server_is_killed() {
    let node = Node::start(&[]).await;
    let (container, client) = two(&node, &[("DOORBUSTER_LINGER_S", "0")]).await;
    let application = container.pid().unwrap();
    let server = status(&application, "PPid").unwrap();
    let name = std::fs::read_to_string(format!("/proc/{server}/comm")).unwrap();
    assert!(name.starts_with("containerd-shim"), "{name}");
    kill(Pid::from_raw(server.parse().unwrap()), Signal::SIGKILL).unwrap();
    eventually("the application is not served any more", async || {
        TcpStream::connect(client.address()).await.err().map(drop)
    })
    .await;
    eventually("the application's process has ended", async || {
        // A zombie counts as ended, because there may be no process that collects its exit code.
        status(&application, "State").is_none_or(|state| state.starts_with('Z')).then_some(())
    })
    .await;
}
