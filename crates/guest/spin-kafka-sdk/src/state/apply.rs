//! Applies a batch and its position in one step.

use std::time::{Duration, Instant};

use spin_kafka_state::{
    Fingerprint, Namespace, OffsetRange, RecordId, Source, State, Step, Transaction,
};

use super::{client, settings};
use crate::export::{BatchResult, PositionResult};
use crate::{Batch, Failure, OrFail as _, Partition, Record};

/// Name of the record header that identifies retries of the same request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// No call of Valkey for a batch starts later than this. One call takes 30 s at most, so the batch
/// ends before the trigger's deadline (60 s by default), after which its records would be treated
/// as poison.
const CALLS_BEGIN_WITHIN: Duration = Duration::from_secs(20);

/// Runs the function on the records of a batch, and applies its changes.
pub async fn apply(
    namespace: Namespace,
    mut batch: Batch,
    run: impl AsyncFn(&Batch, &mut State) -> BatchResult,
) -> BatchResult {
    let limits = settings::limits().await?;
    let range = OffsetRange {
        start: batch.start(),
        end: batch.end(),
        expected_position: batch.expected_position(),
    };
    let source = source(namespace.clone(), batch.log());
    let records = batch.records().iter().map(record_id);
    let mut transaction = Transaction::new(source, range, limits, records);
    // Those of records that the function does not handle any more. All rejections of a batch must be
    // returned, also those of records that were applied before.
    let mut rejections = Vec::new();
    let begun = Instant::now();
    loop {
        batch.retain(transaction.start(), |record| transaction.includes(record.offset()));
        let mut state = State::new(namespace.clone());
        let rejected = run(&batch, &mut state).await?;
        let step = loop {
            if begun.elapsed() >= CALLS_BEGIN_WITHIN {
                return Err(Failure::retry("the function or Valkey is too slow for the batch"));
            }
            let command = transaction.command(&state).map_err(failure)?;
            let reply = client::call(&command).await?;
            match transaction.reply(reply).map_err(failure)? {
                Step::Send => {}
                step => break step,
            }
        };
        match step {
            Step::Rewind(position) => return Err(Failure::Rewind(position)),
            Step::Lost => return Err(Failure::Lost),
            Step::Done => {
                rejections.extend(rejected);
                return Ok(rejections);
            }
            Step::Run | Step::Send => {
                let mut dropped = rejected;
                dropped.retain(|rejection| !transaction.includes(rejection.offset()));
                rejections.extend(dropped);
            }
        }
    }
}

/// The stored position of a partition.
pub async fn position(namespace: Namespace, partition: Partition) -> PositionResult {
    let source = source(namespace, &partition);
    let values = client::read(&source.position_commands()).await?;
    let mut values = values.iter().map(Option::as_deref);
    Ok(source.position(values.next().flatten(), values.next().flatten()))
}

/// The namespace of the attribute's arguments.
pub fn namespace(name: &str, version: u32) -> Result<Namespace, Failure> {
    Namespace::new(name, version).or_fatal()
}

fn source(namespace: Namespace, log: &Partition) -> Source {
    Source {
        namespace,
        group: log.group().into(),
        topic: log.topic().into(),
        log_id: log.log_id().unwrap_or_default().into(),
        partition: log.number(),
    }
}

fn record_id(record: &Record) -> RecordId {
    let key = record.header(IDEMPOTENCY_KEY);
    let body = record.value().unwrap_or_default();
    RecordId {
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        fingerprint: key.map(|key| Fingerprint::new(key, body)),
    }
}

fn failure(error: spin_kafka_state::Error) -> Failure {
    if error.is_retriable() { Failure::retry(error) } else { Failure::fatal(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_with_an_idempotency_key_has_a_fingerprint() {
        let record = Record::new("t", 0, 7).with_timestamp_ms(5).with_value("v");
        let id = record_id(&record);
        assert_eq!((id.offset, id.timestamp_ms, id.fingerprint), (7, Some(5), None));
        let keyed = record_id(&record.with_header("idempotency-key", "k"));
        assert_eq!(keyed.fingerprint, Some(Fingerprint::new(b"k", b"v")));
    }

    #[test]
    fn an_error_that_a_retry_does_not_solve_is_fatal() {
        let error = |text: &str| spin_kafka_state::Error::Refused(text.into());
        assert!(
            matches!(failure(error("LOADING")), Failure::Retry(text) if text.contains("LOADING"))
        );
        let stored = spin_kafka_state::Error::Stored("WRONGTYPE the key a".into());
        assert_eq!(failure(stored), Failure::fatal("WRONGTYPE the key a"));
    }
}
