//! Stored responses in Valkey. A failure of Valkey is a miss.

use std::cell::RefCell;
use std::rc::Rc;

use guest_http::report_no_valkey;
use guest_tasks::now_ms;
use guest_valkey::Client;
use intake::CircuitBreaker;
use response_cache::shared::{
    INVALIDATE, STORE, decode, field, field_of, key_name, lists, to_store,
};
use response_cache::{Config, ENTRY_BYTES_MAX, Found, Key, Lookup, Stored, VARIANTS_MAX};
use valkey_codec::{ClientError, REPLIES_BYTES_MAX, Reply, Scalar, encode};

// The responses for a target can be read together.
const _: () = assert!(2 * VARIANTS_MAX * ENTRY_BYTES_MAX <= REPLIES_BYTES_MAX);

/// The stored responses in Valkey.
pub struct Remote {
    client: Client,
    /// The most milliseconds for an answer.
    timeout_ms: u32,
    /// Avoids waiting for a Valkey that does not answer.
    breaker: RefCell<CircuitBreaker>,
}

/// What Valkey has for a request, and the version of the target.
type Answer = (Found, u64);

impl Remote {
    pub fn new(client: Client, config: &Config) -> Self {
        Self { client, timeout_ms: config.valkey_timeout_ms, breaker: RefCell::default() }
    }

    /// The response that a request selects, and the version of its target. `None` if Valkey cannot be
    /// used.
    pub async fn find(&self, lookup: &Lookup, config: &Config) -> Option<Answer> {
        self.attempt(async || {
            let key = key_name(config, &lookup.key);
            let rules = &config.rules;
            let plain = field(lookup, &[], rules);
            let first = self.fields(&key, ["version", "vary", plain.as_str()]).await?;
            let [version, vary, plain] = <[_; 3]>::try_from(first).map_err(|_| unexpected())?;
            let version = version.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            let vary = vary.map(|text| lists(&text)).unwrap_or_default();
            let mut values: Vec<_> = plain.into_iter().collect();
            let others = vary.iter().filter(|names| !names.is_empty());
            let others: Vec<_> = others.map(|names| field(lookup, names, rules)).collect();
            if !others.is_empty() {
                let others = self.fields(&key, others.iter().map(String::as_str)).await?;
                values.extend(others.into_iter().flatten());
            }
            let responses = values.into_iter().filter_map(|value| decode(value, lookup, rules));
            let (usable, others): (Vec<_>, Vec<_>) =
                responses.partition(|stored| stored.is_for(lookup));
            let found = match usable.into_iter().max_by_key(|stored| stored.received_ms) {
                Some(stored) => Found::Response(Rc::new(stored)),
                None => Found::none(vary.iter().map(|names| {
                    (names.as_slice(), others.iter().any(|stored| stored.vary == *names))
                })),
            };
            Ok((found, version.unwrap_or(0)))
        })
        .await
    }

    /// Stores a response, unless its target has another version. Returns whether it is stored.
    pub async fn store(&self, config: &Config, key: &Key, stored: &Stored, version: u64) -> bool {
        let arguments = to_store(stored, version, crate::fetch::unix_ms());
        let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
        let key = key_name(config, key);
        let reply = self
            .reply(async || self.client.call(&STORE, &key, &arguments, self.timeout_ms).await)
            .await;
        matches!(reply, Some(Reply::One(Scalar::Integer(1))))
    }

    pub async fn remove(&self, config: &Config, key: &Key, stored: &Stored) {
        let words = [b"HDEL".to_vec(), key_name(config, key), field_of(stored).into_bytes()];
        let command = encode(&[words.to_vec()]);
        self.reply(async || {
            let replies = self.client.pipeline(command, 1, self.timeout_ms).await?;
            replies.into_iter().next().ok_or_else(unexpected)
        })
        .await;
    }

    /// Removes the responses for a target. Returns whether they are removed.
    pub async fn invalidate(&self, config: &Config, key: &Key) -> bool {
        let key = key_name(config, key);
        let call = async || self.client.call(&INVALIDATE, &key, &[], self.timeout_ms).await;
        self.reply(call).await.is_some()
    }

    /// The reply of Valkey; `None` after a failure and if Valkey refuses a command, which are logged.
    async fn reply(&self, call: impl AsyncFnOnce() -> Result<Reply, ClientError>) -> Option<Reply> {
        match self.attempt(call).await? {
            Reply::One(Scalar::Error(text)) => {
                report_no_valkey(&text);
                None
            }
            reply => Some(reply),
        }
    }

    /// The values of fields of a hash.
    async fn fields<'a>(
        &self,
        key: &[u8],
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        let mut words = vec![b"HMGET".to_vec(), key.to_vec()];
        words.extend(names.into_iter().map(|name| name.as_bytes().to_vec()));
        let replies = self.client.pipeline(encode(&[words]), 1, self.timeout_ms).await?;
        match replies.into_iter().next() {
            Some(Reply::Many(values)) => Ok(values
                .into_iter()
                .map(|value| match value {
                    Scalar::Text(bytes) => Some(bytes),
                    _ => None,
                })
                .collect()),
            Some(Reply::One(Scalar::Error(text))) => Err(ClientError::Protocol(text)),
            _ => Err(unexpected()),
        }
    }

    /// The result of calls of Valkey; `None` after a failure, which is logged.
    async fn attempt<T>(&self, calls: impl AsyncFnOnce() -> Result<T, ClientError>) -> Option<T> {
        if !self.breaker.borrow_mut().allow(now_ms) {
            return None;
        }
        let result = calls().await;
        let mut breaker = self.breaker.borrow_mut();
        match result {
            Ok(value) => {
                breaker.succeeded();
                Some(value)
            }
            Err(error) => {
                breaker.failed(now_ms());
                report_no_valkey(&error);
                None
            }
        }
    }
}

fn unexpected() -> ClientError {
    ClientError::Protocol("an unexpected reply".into())
}
