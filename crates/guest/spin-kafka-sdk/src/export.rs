//! What the attribute macros expand to. Not a part of the interface of this crate.

use std::future::Future;

use tracing::Instrument as _;

use crate::bindings::handler::spin_kafka::events::types;
use crate::producer::Outgoing;
use crate::{Answer, Batch, Error, Failure, Partition, Record, Rejection, log};

pub type BatchResult = Result<Vec<Rejection>, Failure>;
pub type TransformResult = Result<Answer, Failure>;
pub type PositionResult = Result<Option<i64>, Failure>;

/// A component with a handler.
pub trait Handler {
    fn handle(batch: Batch) -> impl Future<Output = BatchResult>;
}

/// A component with a handler that returns records.
pub trait Transform {
    fn transform(batch: Batch) -> impl Future<Output = TransformResult>;
}

/// A component that stores its own position.
pub trait Checkpoint {
    fn position(partition: Partition) -> impl Future<Output = PositionResult>;
}

/// What a record handler returns.
#[diagnostic::on_unimplemented(
    message = "a record handler cannot return `{Self}`",
    label = "expected `()`, or `Result<(), E>` with an `E` that converts into `Error`"
)]
pub trait RecordOutcome {
    fn into_result(self) -> Result<(), Error>;
}

impl RecordOutcome for () {
    fn into_result(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<E: Into<Error>> RecordOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), Error> {
        self.map_err(Into::into)
    }
}

/// What a batch handler returns.
#[diagnostic::on_unimplemented(
    message = "a batch handler cannot return `{Self}`",
    label = "expected `()`, `Vec<Rejection>`, or a `Result` of one of them with an error that \
             converts into `Failure`"
)]
pub trait BatchOutcome {
    fn into_result(self) -> BatchResult;
}

impl BatchOutcome for () {
    fn into_result(self) -> BatchResult {
        Ok(Vec::new())
    }
}

impl BatchOutcome for Vec<Rejection> {
    fn into_result(self) -> BatchResult {
        Ok(self)
    }
}

impl<E: Into<Failure>> BatchOutcome for Result<(), E> {
    fn into_result(self) -> BatchResult {
        self.map(|()| Vec::new()).map_err(Into::into)
    }
}

impl<E: Into<Failure>> BatchOutcome for Result<Vec<Rejection>, E> {
    fn into_result(self) -> BatchResult {
        self.map_err(Into::into)
    }
}

/// What a handler that transforms records returns.
#[diagnostic::on_unimplemented(
    message = "a handler that transforms records cannot return `{Self}`",
    label = "expected `Answer`, `Vec<Outgoing>`, or a `Result` of one of them with an error that \
             converts into `Failure`"
)]
pub trait TransformOutcome {
    fn into_result(self) -> TransformResult;
}

impl TransformOutcome for Answer {
    fn into_result(self) -> TransformResult {
        Ok(self)
    }
}

impl TransformOutcome for Vec<Outgoing> {
    fn into_result(self) -> TransformResult {
        Ok(self.into())
    }
}

impl<A: Into<Answer>, E: Into<Failure>> TransformOutcome for Result<A, E> {
    fn into_result(self) -> TransformResult {
        self.map(Into::into).map_err(Into::into)
    }
}

/// Handles the records one after the other, up to the first failure.
pub async fn each_record(
    batch: &Batch,
    handle: impl AsyncFn(&Record) -> Result<(), Error>,
) -> BatchResult {
    let mut rejections = Vec::new();
    for record in batch.records() {
        let offset = record.offset();
        let span = tracing::error_span!("record", offset);
        match handle(record).instrument(span).await {
            Ok(()) => {}
            Err(Error::Reject(reason)) => rejections.push(record.reject(reason)),
            Err(Error::Failure(failure)) => return Err(failure),
        }
    }
    Ok(rejections)
}

/// Calls the handler, in a span that adds topic and partition to its log entries. The level of the
/// spans is the highest, so that they are present at every level of the log.
pub async fn handle<H: Handler>(
    batch: types::Batch,
) -> Result<Vec<types::Rejection>, types::Failure> {
    log::init();
    let batch = Batch::received(batch);
    let span = tracing::error_span!("batch", topic = batch.topic(), partition = batch.partition());
    match H::handle(batch).instrument(span).await {
        Ok(rejections) => Ok(rejections.into_iter().map(rejection).collect()),
        Err(error) => Err(failure(error)),
    }
}

/// Calls the handler that returns records, in the same span as [`handle`]. Returns the rejections
/// and the records.
pub async fn transform<T: Transform>(
    batch: types::Batch,
) -> Result<(Vec<types::Rejection>, Vec<types::Outgoing>), types::Failure> {
    log::init();
    let batch = Batch::received(batch);
    let span = tracing::error_span!("batch", topic = batch.topic(), partition = batch.partition());
    let Answer { rejections, records } =
        T::transform(batch).instrument(span).await.map_err(failure)?;
    let records = records.into_iter().map(|Outgoing(record)| record);
    Ok((rejections.into_iter().map(rejection).collect(), records.collect()))
}

/// Calls the function that returns the position, in a span like that of a batch.
pub async fn position<C: Checkpoint>(partition: Partition) -> Result<Option<i64>, types::Failure> {
    log::init();
    let (topic, number) = (partition.topic(), partition.number());
    let span = tracing::error_span!("position", topic, partition = number);
    C::position(partition).instrument(span).await.map_err(failure)
}

