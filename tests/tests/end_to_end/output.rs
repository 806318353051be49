//! Output that cannot be written: a server continues, a command fails with a specific exit code.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::{doorbuster, eventually, without_servers};
use tempfile::NamedTempFile;
use test_servers::{ValkeyConfig, start_valkey};
use tokio::net::TcpListener;
use tokio::process::Command;

/// The exit code of a command whose result cannot be written.
const UNWRITTEN: Option<i32> = Some(74);

/// A full disk.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe without a reader.
fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A free loopback address.
async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn serves(mut command: Command, address: &str) {
    let mut child = command.spawn().unwrap();
    let url = format!("http://{address}/.well-known/spin/health");
    eventually("it serves", async || {
        let answer = reqwest::get(&url).await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let status = child.wait().await.unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_continues() {
    let manifest = without_servers().unwrap();
    for (stdout, stderr) in [(closed(), full()), (full(), closed())] {
        let address = free_address().await;
        let logs = tempfile::tempdir().unwrap();
        let mut command = doorbuster();
        command.args(["up", "--listen", &address, "-L"]).arg(logs.path()).arg("--from");
        command.arg(manifest.path()).env("RUST_LOG", "debug").stdout(stdout).stderr(stderr);
        serves(command, &address).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_has_its_own_exit_code() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let ledger = NamedTempFile::new().unwrap();
    let nowhere = format!("http://{}/purchase", free_address().await);
    let verify = |ledger: &Path| {
        let mut command = doorbuster();
        command.arg("verify").arg("--ledger").arg(ledger).args(["--valkey", &valkey.url()]);
        command
    };
    let load = || {
        let mut command = doorbuster();
        command.args(["load", "--url", &nowhere, "-n", "1", "-c", "1"]);
        command
    };
    let top = || {
        let address = nowhere.trim_end_matches("/purchase");
        let mut command = doorbuster();
        command.args(["top", address, "--operator", address]);
        command
    };
    // No sale was accepted and none was counted, so the books agree.
    let output = verify(ledger.path()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "progress without a terminal");
    for out in [full, closed] {
        for mut command in [verify(ledger.path()), load(), top()] {
            let child = command.stdout(out()).stderr(Stdio::piped()).spawn().unwrap();
            let output = child.wait_with_output().await.unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), UNWRITTEN, "{error}");
            // Nothing else is there: progress is shown only on a terminal.
            assert!(error.starts_with("Error: cannot write the result"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
    for mut command in [verify(ledger.path()), load(), top()] {
        let ended = command.stdout(full()).stderr(full()).status().await.unwrap();
        assert_eq!(ended.code(), UNWRITTEN);
    }
    valkey.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_not_set_and_an_address_may_have_a_name() {
    let manifest = without_servers().unwrap();
    let address = free_address().await.replace("127.0.0.1", "localhost");
    let mut command = doorbuster();
    command.args(["up", "--listen", &address, "--from"]).arg(manifest.path());
    for name in [
        "SPIN_COMPONENTS_TO_RETAIN",
        "SPIN_MAX_INSTANCE_MEMORY",
        "RUNTIME_CONFIG_FILE",
        "DOORBUSTER_OPERATOR",
        "DOORBUSTER_APPLICATION",
        "DOORBUSTER_VALKEY",
        "DOORBUSTER_LINGER_S",
        "DOORBUSTER_NO_EMBEDDED",
        "DOORBUSTER_PROVIDE",
        "WASMTIME_CACHE_FILE",
        "DISABLE_WASMTIME_CACHE",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_SERVICE_NAME",
        "RUST_LOG",
        "DOORBUSTER_LOG",
    ] {
        command.env(name, "");
    }
    serves(command, &address).await;
}

#[tokio::test]
async fn an_invalid_variable_is_refused_by_name() {
    let manifest = without_servers().unwrap();
    for (name, value) in [
        ("RUST_LOG", "nonsense=="),
        ("DOORBUSTER_LOG", "xml"),
        ("SPIN_MAX_INSTANCE_MEMORY", "much"),
        ("DOORBUSTER_OPERATOR", "nowhere"),
    ] {
        let mut command = doorbuster();
        command.args(["up", "--from"]).arg(manifest.path()).env(name, value);
        let output = command.output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(value), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_hangup_during_the_start_does_not_end_the_program() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reference = format!("{}/doorbuster:1", silent.local_addr().unwrap());
    let mut command = doorbuster();
    command.args(["up", "--from", &reference]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let _pulling = silent.accept().await.unwrap();
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGHUP).unwrap();
    kill(pid, Signal::SIGTERM).unwrap();
    let status = child.wait().await.unwrap();
    assert!(status.success(), "{status}");
}
