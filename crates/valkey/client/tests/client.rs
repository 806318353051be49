//! Tests of the shared client with real Valkey servers.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use test_servers::{Valkey, ValkeyConfig, start_valkey};
use valkey_client::Client;
use valkey_codec::{ClientError, Reply, Scalar, Servers, encode};

const LONG: Duration = Duration::from_secs(30);

fn client(server: &Valkey) -> Client {
    Client::new(Servers::parse(&server.url()).unwrap(), "", |_, _| true).unwrap()
}

async fn ping(client: &Client, limit: Duration) -> Result<Vec<Reply>, ClientError> {
    client.pipeline(&encode(&[vec![b"PING".to_vec()]]), 1, limit).await
}

/// The number of connections that the server has accepted.
async fn accepted(own: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query_async(own).await.unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    count.unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_that_are_shorter_than_connecting_share_one_attempt() {
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let servers = Servers::parse(&server.url()).unwrap();
    let (_, mut own) = valkey_client::connect(&servers, "").await.unwrap();
    let (client, before) = (client(&server), accepted(&mut own).await);
    server.pause().unwrap();
    for _ in 0..50 {
        let result = ping(&client, Duration::from_millis(1)).await;
        assert!(matches!(result, Err(ClientError::Connect(_))), "{result:?}");
    }
    // Cancelled in the same phase.
    assert!(tokio::time::timeout(Duration::from_millis(1), ping(&client, LONG)).await.is_err());
    server.resume().unwrap();
    let pong = Reply::One(Scalar::Text(b"PONG".to_vec()));
    assert_eq!(ping(&client, LONG).await, Ok(vec![pong]));
    assert_eq!(accepted(&mut own).await, before + 1);
}

#[tokio::test]
async fn a_connection_is_replaced_after_a_call_without_reply() {
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let client = client(&server);
    assert!(ping(&client, LONG).await.is_ok());
    server.pause().unwrap();
    let result = ping(&client, Duration::from_millis(50)).await;
    assert!(matches!(result, Err(ClientError::Interrupted(_))), "{result:?}");
    let result = ping(&client, Duration::from_millis(50)).await;
    assert!(matches!(result, Err(ClientError::Connect(_))), "{result:?}");
    server.resume().unwrap();
    assert!(ping(&client, LONG).await.is_ok());
}
