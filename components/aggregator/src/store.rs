//! The aggregator's calls of Valkey.

use valkey_codec::{Command, Reply, Scalar, encode};

use crate::bindings::doorbuster::valkey::client::{ClientError, pipeline};
use crate::bindings::spin_kafka::events::types::Failure;

/// Maximum time in milliseconds of a call that reads the position. Such a call has no time limit of a
/// batch; this is the longest that the interface allows.
const READ_LIMIT_MS: u32 = 30_000;

/// Calls the script, which may take this time.
pub async fn call(command: &Command, limit_ms: u32) -> Result<aggregate::Reply, Failure> {
    match send(command.encode(), 1, limit_ms).await?.into_iter().next() {
        Some(Reply::One(Scalar::Error(text))) => Ok(aggregate::Reply::Error(text)),
        Some(Reply::Many(values)) => {
            Ok(aggregate::Reply::Values(values.into_iter().map(word).collect()))
        }
        other => {
            Err(Failure::Retry(format!("unexpected reply of Valkey to the script: {other:?}")))
        }
    }
}

/// Reads two values; None for one that does not exist.
pub async fn read(commands: [Vec<Vec<u8>>; 2]) -> Result<[Option<Vec<u8>>; 2], Failure> {
    let mut values = [None, None];
    let replies = send(encode(&commands), 2, READ_LIMIT_MS).await?;
    for (value, reply) in values.iter_mut().zip(replies) {
        match reply {
            Reply::One(Scalar::Text(text)) => *value = Some(text),
            Reply::One(Scalar::Nil) => {}
            other => {
                return Err(Failure::Retry(format!(
                    "unexpected reply of Valkey to HGET: {other:?}"
                )));
            }
        }
    }
    Ok(values)
}

/// Sends encoded commands, which have this number of replies, in one round trip.
async fn send(commands: Vec<u8>, replies: u32, limit_ms: u32) -> Result<Vec<Reply>, Failure> {
    pipeline(commands, replies, limit_ms).await.map_err(client_failure)
}

fn word(value: Scalar) -> String {
    match value {
        Scalar::Text(text) => String::from_utf8_lossy(&text).into_owned(),
        Scalar::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
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
