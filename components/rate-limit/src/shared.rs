//! Buckets in Valkey, which all instances share.

use std::cell::RefCell;

use guest_http::report_no_valkey;
use guest_tasks::now_ms;
use guest_valkey::Client;
use intake::CircuitBreaker;
use rate_limit_buckets::{Grant, Limit, TAKE, WithoutStore, key_name};
use valkey_codec::{Reply, Scalar};

/// The buckets in Valkey.
pub struct Shared {
    pub client: Client,
    pub prefix: String,
    /// The most milliseconds for an answer.
    pub timeout_ms: u32,
    pub without: WithoutStore,
    /// Avoids waiting for a Valkey that does not answer.
    pub breaker: RefCell<CircuitBreaker>,
}

impl Shared {
    /// Takes a token from the bucket of this key; `None` if Valkey cannot be used.
    pub async fn take(&self, limit: &Limit, key: &str) -> Option<Grant> {
        if !self.breaker.borrow_mut().allow(now_ms) {
            return None;
        }
        let result = self.call(limit, key).await;
        let mut breaker = self.breaker.borrow_mut();
        match result {
            Ok(grant) => {
                breaker.succeeded();
                Some(grant)
            }
            Err(reason) => {
                breaker.failed(now_ms());
                report_no_valkey(&reason);
                None
            }
        }
    }

    async fn call(&self, limit: &Limit, key: &str) -> Result<Grant, String> {
        let key = key_name(&self.prefix, key);
        let [interval, capacity] = limit.arguments();
        let arguments = [interval.as_bytes(), capacity.as_bytes()];
        let reply = self.client.call(&TAKE, key.as_bytes(), &arguments, self.timeout_ms).await;
        let unexpected = |reply: Reply| format!("unexpected reply: {reply:?}");
        match reply.map_err(|error| error.to_string())? {
            Reply::Many(values) => {
                let numbers: Vec<_> = values
                    .iter()
                    .filter_map(|value| match value {
                        Scalar::Integer(number) => Some(*number),
                        _ => None,
                    })
                    .collect();
                limit.shared_grant(&numbers).ok_or_else(|| unexpected(Reply::Many(values)))
            }
            other => Err(unexpected(other)),
        }
    }
}
