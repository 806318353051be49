//! Tests with real Valkey servers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use redis::aio::MultiplexedConnection;
use test_servers::{Sentinel, SentinelConfig, Valkey, ValkeyConfig, start_valkey};
use valkey_client::{Error, Fault};
use valkey_codec::{Address, Servers};

async fn start(replica_of: Option<u16>) -> Valkey {
    start_valkey(ValkeyConfig { replica_of, ..ValkeyConfig::default() }).await.unwrap()
}

fn servers(credentials: &str, ports: &[u16]) -> Servers {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Servers::parse(&format!("redis://{credentials}{}", hosts.join(","))).unwrap()
}

async fn connect(servers: &Servers) -> Result<(Address, MultiplexedConnection), Error> {
    valkey_client::connect(servers, "").await
}

#[tokio::test]
async fn the_primary_is_found_at_any_position() {
    let primary = start(None).await;
    let replica = start(Some(primary.port())).await;
    let sentinel = Sentinel::start(SentinelConfig::new(primary.port())).await.unwrap();
    let (at, other) = (primary.port(), replica.port());
    for ports in [vec![at], vec![at, other], vec![other, at], vec![1, sentinel.port(), other, at]] {
        let (address, mut connection) = connect(&servers("", &ports)).await.unwrap();
        assert_eq!(address.port, at, "{ports:?}");
        let () = redis::cmd("SET").arg("a").arg(1).query_async(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_primary_the_error_contains_each_server() {
    let replica = start(Some(1)).await;
    let sentinel = Sentinel::start(SentinelConfig::new(replica.port())).await.unwrap();
    let ports = [replica.port(), 1, sentinel.port()];
    let error = connect(&servers(":secret@", &ports)).await.unwrap_err();
    assert!(error.is_retriable());
    let error = connect(&servers("", &ports)).await.unwrap_err();
    let roles = [0, 2].map(|index: usize| match &error.faults[index].1 {
        Fault::Role(role) => role.clone(),
        other => panic!("{other}"),
    });
    assert_eq!(roles, ["replica", "not reported"]);
    let text = error.to_string();
    assert!(ports.iter().all(|port| text.contains(&format!("127.0.0.1:{port}: "))), "{text}");
}

#[tokio::test]
async fn a_single_replica_is_accepted() {
    let replica = start(Some(1)).await;
    assert!(connect(&servers("", &[replica.port()])).await.is_ok());
}

#[tokio::test]
async fn a_silent_server_is_skipped() {
    let (silent, primary) = (start(None).await, start(None).await);
    silent.pause().unwrap();
    let (address, _) = connect(&servers("", &[silent.port(), primary.port()])).await.unwrap();
    assert_eq!(address.port, primary.port());
}

#[tokio::test]
async fn errors_contain_no_secrets() {
    let primary = start(None).await;
    let error = connect(&servers("ana:secret@", &[primary.port(), 1])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn an_error_text_with_the_password_is_not_shown() {
    let arguments = ["--rename-command", "AUTH", "", "--rename-command", "HELLO", ""];
    let arguments = arguments.map(str::to_owned).to_vec();
    let server = start_valkey(ValkeyConfig { arguments, ..ValkeyConfig::default() }).await.unwrap();
    let error = connect(&servers("ana:secret@", &[server.port()])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn the_role_is_requested_with_role_if_hello_is_unknown() {
    let arguments = ["--rename-command", "HELLO", ""].map(str::to_owned).to_vec();
    let config = ValkeyConfig { arguments: arguments.clone(), ..ValkeyConfig::default() };
    let primary = start_valkey(config).await.unwrap();
    let replica_of = Some(primary.port());
    let config = ValkeyConfig { arguments, replica_of, ..ValkeyConfig::default() };
    let replica = start_valkey(config).await.unwrap();
    let ports = [replica.port(), primary.port()];
    let (address, _) = connect(&servers("", &ports)).await.unwrap();
    assert_eq!(address.port, primary.port());
}