fn rejection(rejection: Rejection) -> types::Rejection {
    let (offset, reason) = (rejection.offset(), rejection.reason().to_owned());
    types::Rejection { offset, reason }
}

fn failure(failure: Failure) -> types::Failure {
    match failure {
        Failure::Retry(reason) => types::Failure::Retry(reason),
        Failure::Rewind(position) => types::Failure::Rewind(position),
        Failure::Lost => types::Failure::Lost,
        Failure::Fatal(reason) => types::Failure::Fatal(reason),
    }
}

/// Exports a [`Handler`]. Only in a component: the names of the exported symbols are not valid in a
/// native library.
#[doc(hidden)]
#[macro_export]
macro_rules! export_handler {
    ($component:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::handler::exports::spin_kafka::events::handler::Guest;
            use $crate::bindings::handler::spin_kafka::events::types::{Batch, Failure, Rejection};

            struct Exported;
            $crate::bindings::handler::export_handler!(Exported);

            impl Guest for Exported {
                async fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
                    $crate::export::handle::<$component>(batch).await
                }
            }
        };
    };
}

/// Exports a [`Transform`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_transform {
    ($component:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::handler::spin_kafka::events::types::{Batch, Failure};
            use $crate::bindings::transform::exports::spin_kafka::events::transform_handler::{
                Answer, Guest,
            };

            struct Exported;
            $crate::bindings::transform::export_transform!(Exported);

            impl Guest for Exported {
                async fn transform(batch: Batch) -> Result<Answer, Failure> {
                    let transformed = $crate::export::transform::<$component>(batch).await;
                    transformed.map(|(rejections, records)| Answer { rejections, records })
                }
            }
        };
    };
}

/// Exports a [`Checkpoint`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_checkpoint {
    ($component:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::checkpoint::exports::spin_kafka::events::checkpoint::Guest;
            use $crate::bindings::handler::spin_kafka::events::types::Failure;

            struct Exported;
            $crate::bindings::checkpoint::export_checkpoint!(Exported);

            impl Guest for Exported {
                async fn position(
                    group: String,
                    topic: String,
                    log_id: Option<String>,
                    number: i32,
                ) -> Result<Option<i64>, Failure> {
                    let log_id = log_id.as_deref();
                    let partition = $crate::Partition::new(&group, &topic, log_id, number);
                    $crate::export::position::<$component>(partition).await
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::sync::{Arc, Mutex};

    use futures::executor::block_on;
    use tracing::level_filters::LevelFilter;

    use super::*;

    fn batch() -> Batch {
        let values = ["1", "x", "3"].into_iter().zip(4..);
        let record = |(value, offset)| Record::new("numbers", 0, offset).with_value(value);
        Batch::new(Partition::new("adders", "numbers", None, 0), 4..7, values.map(record).collect())
    }

    #[test]
    fn a_rejected_record_does_not_stop_the_others() {
        let seen = RefCell::new(Vec::new());
        let handle = async |record: &Record| -> Result<(), Error> {
            seen.borrow_mut().push(record.json::<u32>()?);
            Ok(())
        };
        let rejections = block_on(each_record(&batch(), handle)).unwrap();
        assert_eq!(seen.into_inner(), [1, 3]);
        let [only] = rejections.as_slice() else { panic!("{rejections:?}") };
        assert_eq!(only.offset(), 5);
        assert!(only.reason().contains("expected value"), "{only:?}");
    }

    #[test]
    fn a_failure_ends_the_batch() {
        let seen = RefCell::new(0);
        let handle = async |_: &Record| -> Result<(), Error> {
            *seen.borrow_mut() += 1;
            Err(Error::retry("the store is down"))
        };
        let failure = block_on(each_record(&batch(), handle)).unwrap_err();
        assert_eq!((failure, seen.into_inner()), (Failure::retry("the store is down"), 1));
    }

    /// A component that writes a warning in each call.
    struct Warns;

    impl Handler for Warns {
        async fn handle(batch: Batch) -> BatchResult {
            let handle = async |_: &Record| -> Result<(), Error> {
                tracing::warn!("record");
                Ok(())
            };
            each_record(&batch, handle).await
        }
    }

    impl Checkpoint for Warns {
        async fn position(_: Partition) -> PositionResult {
            tracing::warn!("position");
            Ok(None)
        }
    }

    /// What was written to the log.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_warning_has_its_place_at_the_level_of_warnings() {
        let written = Written::default();
        let writer = {
            let written = written.clone();
            move || written.clone()
        };
        let record = types::Record {
            offset: 4,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let batch = types::Batch {
            topic: "numbers".into(),
            log_id: None,
            partition: 7,
            group: "adders".into(),
            expected_position: None,
            start: 4,
            end: 5,
            attempt: 1,
            time_limit_ms: 60_000,
            records: vec![record],
        };
        tracing::subscriber::with_default(log::subscriber(LevelFilter::WARN, writer), || {
            block_on(handle::<Warns>(batch)).unwrap();
            block_on(position::<Warns>(Partition::new("adders", "numbers", None, 7))).unwrap();
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [record, position] = lines.as_slice() else { panic!("{text}") };
        let place = r#"topic="numbers" partition=7"#;
        assert!(record.contains(place) && record.contains("offset=4"), "{record}");
        assert!(position.contains(place), "{position}");
    }
}
