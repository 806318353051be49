//! Commands for Valkey and Redis.

use redis::Value;
use valkey_client::Client;

use crate::limits::STATEMENT_LIMIT;

/// Sends a command and returns its reply. An error, also one of the server, is a text.
pub(crate) async fn call(client: &Client, words: &[&[u8]]) -> Result<Value, String> {
    match client.call(words, STATEMENT_LIMIT).await {
        Ok(Value::ServerError(error)) => Err(match error.details() {
            Some(details) => format!("{}: {details}", error.code()),
            None => error.code().into(),
        }),
        Ok(value) => Ok(value),
        Err(error) => Err(error.to_string()),
    }
}
