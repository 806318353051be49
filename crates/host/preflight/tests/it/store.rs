//! Tests with real Valkey servers.

use std::time::Duration;

use crate::support::{
    assert_refused, assert_unreachable, closed_port, settings, silent_port, within,
};
use preflight::{Error, Warning, check_store};
use redis::FromRedisValue;
use test_servers::{Valkey, ValkeyConfig, start_valkey};

const PASSWORD: &str = "stores-own-secret";

async fn start(append_only: bool) -> Valkey {
    start_valkey(ValkeyConfig { append_only, ..ValkeyConfig::default() }).await.unwrap()
}

/// Sends a command, for example `CONFIG SET save ""` without the quotes.
async fn command<T: FromRedisValue>(store: &Valkey, words: &[&str]) -> T {
    let client = redis::Client::open(store.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut connection).await.unwrap()
}

async fn set(store: &Valkey, setting: &str, value: &str) {
    command::<()>(store, &["CONFIG", "SET", setting, value]).await;
}

async fn check(url: &str) -> Result<Vec<Warning>, Error> {
    within("the check", check_store(url, "")).await
}

/// The store's URL with these credentials.
fn url_of(store: &Valkey, user: &str, password: &str) -> String {
    format!("redis://{user}:{password}@127.0.0.1:{}", store.port())
}

#[tokio::test]
async fn a_store_that_appends_gives_no_warning() {
    let store = start(true).await;
    assert_eq!(check(&store.url()).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_without_a_file_causes_a_warning() {
    let store = start(false).await;
    let [warning] = check(&store.url()).await.unwrap().try_into().unwrap();
    assert_eq!(warning.found, "no, and save is empty");
    set(&store, "save", "60 1").await;
    let [warning] = check(&store.url()).await.unwrap().try_into().unwrap();
    assert_eq!(warning.found, "no, and save is 60 1");
}

#[tokio::test]
async fn a_missing_fsync_and_eviction_cause_warnings() {
    let store = start(true).await;
    set(&store, "appendfsync", "no").await;
    set(&store, "maxmemory", "100mb").await;
    assert_eq!(settings(&check(&store.url()).await.unwrap()), ["appendfsync"]);
    set(&store, "maxmemory-policy", "allkeys-lru").await;
    let warnings = check(&store.url()).await.unwrap();
    assert_eq!(settings(&warnings), ["maxmemory-policy", "appendfsync"]);
    assert!(warnings[0].consequence.contains("104857600 bytes"), "{}", warnings[0]);
}

#[tokio::test]
async fn a_replica_causes_a_warning() {
    let store = start(true).await;
    command::<()>(&store, &["REPLICAOF", "127.0.0.1", &closed_port().await.to_string()]).await;
    let warnings = check(&store.url()).await.unwrap();
    assert_eq!(settings(&warnings), ["role"]);
}

/// A URL with several servers.
fn url_of_all(stores: &[&Valkey]) -> String {
    let hosts: Vec<String> = stores.iter().map(|s| format!("127.0.0.1:{}", s.port())).collect();
    format!("redis://{}", hosts.join(","))
}

async fn start_replica(of: &Valkey) -> Valkey {
    let config = ValkeyConfig { replica_of: Some(of.port()), ..ValkeyConfig::default() };
    start_valkey(config).await.unwrap()
}

#[tokio::test]
async fn the_primary_of_several_servers_must_not_accept_writes_without_a_replica() {
    let primary = start(true).await;
    let replica = start_replica(&primary).await;
    let url = url_of_all(&[&replica, &primary]);
    assert_eq!(settings(&check(&url).await.unwrap()), ["min-replicas-to-write"]);
    set(&primary, "min-replicas-to-write", "1").await;
    assert_eq!(check(&url).await.unwrap(), []);
}

#[tokio::test]
async fn several_servers_without_a_primary_are_an_error() {
    let primary = start(true).await;
    let (one, other) = (start_replica(&primary).await, start_replica(&primary).await);
    let error = check(&url_of_all(&[&one, &other])).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    for store in [one, other] {
        assert!(
            error
                .to_string()
                .contains(&format!("127.0.0.1:{}: it is not the primary", store.port())),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_failed_snapshot_causes_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let config = ValkeyConfig {
        data_dir: Some(dir.path().into()),
        append_only: true,
        ..ValkeyConfig::default()
    };
    let store = start_valkey(config).await.unwrap();
    // A folder at the path of the snapshot makes saving fail.
    std::fs::create_dir(dir.path().join("dump.rdb")).unwrap();
    command::<()>(&store, &["BGSAVE"]).await;
    let failed = async {
        while check(&store.url()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the failure", failed).await;
    assert_eq!(settings(&check(&store.url()).await.unwrap()), ["rdb_last_bgsave_status"]);
}

#[tokio::test]
async fn settings_that_the_user_may_not_read_are_named() {
    let store = start(true).await;
    let password = format!(">{PASSWORD}");
    let user = ["ACL", "SETUSER", "app", "on", &password, "+@all", "-config"];
    command::<()>(&store, &user).await;
    let url = url_of(&store, "app", PASSWORD);
    assert_eq!(settings(&check(&url).await.unwrap()), ["appendfsync"]);

    command::<()>(&store, &["ACL", "SETUSER", "app", "-info"]).await;
    let [warning] = check(&url).await.unwrap().try_into().unwrap();
    assert!(warning.setting.starts_with("role, maxmemory"), "{warning}");

    command::<()>(&store, &["ACL", "SETUSER", "app", "+config|get"]).await;
    let [warning] = check(&url).await.unwrap().try_into().unwrap();
    assert_eq!(warning.setting, "role, aof_last_write_status, rdb_last_bgsave_status");
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_a_refusal_and_not_shown() {
    let store = start(true).await;
    let server = format!("Valkey at 127.0.0.1:{}", store.port());
    let wrong = url_of(&store, "nobody", "not-the-password");
    assert_refused(&check(&wrong).await.unwrap_err(), &server, "not-the-password");
    set(&store, "requirepass", PASSWORD).await;
    assert_refused(&check(&store.url()).await.unwrap_err(), &server, PASSWORD);
    assert_eq!(check(&url_of(&store, "", PASSWORD)).await.unwrap(), []);
}

#[tokio::test]
async fn a_wrong_port_is_unreachable() {
    let port = closed_port().await;
    let error = check(&format!("redis://:{PASSWORD}@127.0.0.1:{port}")).await.unwrap_err();
    assert_unreachable(&error, &format!("127.0.0.1:{port}"));
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable() {
    let (_listener, port) = silent_port().await;
    let error = check(&format!("redis://:{PASSWORD}@127.0.0.1:{port}")).await.unwrap_err();
    assert_unreachable(&error, &format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_not_shown() {
    for url in [format!("redis://:{PASSWORD}@h:99999"), format!("http://:{PASSWORD}@h")] {
        let error = check(&url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }) && !error.is_retriable(), "{error}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    }
}

#[tokio::test]
async fn a_check_only_reads() {
    let store = start(true).await;
    command::<()>(&store, &["CONFIG", "RESETSTAT"]).await;
    check(&store.url()).await.unwrap();
    let stats: String = command(&store, &["INFO", "commandstats"]).await;
    let commands = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_"));
    let commands = commands.filter_map(|line| Some(line.split_once(':')?.0));
    // `config|resetstat` and `client|setinfo` are called by the test itself.
    let own = ["config|resetstat", "client|setinfo"];
    let mut called: Vec<&str> = commands.filter(|name| !own.contains(name)).collect();
    called.sort_unstable();
    assert_eq!(called, ["config|get", "info"]);
}
