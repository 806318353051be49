//! Applies a batch and its position in one step.

use spin_kafka_state::{
    Command, Fingerprint, Namespace, OffsetRange, RecordId, Reply, RetentionLimits, Source, State,
    Step, Stored, Transaction,
};

use super::{client, settings};
use crate::export::{BatchResult, PositionResult};
use crate::{Batch, Failure, OrFail as _, Partition, Record, Rejection};

/// Name of the record header that identifies retries of the same request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Runs the function on the records of a batch, and applies its changes.
pub async fn apply(
    namespace: Namespace,
    batch: Batch,
    run: impl AsyncFn(&Batch, &mut State) -> BatchResult,
) -> BatchResult {
    apply_also_without_records(namespace, batch, only_with_records(run)).await
}

/// The same for a function that also runs without records, because it stores how far it has judged
/// the log.
pub(crate) async fn apply_also_without_records(
    namespace: Namespace,
    batch: Batch,
    run: impl AsyncFn(&Batch, &mut State) -> BatchResult,
) -> BatchResult {
    client::begin_batch(batch.time_limit());
    let source = source(namespace, batch.log());
    apply_with(source, settings::limits().await?, batch, run, client::call).await
}

/// Without records the function must not change anything, but the position is stored.
fn only_with_records(
    run: impl AsyncFn(&Batch, &mut State) -> BatchResult,
) -> impl AsyncFn(&Batch, &mut State) -> BatchResult {
    async move |batch: &Batch, state: &mut State| {
        if batch.records().is_empty() { Ok(Vec::new()) } else { run(batch, state).await }
    }
}

async fn apply_with(
    source: Source,
    limits: RetentionLimits,
    mut batch: Batch,
    run: impl AsyncFn(&Batch, &mut State) -> BatchResult,
    call: impl AsyncFn(&Command, u32) -> Result<Reply, Failure>,
) -> BatchResult {
    let namespace = source.namespace.clone();
    let range = OffsetRange {
        start: batch.start(),
        end: batch.end(),
        expected_position: batch.expected_position(),
    };
    let records = batch.records().iter().map(record_id);
    let mut transaction = Transaction::new(source, range, limits, records);
    // Those of records that the function does not handle any more. All rejections of a batch must be
    // returned, also those of records that were applied before.
    let mut rejections = Vec::new();
    loop {
        batch.retain(transaction.start(), |record| transaction.includes(record.offset()));
        let mut state = State::new(namespace.clone());
        let rejected = run(&batch, &mut state).await?;
        let step = loop {
            let limit_ms = client::call_limit_ms()?;
            let command = transaction.command(&state).map_err(failure)?;
            let reply = call(&command, limit_ms).await?;
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
                rejections.sort_by_key(Rejection::offset);
                return Ok(rejections);
            }
            Step::Run | Step::Send => {
                let mut dropped = rejected;
                dropped.retain(|rejection| {
                    let (offset, start) = (rejection.offset(), transaction.start());
                    // A record that repeats an earlier one has no effect, so it cannot be late.
                    let is_void = rejection.depends_on_earlier_records() && offset >= start;
                    !transaction.includes(offset) && !is_void
                });
                rejections.extend(dropped);
            }
        }
    }
}

/// The stored position of a partition.
pub async fn position(namespace: Namespace, partition: Partition) -> PositionResult {
    let source = source(namespace, &partition);
    let values = client::read_position(&source.position_commands()).await?;
    match source.stored(&values) {
        Stored::Position(position) => Ok(Some(position)),
        // Only a state with fixed names of keys can contain counts of another program.
        Stored::Nothing | Stored::Foreign | Stored::Adopted => Ok(None),
    }
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
    use std::cell::RefCell;

    use futures::executor::block_on;

    use super::*;

    /// Applies records 5 to 8 with a function that rejects 5, 6 and 8, while Valkey returns these
    /// replies. Returns the answer, and the offsets of each run of the function.
    fn apply_to(replies: &[&[&str]]) -> (BatchResult, Vec<Vec<i64>>) {
        apply_with_rejections(replies, |record| record.reject("no"))
    }

    fn apply_with_rejections(
        replies: &[&[&str]],
        reject: impl Fn(&Record) -> Rejection,
    ) -> (BatchResult, Vec<Vec<i64>>) {
        let record = |offset: i64| {
            let record = Record::new("t", 0, offset).with_value("v");
            record.with_header("idempotency-key", offset.to_string())
        };
        let log = Partition::new("g", "t", None, 0);
        let source = source(Namespace::new("n", 1).unwrap(), &log);
        let batch = Batch::new(log, 5..9, (5..9).map(record).collect());
        let (runs, replies) = (RefCell::new(Vec::new()), RefCell::new(replies.iter()));
        let run = async |batch: &Batch, _: &mut State| -> BatchResult {
            let offsets: Vec<i64> = batch.records().iter().map(Record::offset).collect();
            assert!(batch.start() <= offsets[0] && batch.end() == 9);
            runs.borrow_mut().push(offsets);
            let rejected = batch.records().iter().filter(|record| record.offset() != 7);
            Ok(rejected.map(&reject).collect())
        };
        let call = async |_: &Command, _: u32| {
            let words = replies.borrow_mut().next().expect("one more call");
            Ok(Reply::Values(words.iter().map(|word| word.as_bytes().into()).collect()))
        };
        client::begin_batch(batch.time_limit());
        let limits = RetentionLimits::default();
        let answer = block_on(apply_with(source, limits, batch, only_with_records(run), call));
        assert!(replies.borrow_mut().next().is_none(), "a reply was not requested");
        (answer, runs.into_inner())
    }

    fn offsets(answer: BatchResult) -> Vec<i64> {
        answer.unwrap().iter().map(Rejection::offset).collect()
    }

    #[test]
    fn all_rejections_are_returned_also_those_of_records_that_were_applied_before() {
        let (answer, runs) = apply_to(&[&["applied"]]);
        assert_eq!((offsets(answer), runs), (vec![5, 6, 8], vec![vec![5, 6, 7, 8]]));
        let (answer, _) = apply_to(&[&["duplicate", "12"]]);
        assert_eq!(offsets(answer), [5, 6, 8]);
        // The position is 6, and record 8 repeats an earlier one.
        let (answer, runs) = apply_to(&[&["again", "6", "1", "3"], &["applied"]]);
        assert_eq!(offsets(answer), [5, 6, 8], "in the order of their offsets");
        assert_eq!(runs, [vec![5, 6, 7, 8], vec![6, 7]]);
    }

    #[test]
    fn a_record_that_repeats_an_earlier_one_is_not_rejected_because_of_earlier_records() {
        let rejection =
            |record: &Record| Rejection::because_of_earlier_records(record.offset(), "late".into());
        // The position is 6, and record 8 repeats an earlier one.
        let (answer, _) =
            apply_with_rejections(&[&["again", "6", "1", "3"], &["applied"]], rejection);
        assert_eq!(offsets(answer), [5, 6]);
    }

    #[test]
    fn the_function_is_not_called_without_records() {
        // All records repeat earlier ones.
        let (answer, runs) = apply_to(&[&["again", "5", "4", "0", "1", "2", "3"], &["applied"]]);
        assert_eq!((offsets(answer), runs), (vec![5, 6, 8], vec![vec![5, 6, 7, 8]]));
    }

    #[test]
    fn a_store_that_lost_data_is_reported() {
        assert_eq!(apply_to(&[&["rewind", "2"]]).0, Err(Failure::Rewind(2)));
        assert_eq!(apply_to(&[&["lost"]]).0, Err(Failure::Lost));
    }

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
