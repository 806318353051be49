//! State in Valkey that is changed once for every record.
//!
//! A [`batch`](macro@crate::batch) handler with the argument `state` gets a [`State`], in which it
//! makes its changes. After it returns, this crate stores the changes in Valkey together with the
//! position in the log, in one atomic step. So every record is counted once: after crashes,
//! rebalances, repeated batches, a second owner of the partition, and a store that has lost data. A
//! record with the header `idempotency-key` is left out if a record with the same key and the same
//! value was counted before.
//!
//! ```
//! use spin_kafka_sdk::{self as kafka, Json, Record, Rejection, State};
//!
//! #[derive(serde::Deserialize)]
//! struct Payment {
//!     shop: String,
//!     amount: String,
//! }
//!
//! #[kafka::batch(state = "payments")]
//! fn count(records: &[Record], state: &mut State) -> Result<Vec<Rejection>, kafka::Failure> {
//!     let (payments, mut rejections) = kafka::parse::<Json<Payment>>(records)?;
//!     for (record, Json(payment)) in payments {
//!         match payment.amount.parse() {
//!             Ok(amount) => state.hash("turnover").add(payment.shop, amount),
//!             Err(_) => rejections.push(record.reject("the amount is not a decimal")),
//!         }
//!     }
//!     Ok(rejections)
//! }
//!
//! # fn main() {
//! // A test calls the function and compares its changes with the expected ones.
//! let record = Record::new("payments", 0, 7).with_value(r#"{"shop":"a","amount":"1.50"}"#);
//! let (mut state, mut expected) = (State::default(), State::default());
//! count(&[record], &mut state).unwrap();
//! expected.hash("turnover").add("a", "1.50".parse().unwrap());
//! assert_eq!(state, expected);
//! # }
//! ```
//!
//! The function may run several times for the same records, so it must have no effects except its
//! changes of the state. It must derive them only from the records and from values that it has
//! [`read`]. Whether a record is rejected must depend on the record only, never on a value that was
//! read. The function is not called for a batch without records.
//!
//! The keys in Valkey are `{NAME:VERSION}:KEY`, with the name and the version of the attribute. If a
//! new program changes the state in another way, give it the next version: it has its own keys and
//! its own positions, and is built from the beginning of the log. A second consumer group needs
//! another name; with the same one, each record would be counted for each group.
//!
//! The component needs the Spin variable `valkey_url`.

mod apply;
mod client;
pub(crate) mod settings;

#[doc(hidden)]
pub(crate) use apply::apply_also_without_records;
pub use apply::{apply, namespace, position};
#[doc(hidden)]
pub use settings::find as variable;
pub use spin_kafka_state::{Decimal, DecimalError, Hash, Read, State};
#[doc(hidden)]
pub use spin_kafka_state::{Namespace, is_valid_name};

use crate::{Failure, OrFail as _};

/// Reads values in one round trip; `None` for those that do not exist. The changes that the function
/// has made in `state` are not included.
///
/// If one of the values is another one when the changes are applied, nothing is applied, and the
/// function runs again. So a change may depend on a value that was read, even if several partitions
/// change it.
///
/// ```no_run
/// use spin_kafka_sdk::state::{Read, read};
/// use spin_kafka_sdk::{self as kafka, Record, State};
///
/// #[kafka::batch(state = "first-customer")]
/// async fn keep_first(records: &[Record], state: &mut State) -> Result<(), kafka::Failure> {
///     let [first] = read(state, [Read::value("first")]).await?;
///     if let (None, Some(key)) = (first, records.iter().find_map(Record::key)) {
///         state.set("first", key);
///     }
///     Ok(())
/// }
/// ```
pub async fn read<const N: usize>(
    state: &mut State,
    reads: [Read; N],
) -> Result<[Option<Vec<u8>>; N], Failure> {
    let mut values = read_all(state, reads.into()).await?.into_iter();
    Ok(std::array::from_fn(|_| values.next().flatten()))
}

/// Like [`read`], for a number of values that is known only at run time.
pub async fn read_all(
    state: &mut State,
    reads: Vec<Read>,
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    state.check_reads(reads.len()).or_fatal()?;
    let namespace = state.namespace().ok_or_else(|| {
        Failure::fatal("a function can read its state only in a component, not in a native test")
    })?;
    let commands: Vec<_> = reads.iter().map(|read| read.command(namespace)).collect();
    let values = client::read(&commands).await?;
    for (read, value) in reads.into_iter().zip(&values) {
        state.record_read(read, value.clone());
    }
    Ok(values)
}
