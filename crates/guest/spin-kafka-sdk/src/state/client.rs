//! Calls of Valkey, through the client that the host provides.

use std::cell::Cell;
use std::time::{Duration, Instant};

use spin_kafka_state::{Command, Reply as ScriptReply, TimeLimits, encode};

use crate::Failure;
use crate::bindings::state::doorbuster::valkey::client::{ClientError, Reply, Scalar, pipeline};

/// Maximum time in milliseconds of a call that reads the position. Such a call has no time limit of a
/// batch; this is the longest that the interface allows.
const POSITION_LIMIT_MS: u32 = 30_000;

/// The time of a batch. All calls for it count, also those in which the function reads.
#[derive(Debug, Clone, Copy)]
struct BatchTime {
    begun: Instant,
    limits: TimeLimits,
}

thread_local! {
    /// The time of the current batch. An instance handles one batch at a time.
    static BATCH_TIME: Cell<Option<BatchTime>> = const { Cell::new(None) };
}

/// Begins a batch with this time limit.
pub fn begin_batch(time_limit: Duration) {
    let limits = TimeLimits::of_batch(time_limit);
    BATCH_TIME.set(Some(BatchTime { begun: Instant::now(), limits }));
}

/// The maximum time of a call that begins now, in milliseconds. Fails if that is too late for the
/// batch.
pub fn call_limit_ms() -> Result<u32, Failure> {
    let Some(time) = BATCH_TIME.get() else {
        return Err(Failure::fatal("the state can be read only while a batch is handled"));
    };
    time.limits
        .call_ms(time.begun.elapsed())
        .ok_or_else(|| Failure::retry("the function or Valkey is too slow for the batch"))
}

/// Calls the script, which may take this time.
pub async fn call(command: &Command, limit_ms: u32) -> Result<ScriptReply, Failure> {
    match send(command.encode(), 1, limit_ms).await?.into_iter().next() {
        Some(Reply::One(Scalar::Error(text))) => Ok(ScriptReply::Error(text)),
        Some(Reply::Many(values)) => {
            Ok(ScriptReply::Values(values.into_iter().map(word).collect()))
        }
        other => Err(unexpected("the script", &other)),
    }
}

/// Reads values for the current batch with one command for each; None for one that does not exist.
pub async fn read(commands: &[Vec<Vec<u8>>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    read_within(commands, call_limit_ms()?).await
}

/// Reads the values that belong to a position.
pub async fn read_position(commands: &[Vec<Vec<u8>>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    read_within(commands, POSITION_LIMIT_MS).await
}

async fn read_within(
    commands: &[Vec<Vec<u8>>],
    limit_ms: u32,
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let Ok(count) = u32::try_from(commands.len()) else {
        return Err(Failure::fatal("too many commands"));
    };
    let replies = send(encode(commands), count, limit_ms).await?;
    replies.into_iter().zip(commands).map(|(reply, command)| value(reply, command)).collect()
}

fn value(reply: Reply, command: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Failure> {
    match reply {
        Reply::One(Scalar::Text(text)) => Ok(Some(text)),
        Reply::One(Scalar::Double(number)) => Ok(Some(number.to_string().into())),
        Reply::One(Scalar::Nil) => Ok(None),
        // Of the words of the command, the second one is the key.
        Reply::One(Scalar::Error(text)) if text.starts_with("WRONGTYPE") => {
            let key = command.get(1).map(|key| String::from_utf8_lossy(key));
            Err(Failure::fatal(format_args!("the key {}: {text}", key.unwrap_or_default())))
        }
        other => Err(unexpected("a command that reads", &other)),
    }
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

fn unexpected(to: &str, reply: &dyn std::fmt::Debug) -> Failure {
    Failure::retry(format_args!("unexpected reply of Valkey to {to}: {reply:?}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_to_a_command_that_reads_has_its_meaning() {
        let command = [b"GET".to_vec(), b"{n:1}:a".to_vec()];
        let of = |scalar| value(Reply::One(scalar), &command);
        assert_eq!(of(Scalar::Text(b"x".into())), Ok(Some(b"x".into())));
        assert_eq!(of(Scalar::Double(2.5)), Ok(Some(b"2.5".into())));
        assert_eq!(of(Scalar::Nil), Ok(None));
        let wrong = of(Scalar::Error("WRONGTYPE Operation".into())).unwrap_err();
        assert!(matches!(&wrong, Failure::Fatal(text) if text.contains("{n:1}:a")), "{wrong}");
        let loading = of(Scalar::Error("LOADING".into())).unwrap_err();
        assert!(matches!(&loading, Failure::Retry(text) if text.contains("LOADING")), "{loading}");
    }

    #[test]
    fn a_call_has_a_part_of_the_time_of_the_batch() {
        assert!(matches!(call_limit_ms(), Err(Failure::Fatal(_))), "without a batch");
        begin_batch(Duration::from_secs(60));
        assert_eq!(call_limit_ms(), Ok(30_000));
        begin_batch(Duration::from_secs(20));
        assert_eq!(call_limit_ms(), Ok(10_000));
        begin_batch(Duration::ZERO);
        assert!(matches!(call_limit_ms(), Err(Failure::Retry(_))));
    }

    #[test]
    fn only_wrong_settings_of_the_client_are_fatal() {
        let text = || "why".to_owned();
        assert_eq!(client_failure(ClientError::Config(text())), Failure::fatal("why"));
        for error in [
            ClientError::Connect(text()),
            ClientError::Auth(text()),
            ClientError::Interrupted(text()),
            ClientError::Protocol(text()),
        ] {
            assert_eq!(client_failure(error), Failure::retry("Valkey: why"));
        }
    }
}
