//! One store.

use std::sync::Arc;

use redis::Value;
use valkey_client::Client;

use super::bindings::v3::Error;
use crate::limits::{KEY_BYTES_MAX, KEYS_AT_ONCE_MAX, VALUE_BYTES_MAX, VALUES_BYTES_MAX};
use crate::reply;

/// The begin of the names of all keys, so that they are never those of the pipeline.
const PREFIX: &str = "spin-kv";

/// The cursor of the first part of the keys.
pub(super) const FIRST: &str = "0";

/// How many keys Valkey looks at for a part of a list.
const SCAN_COUNT: &str = "1000";

/// A value and its digest.
const GET_VERSION: &str = "local now = redis.call('GET', KEYS[1])
return now and {now, redis.sha1hex(now)}";

/// Sets a value if the present one has the digest `ARGV[1]`, which is empty if there was none.
const SWAP: &str = "local now = redis.call('GET', KEYS[1])
if (now and redis.sha1hex(now) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
  return 1
end
return 0";

/// The values of keys, if they do not have more than `ARGV[1]` bytes: a reply that is too long would
/// break the connection. Otherwise, their length.
const GET_MANY: &str = "local bytes = 0
for _, key in ipairs(KEYS) do bytes = bytes + redis.call('STRLEN', key) end
if bytes > tonumber(ARGV[1]) then return bytes end
return redis.call('MGET', unpack(KEYS))";

/// A store as a resource of a component.
#[derive(Clone)]
pub struct Store {
    client: Arc<Client>,
    /// The begin of the names of its keys.
    prefix: Arc<str>,
}

/// The digest of a value, so that a value need not be kept to notice a change; empty if there is none.
#[derive(Clone, Default)]
pub(super) struct Version(Vec<u8>);

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

    /// The value and its version.
    pub async fn get_version(&self, key: &str) -> Result<(Option<Vec<u8>>, Version), Error> {
        let words: [&[u8]; 4] = [b"EVAL", GET_VERSION.as_bytes(), b"1", &self.name(key)?];
        let reply = match self.call(&words).await? {
            Value::Nil => return Ok((None, Version::default())),
            Value::Array(reply) => <[Value; 2]>::try_from(reply).map_err(|_| unexpected())?,
            _ => return Err(unexpected()),
        };
        let [Value::BulkString(value), Value::BulkString(digest)] = reply else {
            return Err(unexpected());
        };
        Ok((Some(value), Version(digest)))
    }

    /// Sets the value if the present one has the version `expected`. Returns whether it had.
    pub async fn swap(&self, key: &str, expected: &Version, value: &[u8]) -> Result<bool, Error> {
        check_value(value)?;
        let words: [&[u8]; 6] =
            [b"EVAL", SWAP.as_bytes(), b"1", &self.name(key)?, &expected.0, value];
        Ok(self.call(&words).await? == Value::Int(1))
    }

    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.names(keys)?;
        let (count, bytes_max) = (names.len().to_string(), VALUES_BYTES_MAX.to_string());
        let mut words: Vec<&[u8]> = vec![b"EVAL", GET_MANY.as_bytes(), count.as_bytes()];
        words.extend(names.iter().map(Vec::as_slice));
        words.push(bytes_max.as_bytes());
        match self.call(&words).await? {
            Value::Array(values) => values.into_iter().map(bytes).collect(),
            Value::Int(bytes) => Err(Error::Other(format!(
                "the values have {bytes} bytes, more than {VALUES_BYTES_MAX}: read fewer keys at once"
            ))),
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
