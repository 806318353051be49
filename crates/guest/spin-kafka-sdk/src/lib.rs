#![doc = include_str!("../README.md")]

// The generated bindings and the macros name this crate by its absolute path.
extern crate self as spin_kafka_sdk;

mod answer;
mod batch;
#[doc(hidden)]
pub mod bindings;
mod error;
#[doc(hidden)]
pub mod export;
mod json;
mod log;
pub mod producer;
mod record;
pub mod state;
pub mod windows;

pub use answer::Answer;
#[doc(hidden)]
pub use batch::FromBatch;
pub use batch::{Batch, Parsed, Partition, parse};
pub use error::{Error, Failure, OrFail, Rejection};
pub use json::Json;
pub use record::{FromRecord, Record};
pub use state::State;
pub use windows::Window;

/// Makes a function the handler of single records.
///
/// Each parameter is a value that is taken from the record: `&Record` itself, [`Json`], or any
/// other type with [`FromRecord`]. The function returns nothing, or a `Result<(), E>` with an `E`
/// that converts into [`Error`]. It may be `async`.
///
/// The records of a batch are handled one after the other. A rejected record goes to the
/// dead-letter topic, and the next record is handled. After a [`Failure`] the host hands over the
/// whole batch again, including the records before the one that failed: the function must tolerate
/// that.
///
/// ```
/// use spin_kafka_sdk::{self as kafka, Json, Record};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     product: String,
///     quantity: u32,
/// }
///
/// #[kafka::record]
/// async fn handle(order: Json<Order>, record: &Record) -> Result<(), kafka::Error> {
///     if order.quantity == 0 {
///         return Err(kafka::Error::reject("an order of nothing"));
///     }
///     tracing::info!(product = order.product, offset = record.offset(), "ordered");
///     Ok(())
/// }
/// ```
///
/// A type that is not taken from a record does not compile:
///
/// ```compile_fail,E0277
/// #[spin_kafka_sdk::record]
/// fn handle(order: String) {}
/// ```
pub use spin_kafka_macro::record;

/// Makes a function the handler of batches.
///
/// Its parameter is `&[Record]` or [`&Batch`](Batch). It returns the rejected records as
/// `Vec<Rejection>`, or nothing, or a `Result` of either with an error that converts into
/// [`Failure`]. A failure means that nothing of the batch was applied; a record is rejected only
/// by returning its [`Rejection`]. The function may be `async`.
///
/// ```
/// use spin_kafka_sdk::{self as kafka, Failure, Json, Record, Rejection};
///
/// #[kafka::batch]
/// fn handle(records: &[Record]) -> Result<Vec<Rejection>, Failure> {
///     let (orders, mut rejections) = kafka::parse::<Json<u32>>(records)?;
///     for (record, Json(quantity)) in orders {
///         if quantity == 0 {
///             rejections.push(record.reject("an order of nothing"));
///         }
///     }
///     Ok(rejections)
/// }
/// ```
///
/// With a [`State`] as the second parameter, the component counts in Valkey, and every record is
/// counted once; see [`mod@state`]:
///
/// ```
/// use spin_kafka_sdk::{self as kafka, Record, State};
///
/// #[kafka::batch(state = "orders", version = 1)]
/// fn count(records: &[Record], state: &mut State) {
///     state.increment("orders", records.len() as i64);
/// }
/// ```
///
/// An [`Error`] may be a rejection, and does not say of which record. So it does not convert into
/// a failure of a batch:
///
/// ```compile_fail,E0277
/// use spin_kafka_sdk::{self as kafka, Failure, Record};
///
/// #[kafka::batch]
/// fn handle(records: &[Record]) -> Result<(), Failure> {
///     for record in records {
///         let quantity: u32 = record.json()?;
///     }
///     Ok(())
/// }
/// ```
pub use spin_kafka_macro::batch;

/// Makes a function the handler of batches that returns records to write.
///
/// Each batch is one Kafka transaction: the records, the dead letters and the offset are written
/// together or not at all. A reader with the isolation level `read_committed` sees the output of
/// each record exactly once. If the only broker of a cluster is killed, output may be written twice.
/// `output_topics` of the trigger in `spin.toml` names the topics.
///
/// The parameter is `&[Record]` or [`&Batch`](Batch). The function returns the records as
/// `Vec<Outgoing>`, or an [`Answer`] with rejections, or a `Result` of either with an error that
/// converts into [`Failure`]. It may be `async`. It must have no other effects, and must not write
/// records by [`producer::send`].
///
/// ```
/// use spin_kafka_sdk::producer::Outgoing;
/// use spin_kafka_sdk::{self as kafka, Answer, Failure, Json, Record};
///
/// #[kafka::transform]
/// fn double(records: &[Record]) -> Result<Answer, Failure> {
///     let (numbers, rejections) = kafka::parse::<Json<u32>>(records)?;
///     let doubled = |(record, number): (&Record, Json<u32>)| {
///         let key = record.key().unwrap_or_default();
///         Outgoing::new("doubled").key(key).value((u64::from(number.0) * 2).to_string())
///     };
///     Ok(Answer { rejections, records: numbers.into_iter().map(doubled).collect() })
/// }
/// ```
pub use spin_kafka_macro::transform;

/// Makes a function the fold of windows of event time.
///
/// Its first parameter is `&Record`, its second one [`&mut Window`](Window), to which it adds what
/// the record contributes. It returns nothing, or a `Result<(), E>` with an `E` that converts into
/// [`Error`]. See [`mod@windows`].
///
/// ```
/// use spin_kafka_sdk::{self as kafka, Record, Window};
///
/// #[kafka::fold]
/// fn count_words(record: &Record, window: &mut Window) {
///     let text = String::from_utf8_lossy(record.value().unwrap_or_default());
///     for word in text.split_whitespace() {
///         window.top("words", word, 1);
///     }
/// }
/// ```
pub use spin_kafka_macro::fold;

/// Makes a function the one that returns the stored position of a [`Partition`].
///
/// For components with a [`batch`] handler that stores [`Batch::end`] in the same atomic step as
/// its result, so that every record is counted exactly once. The function returns
/// `Result<Option<i64>, E>` with an `E` that converts into [`Failure`]: the position from which to
/// read, or `None` if nothing of this log was applied yet. The host calls it at every assignment.
///
/// ```
/// use spin_kafka_sdk::{self as kafka, Batch, Failure, Partition};
/// # mod store {
/// #     pub async fn position(_: Option<&str>, _: i32) -> std::io::Result<Option<i64>> { Ok(None) }
/// #     pub async fn apply(_: usize, _: i64) -> std::io::Result<()> { Ok(()) }
/// # }
///
/// #[kafka::batch]
/// async fn handle(batch: &Batch) -> Result<(), Failure> {
///     match store::position(batch.log_id(), batch.partition()).await? {
///         None if batch.expected_position().is_some() => Err(Failure::Lost),
///         Some(stored) if stored < batch.start() => Err(Failure::Rewind(stored)),
///         Some(stored) if stored >= batch.end() => Ok(()),
///         stored => {
///             let begin = stored.unwrap_or(batch.start());
///             let new = batch.records().iter().filter(|record| record.offset() >= begin);
///             Ok(store::apply(new.count(), batch.end()).await?)
///         }
///     }
/// }
///
/// #[kafka::position]
/// async fn position(partition: &Partition) -> Result<Option<i64>, Failure> {
///     Ok(store::position(partition.log_id(), partition.number()).await?)
/// }
/// ```
pub use spin_kafka_macro::position;

#[doc(hidden)]
pub use wit_bindgen;
