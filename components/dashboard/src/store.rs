//! Reads from Valkey.

use figures::{Error, Query, Snapshot};
use guest_http::Variable;
use intake::Problem;
use valkey_codec::{Reply, Scalar, encode};

use crate::bindings::doorbuster::valkey::client::{ClientError, pipeline};
use crate::log::Log;

/// How long Valkey may take to answer, in milliseconds.
const LIMIT_MS: u32 = 2_000;

/// The start of the names of the aggregator's keys.
static KEY_PREFIX: Variable = Variable::new("key_prefix");

thread_local! {
    static LOG: Log = const { Log::new() };
}

/// The answer to a query, as JSON.
pub async fn answer(query: &Query) -> Result<Vec<u8>, Problem> {
    match read(|prefix| query.command(prefix)).await.and_then(|reply| query.answer(reply)) {
        Ok(json) => Ok(json),
        Err(error) => Err(report(&error)),
    }
}

/// All figures at this moment.
pub async fn snapshot() -> Result<Snapshot, Problem> {
    match read(Snapshot::command).await.and_then(Snapshot::from_reply) {
        Ok(snapshot) => Ok(snapshot),
        Err(error) => Err(report(&error)),
    }
}

/// Sends the command for the keys with this prefix in one round trip. Returns the values of its reply,
/// or the server's error.
async fn read(
    command: impl FnOnce(&str) -> Vec<Vec<u8>>,
) -> Result<Result<Vec<String>, String>, Error> {
    let prefix = KEY_PREFIX.find().await.map_err(|error| Error::Refused(error.to_string()))?;
    let command = encode(&[command(prefix.unwrap_or_default())]);
    let replies = pipeline(command, 1, LIMIT_MS).await.map_err(client_error)?;
    match replies.into_iter().next() {
        Some(Reply::Many(values)) => {
            values.into_iter().map(text).collect::<Option<_>>().map(Ok).ok_or(Error::Unexpected)
        }
        Some(Reply::One(Scalar::Error(text))) => Ok(Err(text)),
        _ => Err(Error::Unexpected),
    }
}

fn text(value: Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Scalar::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn client_error(error: ClientError) -> Error {
    match error {
        ClientError::Config(text) => Error::Refused(text),
        ClientError::Connect(text)
        | ClientError::Auth(text)
        | ClientError::Interrupted(text)
        | ClientError::Protocol(text) => Error::Unavailable(text),
    }
}

/// The problem for the client. Details that are only for operators are logged.
fn report(error: &Error) -> Problem {
    let problem = Problem::from(error);
    if problem.status().is_server_error() {
        LOG.with(|log| log.note(format_args!("the figures cannot be read: {error}")));
    }
    problem
}
