//! Both servers start, survive a crash with their data, and stop.

use std::time::Duration;

use crate::support::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_servers::{Kafka, KafkaConfig, Postgres, ValkeyConfig, start_valkey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn ask(port: u16, command: &str, expected: &str) {
    assert_eq!(reply(port, command, expected.len()).await, expected);
}

/// The first `length` bytes of the replies, or all of them if they are shorter.
async fn reply(port: u16, command: &str, length: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(command.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = Vec::new();
    stream.take(length as u64).read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn valkey_keeps_its_data_through_a_stop_when_it_has_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        ValkeyConfig { data_dir: Some(dir.path().into()), append_only: true, ..Default::default() };
    let valkey = start_valkey(config.clone()).await.unwrap();
    ask(valkey.port(), "SET sale 1\r\n", "+OK\r\n").await;
    valkey.stop().await.unwrap();
    let valkey = start_valkey(config).await.unwrap();
    ask(valkey.port(), "GET sale\r\n", "$1\r\n1\r\n").await;
}

#[tokio::test]
async fn valkey_without_a_folder_keeps_no_data() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    ask(valkey.port(), "SET sale 1\r\n", "+OK\r\n").await;
    let valkey = valkey.restart().await.unwrap();
    ask(valkey.port(), "GET sale\r\n", "$-1\r\n").await;
}

#[tokio::test]
async fn kafka_comes_back_on_its_port_after_a_crash() {
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let (bootstrap, pid) = (kafka.bootstrap(), kafka.pid());
    let kafka = kafka.restart().await.unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap);
    assert_ne!(kafka.pid(), pid);
    kafka.require_running().unwrap();
    let pid = Pid::from_raw(i32::try_from(kafka.pid()).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("its end is seen", async || kafka.require_running().is_err()).await;
    let fault = kafka.require_running().unwrap_err();
    assert!(fault.to_string().contains("kafka has ended"), "{fault}");
    kafka.restart().await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn postgresql_leaves_no_shared_memory() {
    let postgres = Postgres::start().await.unwrap();
    let pid = postgres.pid().to_string();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(!maps.contains("/dev/shm/PostgreSQL"), "{maps}");
    let segments = || {
        let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        all.lines().filter(|line| line.split_whitespace().nth(4) == Some(&*pid)).count()
    };
    assert_eq!(segments(), 1);
    drop(postgres);
    assert_eq!(segments(), 0);
}

#[tokio::test]
async fn a_replica_has_what_its_primary_has() {
    let primary = start_valkey(ValkeyConfig::default()).await.unwrap();
    let config = ValkeyConfig { replica_of: Some(primary.port()), ..Default::default() };
    let replica = start_valkey(config).await.unwrap();
    ask(primary.port(), "SET sale 1\r\n", "+OK\r\n").await;
    ask(primary.port(), "SET sale 2\r\n", "+OK\r\n").await;
    // `WAIT` is not used: a replica also acknowledges writes that it has not loaded yet.
    let expected = "$1\r\n2\r\n";
    eventually("the replica has the write", async || {
        reply(replica.port(), "GET sale\r\n", expected.len()).await == expected
    })
    .await;
}

#[tokio::test]
async fn a_frozen_valkey_answers_when_it_goes_on() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    valkey.pause().unwrap();
    let asking = ask(valkey.port(), "PING\r\n", "+PONG\r\n");
    tokio::pin!(asking);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asking).await;
    assert!(early.is_err(), "it answered while frozen");
    valkey.resume().unwrap();
    asking.await;
}

#[tokio::test]
async fn a_killed_server_takes_no_signal() {
    let mut valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    valkey.kill().await.unwrap();
    assert!(valkey.pause().is_err());
}
