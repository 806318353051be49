//! The commands of the interface.

use redis::Value;
use valkey_client::Client;

use super::bindings::v3::{Error, RedisParameter, RedisResult};
use crate::reply;

/// Commands that would affect other calls on the connection, or block it. Spin has a connection for
/// each resource.
const REFUSED: [&str; 34] = [
    "ASKING",
    "AUTH",
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WAITAOF",
    "WATCH",
];

/// Sends a command, and returns its reply.
pub(super) async fn call(client: &Client, words: &[&[u8]]) -> Result<Value, Error> {
    reply::call(client, words).await.map_err(Error::Other)
}

/// Sends a command with one key and values.
pub(super) async fn on_key(
    client: &Client,
    command: &str,
    key: &str,
    values: &[impl AsRef<[u8]>],
) -> Result<Value, Error> {
    let mut words = vec![command.as_bytes(), key.as_bytes()];
    words.extend(values.iter().map(AsRef::as_ref));
    call(client, &words).await
}

/// Executes any command.
pub(super) async fn execute(
    client: &Client,
    command: &str,
    arguments: Vec<RedisParameter>,
) -> Result<Vec<RedisResult>, Error> {
    let arguments: Vec<Vec<u8>> = arguments
        .into_iter()
        .map(|argument| match argument {
            RedisParameter::Int64(number) => number.to_string().into_bytes(),
            RedisParameter::Binary(bytes) => bytes,
        })
        .collect();
    let blocks = command.to_ascii_uppercase().starts_with("XREAD")
        && arguments.iter().any(|argument| argument.eq_ignore_ascii_case(b"BLOCK"));
    if blocks || REFUSED.iter().any(|refused| command.eq_ignore_ascii_case(refused)) {
        return Err(Error::Other(format!(
            "{command} is not supported by this host, because other calls use the same connection; use \
             a Lua script for steps that belong together"
        )));
    }
    let mut words: Vec<&[u8]> = vec![command.as_bytes()];
    words.extend(arguments.iter().map(Vec::as_slice));
    let mut results = Vec::new();
    append(&mut results, call(client, &words).await?)?;
    Ok(results)
}

/// Appends a reply as Spin does: the values of containers follow each other. Types that only exist in
/// RESP3 have the form of RESP2.
fn append(results: &mut Vec<RedisResult>, value: Value) -> Result<(), Error> {
    results.push(match value {
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(number),
        Value::Boolean(value) => RedisResult::Int64(value.into()),
        Value::Double(number) => RedisResult::Binary(number.to_string().into()),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => RedisResult::Binary(bytes),
        Value::VerbatimString { text, .. } => RedisResult::Binary(text.into()),
        Value::Okay => RedisResult::Status("OK".into()),
        Value::SimpleString(text) => RedisResult::Status(text),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| append(results, value));
        }
        Value::Map(pairs) => {
            return pairs.into_iter().try_for_each(|(key, value)| {
                append(results, key)?;
                append(results, value)
            });
        }
        Value::Attribute { data, .. } => return append(results, *data),
        Value::ServerError(error) => return Err(Error::Other(error.code().into())),
        _ => return Err(Error::TypeError),
    });
    Ok(())
}

pub(super) fn number<T: TryFrom<i64>>(value: Value) -> Result<T, Error> {
    match value {
        Value::Int(number) => number.try_into().map_err(|_| Error::TypeError),
        _ => Err(Error::TypeError),
    }
}

pub(super) fn payload(value: Value) -> Result<Option<Vec<u8>>, Error> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(Error::TypeError),
    }
}

pub(super) fn texts(value: Value) -> Result<Vec<String>, Error> {
    let (Value::Array(values) | Value::Set(values)) = value else { return Err(Error::TypeError) };
    let text = |value| {
        let bytes = payload(value)?.ok_or(Error::TypeError)?;
        String::from_utf8(bytes).map_err(|_| Error::TypeError)
    };
    values.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_the_form_of_spin() {
        let text = |text: &str| Value::BulkString(text.into());
        let reply = Value::Array(vec![
            Value::Okay,
            Value::Map(vec![(text("a"), Value::Double(1.5)), (text("b"), Value::Nil)]),
            Value::Set(vec![Value::Int(3), Value::Boolean(true)]),
        ]);
        let mut results = Vec::new();
        append(&mut results, reply).unwrap();
        let shown = format!("{results:?}");
        let expected = "[RedisResult::Status(\"OK\"), RedisResult::Binary([97]), \
                        RedisResult::Binary([49, 46, 53]), RedisResult::Binary([98]), \
                        RedisResult::Nil, RedisResult::Int64(3), RedisResult::Int64(1)]";
        assert_eq!(shown, expected);
    }
}
