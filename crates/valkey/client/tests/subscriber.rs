//! Subscriptions at real Valkey servers.

#![allow(clippy::unwrap_used, clippy::panic)]

use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use test_servers::{Sentinel, SentinelConfig, Valkey, ValkeyConfig, start_valkey};
use valkey_client::{Received, Subscriber, Subscription};
use valkey_codec::{ClientError, Servers};

const PAYLOAD_MAX: usize = 1 << 10;

async fn start(config: ValkeyConfig) -> Valkey {
    start_valkey(config).await.unwrap()
}

async fn open(url: &str, channels: &[&str]) -> Result<Subscriber, ClientError> {
    let channels = channels.iter().map(|channel| (*channel).to_owned()).collect();
    Subscription::new(Servers::parse(url).unwrap(), channels, PAYLOAD_MAX).unwrap().open().await
}

async fn publisher(server: &Valkey) -> MultiplexedConnection {
    valkey_client::connect(&Servers::parse(&server.url()).unwrap(), "").await.unwrap().1
}

fn message(channel: &str, payload: &[u8]) -> Received {
    Received { channel: channel.into(), payload: Ok(payload.into()) }
}

#[tokio::test]
async fn messages_arrive_in_order_and_long_ones_without_their_payload() {
    let server = start(ValkeyConfig::default()).await;
    let mut subscriber = open(&server.url(), &["a", "b"]).await.unwrap();
    let mut publisher = publisher(&server).await;
    let long = vec![b'x'; 200 * PAYLOAD_MAX];
    for (channel, payload) in
        [("a", b"1".as_slice()), ("b", b"\r\n\0"), ("c", b"3"), ("a", &long), ("b", b"")]
    {
        let () = publisher.publish(channel, payload).await.unwrap();
    }
    let too_long = Received { channel: b"a".into(), payload: Err(long.len() as u64) };
    for expected in [message("a", b"1"), message("b", b"\r\n\0"), too_long, message("b", b"")] {
        assert_eq!(subscriber.next().await.unwrap(), expected);
    }
    drop(server);
    assert!(matches!(subscriber.next().await, Err(ClientError::Interrupted(_))));
    assert!(matches!(open("redis://127.0.0.1:1", &["a"]).await, Err(ClientError::Connect(_))));
}

#[tokio::test]
async fn the_user_needs_the_password_and_the_channel() {
    let user = "--user listener on >hunter2 resetchannels &news -@all +subscribe";
    let arguments = user.split(' ').map(str::to_owned).collect();
    let server = start(ValkeyConfig { arguments, ..ValkeyConfig::default() }).await;
    let url = |password: &str| format!("redis://listener:{password}@127.0.0.1:{}", server.port());
    let mut subscriber = open(&url("hunter2"), &["news"]).await.unwrap();
    let () = publisher(&server).await.publish("news", "text").await.unwrap();
    assert_eq!(subscriber.next().await.unwrap(), message("news", b"text"));
    for (url, channels) in [(url("secret"), vec!["news"]), (url("hunter2"), vec!["news", "other"])]
    {
        let error = open(&url, &channels).await.err().unwrap();
        let text = error.to_string();
        assert!(!text.contains("secret") && !text.contains("hunter2"), "{text}");
        assert!(text.contains(&server.port().to_string()), "{text}");
        assert_eq!(text.contains("SUBSCRIBE news other"), channels.len() > 1, "{text}");
    }
}

#[tokio::test]
async fn of_several_servers_the_primary_is_used() {
    let primary = start(ValkeyConfig::default()).await;
    let replica_of = Some(primary.port());
    let replica = start(ValkeyConfig { replica_of, ..ValkeyConfig::default() }).await;
    let sentinel = Sentinel::start(SentinelConfig::new(primary.port())).await.unwrap();
    let several = format!("redis://127.0.0.1:{},127.0.0.1:{}", replica.port(), primary.port());
    let (at, service) = (sentinel.port(), SentinelConfig::NAME);
    let by_name = format!("redis+sentinel://127.0.0.1:{at}/{service}");
    for (url, channel) in [(several, "a"), (by_name, "b")] {
        let _subscriber = open(&url, &[channel]).await.unwrap();
        let subscribers: Vec<(String, u64)> = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(channel)
            .query_async(&mut publisher(&primary).await)
            .await
            .unwrap();
        assert_eq!(subscribers, [(channel.to_owned(), 1)], "{url}");
    }
}
