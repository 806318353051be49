//! The aggregator's calls of Valkey.

use crate::bindings::doorbuster::valkey::client::{ClientError, Reply, Scalar, pipeline};
use crate::bindings::spin_kafka::events::types::Failure;

type Command = Vec<Vec<u8>>;

/// Calls the script.
pub async fn call(command: Command) -> Result<aggregate::Reply, Failure> {
    match one(pipeline(vec![command]).await.map_err(client_failure)?)? {
        Reply::One(Scalar::Error(text)) => Ok(aggregate::Reply::Error(text)),
        Reply::Many(values) => Ok(aggregate::Reply::Answer(values.into_iter().map(word).collect())),
        other => Err(Failure::Retry(format!("Valkey answered the script with {other:?}"))),
    }
}

/// Reads two values; None for one that does not exist.
pub async fn read(commands: [Command; 2]) -> Result<[Option<Vec<u8>>; 2], Failure> {
    let replies = pipeline(commands.into()).await.map_err(client_failure)?;
    let mut values = [None, None];
    for (value, reply) in values.iter_mut().zip(replies) {
        match reply {
            Reply::One(Scalar::Text(text)) => *value = Some(text),
            Reply::One(Scalar::Nil) => {}
            other => return Err(Failure::Retry(format!("Valkey answered HGET with {other:?}"))),
        }
    }
    Ok(values)
}

fn one(replies: Vec<Reply>) -> Result<Reply, Failure> {
    replies.into_iter().next().ok_or_else(|| Failure::Retry("Valkey gave no reply".into()))
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
