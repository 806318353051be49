//! Tests of claims with a real Valkey.

#![allow(clippy::unwrap_used)]

use idempotency::{Answer, Bounds, Claim, Claimed};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};
use test_servers::{Valkey, ValkeyConfig, start_valkey};

struct Door {
    store: MultiplexedConnection,
    bounds: Bounds,
    _valkey: Valkey,
}

impl Door {
    async fn new(keys_max: u32) -> Self {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let client = redis::Client::open(valkey.url()).unwrap();
        let store = client.get_multiplexed_async_connection().await.unwrap();
        Self { store, bounds: Bounds { keys_max, window_s: 100 }, _valkey: valkey }
    }

    async fn claim(&mut self, key: &str, body: &str) -> Claimed {
        let mut claim = Claim::new("t", key, body.as_bytes(), self.bounds);
        loop {
            let mut command = Cmd::new();
            for word in claim.command() {
                command.arg(word);
            }
            let answer = match command.query_async(&mut self.store).await {
                Ok(word) => Answer::Word(word),
                Err(error) => Answer::Error(error.code().unwrap_or_default().into()),
            };
            if let Some(claimed) = claim.answer(answer).unwrap() {
                return claimed;
            }
        }
    }

    /// Makes the younger generation older by this number of seconds.
    async fn pass(&mut self, seconds: i64) {
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
    let mut door = Door::new(10).await;
    assert_eq!(door.claim("k", "one").await, Claimed::Ours);
    assert_eq!(door.claim("k", "two").await, Claimed::Taken);
    assert_eq!(door.claim("k", "one").await, Claimed::Ours, "a retry");
    assert_eq!(door.claim("l", "two").await, Claimed::Ours);
}

#[tokio::test]
async fn no_more_keys_are_kept_than_two_generations_take() {
    let mut door = Door::new(10).await;
    for number in 0..100 {
        assert_eq!(door.claim(&format!("k{number}"), "one").await, Claimed::Ours);
        assert!(door.keys().await <= 20);
        if number >= 10 {
            let older = format!("k{}", number - 10);
            assert_eq!(door.claim(&older, "two").await, Claimed::Taken, "ten are remembered");
        }
    }
    assert_eq!(door.claim("k0", "two").await, Claimed::Ours, "and a hundred are not");
}

#[tokio::test]
async fn a_key_is_kept_for_one_window_at_least_and_two_at_most() {
    let mut door = Door::new(10).await;
    door.claim("k", "one").await;
    door.pass(150).await;
    door.claim("other", "one").await;
    assert_eq!(door.claim("k", "two").await, Claimed::Taken);
    door.pass(150).await;
    assert_eq!(door.claim("new", "one").await, Claimed::Ours);
    assert_eq!(door.claim("k", "two").await, Claimed::Ours);

    door.pass(1_000).await;
    door.claim("last", "one").await;
    assert_eq!(door.keys().await, 1, "both generations were too old");
    // The store's clock is set back: no key is forgotten, and none is kept for longer.
    door.pass(-1_000).await;
    assert_eq!(door.claim("last", "two").await, Claimed::Taken);
    door.claim("after", "one").await;
    assert_eq!(door.claim("last", "two").await, Claimed::Taken);
    door.pass(250).await;
    door.claim("much later", "one").await;
    assert_eq!(door.keys().await, 1, "the new generation grew too old");
}
