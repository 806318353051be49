//! One store.

use std::sync::Arc;

use redis::Value;
use valkey_client::Client;

use super::bindings::v3::Error;
use crate::limits::{KEY_BYTES_MAX, KEYS_AT_ONCE_MAX, VALUE_BYTES_MAX};
use crate::reply;

/// The begin of the names of all keys, so that they are never those of the pipeline.
const PREFIX: &str = "spin-kv";

/// The cursor of the first part of the keys.
pub(super) const FIRST: &str = "0";

/// How many keys Valkey looks at for a part of a list.
const SCAN_COUNT: &str = "1000";

/// Sets a value if the present one is that in `ARGV[2]`; `ARGV[1]` is 0 if there was none.
const SWAP: &str = "local now = redis.call('GET', KEYS[1])
if (ARGV[1] == '0' and now == false) or (ARGV[1] == '1' and now == ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[3])
  return 1
end
return 0";

/// A store as a resource of a component.
#[derive(Clone)]
pub struct Store {
    client: Arc<Client>,
    /// The begin of the names of its keys.
    prefix: Arc<str>,
}

/// A part of the keys.
pub(super) struct KeyPage {
    pub keys: Vec<String>,
    /// Where the next part begins; `None` after the last part.
    pub cursor: Option<String>,
}

impl Store {
    pub fn new(client: Arc<Client>, label: &str) -> Self {
        Self { client, prefix: format!("{PREFIX}:{label}:").into() }
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        bytes(self.call(&[b"GET", &self.name(key)?]).await?)
    }

    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        check_value(value)?;
        self.call(&[b"SET", &self.name(key)?, value]).await.map(drop)
    }

    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.call(&[b"DEL", &self.name(key)?]).await.map(drop)
    }

    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(self.call(&[b"EXISTS", &self.name(key)?]).await? == Value::Int(1))
    }

    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        let delta = delta.to_string();
        match self.call(&[b"INCRBY", &self.name(key)?, delta.as_bytes()]).await? {
            Value::Int(sum) => Ok(sum),
            _ => Err(unexpected()),
        }
    }

    /// Sets the value if the present one is `expected`. Returns whether it was.
    pub async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, Error> {
        check_value(value)?;
        let exists: &[u8] = if expected.is_some() { b"1" } else { b"0" };
        let (name, expected) = (self.name(key)?, expected.unwrap_or_default());
        let words: [&[u8]; 7] = [b"EVAL", SWAP.as_bytes(), b"1", &name, exists, expected, value];
        Ok(self.call(&words).await? == Value::Int(1))
    }

    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.names(keys)?;
        let mut words: Vec<&[u8]> = vec![b"MGET"];
        words.extend(names.iter().map(Vec::as_slice));
        match self.call(&words).await? {
            Value::Array(values) => values.into_iter().map(bytes).collect(),
            _ => Err(unexpected()),
        }
    }

    pub async fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), Error> {
        if pairs.is_empty() {
            return Ok(());
        }
        let (keys, values): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
        let names = self.names(&keys)?;
        values.iter().try_for_each(|value| check_value(value))?;
        let mut words: Vec<&[u8]> = vec![b"MSET"];
        let pairs = names.iter().zip(&values);
        words.extend(pairs.flat_map(|(name, value)| [name.as_slice(), value]));
        self.call(&words).await.map(drop)
    }

    pub async fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let names = self.names(keys)?;
        let mut words: Vec<&[u8]> = vec![b"DEL"];
        words.extend(names.iter().map(Vec::as_slice));
        self.call(&words).await.map(drop)
    }

    /// A part of the keys. `cursor` is [`FIRST`] or that of the part before. A key may be in several
    /// parts if the store changes meanwhile.
    pub async fn page(&self, cursor: &str) -> Result<KeyPage, Error> {
        if cursor.is_empty() || !cursor.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(Error::Other("the cursor is not one of this store".into()));
        }
        let pattern = format!("{}*", self.prefix);
        let words = ["SCAN", cursor, "MATCH", &pattern, "COUNT", SCAN_COUNT].map(str::as_bytes);
        let Value::Array(reply) = self.call(&words).await? else { return Err(unexpected()) };
        let [Value::BulkString(next), Value::Array(names)] = reply.as_slice() else {
            return Err(unexpected());
        };
        let key = |name: &Value| {
            let Value::BulkString(name) = name else { return None };
            Some(str::from_utf8(name).ok()?.strip_prefix(&*self.prefix)?.to_owned())
        };
        let next = String::from_utf8(next.clone()).map_err(|_| unexpected())?;
        let cursor = (next != FIRST).then_some(next);
        Ok(KeyPage { keys: names.iter().filter_map(key).collect(), cursor })
    }

    /// The name of a key in Valkey.
    fn name(&self, key: &str) -> Result<Vec<u8>, Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::Other(format!("a key must have 1 to {KEY_BYTES_MAX} bytes")));
        }
        Ok([self.prefix.as_bytes(), key.as_bytes()].concat())
    }

    fn names(&self, keys: &[String]) -> Result<Vec<Vec<u8>>, Error> {
        if keys.len() > KEYS_AT_ONCE_MAX {
            return Err(Error::Other(format!("more than {KEYS_AT_ONCE_MAX} keys at once")));
        }
        keys.iter().map(|key| self.name(key)).collect()
    }

    async fn call(&self, words: &[&[u8]]) -> Result<Value, Error> {
        reply::call(&self.client, words).await.map_err(Error::Other)
    }
}

fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Other(format!("the value has more than {VALUE_BYTES_MAX} bytes")))
}

fn bytes(value: Value) -> Result<Option<Vec<u8>>, Error> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::Other("the server sent an unexpected reply".into())
}
