//! The aggregator's calls of Valkey.

use std::fmt::Debug;

use valkey_codec::{Command, Reply, Scalar, encode};

use crate::bindings::doorbuster::valkey::client::{ClientError, pipeline};
use crate::bindings::spin_kafka::events::types::Failure;

/// Maximum time in milliseconds of a call for the position. Such a call has no time limit of a batch;
/// this is the longest that the interface allows.
const POSITION_LIMIT_MS: u32 = 30_000;

/// Calls the script, which may take this time.
pub async fn call(command: &Command, limit_ms: u32) -> Result<aggregate::Reply, Failure> {
    match send(command.encode(), 1, limit_ms).await?.into_iter().next() {
        Some(Reply::One(Scalar::Error(text))) => Ok(aggregate::Reply::Error(text)),
        Some(Reply::Many(values)) => {
            Ok(aggregate::Reply::Values(values.into_iter().map(word).collect()))
        }
        other => Err(unexpected(&other)),
    }
}

/// Sends commands that each read a value; None for one that does not exist.
pub async fn read(commands: &[Vec<Vec<u8>>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
    let replies = send(encode(commands), count, POSITION_LIMIT_MS).await?;
    let value = |reply| match reply {
        Reply::One(Scalar::Text(text)) => Ok(Some(text)),
        Reply::One(Scalar::Nil) => Ok(None),
        other => Err(unexpected(&other)),
    };
    replies.into_iter().map(value).collect()
}

/// Sends a command that writes.
pub async fn write(command: Vec<Vec<u8>>) -> Result<(), Failure> {
    match send(encode(&[command]), 1, POSITION_LIMIT_MS).await?.into_iter().next() {
        Some(Reply::One(Scalar::Text(_))) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &dyn Debug) -> Failure {
    Failure::Retry(format!("unexpected reply of Valkey: {reply:?}"))
}

/// Sends encoded commands, which have this number of replies, in one round trip.
async fn send(commands: Vec<u8>, replies: u32, limit_ms: u32) -> Result<Vec<Reply>, Failure> {
    pipeline(commands, replies, limit_ms).await.map_err(client_failure)
}

fn word(value: Scalar) -> Vec<u8> {
    match value {
        Scalar::Text(text) => text,
        other => format!("{other:?}").into(),
    }
}

/// Wrong settings need a change by an operator. Everything else may be temporary, and the batch
/// must not be lost.
fn client_failure(error: ClientError) -> Failure {
    match error {
        ClientError::Config(text) => Failure::Fatal(text),
        ClientError::Connect(text)
        | ClientError::Auth(text)
        | ClientError::Interrupted(text)
        | ClientError::Protocol(text) => Failure::Retry(format!("Valkey: {text}")),
    }
}

/// Maps an error of the update to an answer to the trigger.
pub fn failure(error: aggregate::Error) -> Failure {
    if error.is_retriable() {
        Failure::Retry(error.to_string())
    } else {
        Failure::Fatal(error.to_string())
    }
}
