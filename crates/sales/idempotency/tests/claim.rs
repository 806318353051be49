//! Tests of claims with a real Valkey.

#![allow(clippy::unwrap_used)]

use idempotency::{Claim, KeyOwner, Reply, RetentionLimits};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};
use test_servers::{Valkey, ValkeyConfig, start_valkey};

struct Claims {
    store: MultiplexedConnection,
    limits: RetentionLimits,
    _valkey: Valkey,
}

impl Claims {
    async fn new(keys_max: u32) -> Self {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let client = redis::Client::open(valkey.url()).unwrap();
        let store = client.get_multiplexed_async_connection().await.unwrap();
        Self { store, limits: RetentionLimits { keys_max, window_s: 100 }, _valkey: valkey }
    }

    async fn claim(&mut self, key: &str, body: &str) -> KeyOwner {
        let mut claim = Claim::new("t", key, body.as_bytes(), self.limits);
        loop {
            let mut command = Cmd::new();
            for word in claim.command() {
                command.arg(word);
            }
            let reply = match command.query_async(&mut self.store).await {
                Ok(word) => Reply::Word(word),
                Err(error) => Reply::Error(error.code().unwrap_or_default().into()),
            };
            if let Some(owner) = claim.reply(reply).unwrap() {
                return owner;
            }
        }
    }

    /// Makes the younger generation older by this number of seconds.
    async fn age(&mut self, seconds: i64) {
        let _: i64 = cmd("DECRBY")
            .arg("claims_since:t")
            .arg(seconds)
            .query_async(&mut self.store)
            .await
            .unwrap();
    }

    async fn keys(&mut self) -> usize {
        let mut keys = 0;
        for name in ["claims:t", "claims_before:t"] {
            keys += cmd("HLEN").arg(name).query_async::<usize>(&mut self.store).await.unwrap();
        }
        keys
    }
}

#[tokio::test]
async fn a_key_belongs_to_the_first_body() {
    let mut claims = Claims::new(10).await;
    assert_eq!(claims.claim("k", "one").await, KeyOwner::ThisSale);
    assert_eq!(claims.claim("k", "two").await, KeyOwner::AnotherSale);
    assert_eq!(claims.claim("k", "one").await, KeyOwner::ThisSale, "a retry");
    assert_eq!(claims.claim("l", "two").await, KeyOwner::ThisSale);
}

#[tokio::test]
async fn no_more_keys_are_kept_than_two_generations_take() {
    let mut claims = Claims::new(10).await;
    for number in 0..100 {
        assert_eq!(claims.claim(&format!("k{number}"), "one").await, KeyOwner::ThisSale);
        assert!(claims.keys().await <= 20);
        if number >= 10 {
            let older = format!("k{}", number - 10);
            assert_eq!(
                claims.claim(&older, "two").await,
                KeyOwner::AnotherSale,
                "ten are remembered"
            );
        }
    }
    assert_eq!(claims.claim("k0", "two").await, KeyOwner::ThisSale, "and a hundred are not");
}

#[tokio::test]
async fn a_key_is_kept_for_one_window_at_least_and_two_at_most() {
    let mut claims = Claims::new(10).await;
    claims.claim("k", "one").await;
    claims.age(150).await;
    claims.claim("other", "one").await;
    assert_eq!(claims.claim("k", "two").await, KeyOwner::AnotherSale);
    claims.age(150).await;
    assert_eq!(claims.claim("new", "one").await, KeyOwner::ThisSale);
    assert_eq!(claims.claim("k", "two").await, KeyOwner::ThisSale);

    claims.age(1_000).await;
    claims.claim("last", "one").await;
    assert_eq!(claims.keys().await, 1, "both generations were too old");
    // The store's clock is set back: no key is forgotten, and none is kept for longer.
    claims.age(-1_000).await;
    assert_eq!(claims.claim("last", "two").await, KeyOwner::AnotherSale);
    claims.claim("after", "one").await;
    assert_eq!(claims.claim("last", "two").await, KeyOwner::AnotherSale);
    claims.age(250).await;
    claims.claim("much later", "one").await;
    assert_eq!(claims.keys().await, 1, "the new generation grew too old");
}
