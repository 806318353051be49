//! Converts the library's values to replies.

use redis::Value;
use valkey_codec::{ClientError, Reply, Scalar};

/// The reply to a command. Its nesting is limited as in [`valkey_codec::Decoder`].
pub(crate) fn reply(value: Value) -> Result<Reply, ClientError> {
    match value {
        Value::Array(values) | Value::Set(values) => {
            values.into_iter().map(scalar).collect::<Result<_, _>>().map(Reply::Many)
        }
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(key, value)| Ok((scalar(key)?, map_value(value)?)))
            .collect::<Result<_, _>>()
            .map(Reply::Pairs),
        Value::Attribute { data, .. } => reply(*data),
        other => scalar(other).map(Reply::One),
    }
}

/// A value of a map. Nested containers become null: the reply to HELLO contains a list of modules
/// that is not used.
fn map_value(value: Value) -> Result<Scalar, ClientError> {
    match value {
        Value::Array(_) | Value::Set(_) | Value::Map(_) => Ok(Scalar::Nil),
        other => scalar(other),
    }
}

fn scalar(value: Value) -> Result<Scalar, ClientError> {
    Ok(match value {
        Value::Nil => Scalar::Nil,
        Value::Int(number) => Scalar::Integer(number),
        Value::Boolean(value) => Scalar::Integer(i64::from(value)),
        Value::Double(number) => Scalar::Double(number),
        Value::Okay => Scalar::Text(b"OK".to_vec()),
        Value::BulkString(text) | Value::BigNumber(text) => Scalar::Text(text),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
            Scalar::Text(text.into_bytes())
        }
        Value::ServerError(error) => Scalar::Error(match error.details() {
            Some(details) => format!("{} {details}", error.code()),
            None => error.code().to_owned(),
        }),
        Value::Attribute { data, .. } => return scalar(*data),
        _ => {
            return Err(ClientError::Protocol("a reply contains another container".into()));
        }
    })
}
