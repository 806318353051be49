//! Windows of event time, in which every record is counted once.
//!
//! A [`fold`](macro@crate::fold) adds what one record contributes to a [`Window`]. The Spin variable
//! `windows` contains the settings, in TOML: which windows there are, where the event time of a
//! record is, which records are late, and how long windows are kept. It can also name aggregates,
//! which are counted in addition to what the function adds.
//!
//! ```
//! use spin_kafka_sdk::{self as kafka, Record, Window};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     product: String,
//!     quantity: u32,
//! }
//!
//! #[kafka::fold]
//! fn count(record: &Record, window: &mut Window) -> Result<(), kafka::Error> {
//!     let order: Order = record.json()?;
//!     window.top("products", order.product, order.quantity.into());
//!     Ok(())
//! }
//!
//! # fn main() {
//! // A test calls the function and compares what it adds with the expected additions.
//! let record = Record::new("orders", 0, 7).with_value(r#"{"product":"tv","quantity":2}"#);
//! let (mut window, mut expected) = (Window::default(), Window::default());
//! count(&record, &mut window).unwrap();
//! expected.top("products", "tv", 2);
//! assert_eq!(window, expected);
//! # }
//! ```
//!
//! The function may run several times for the same record, so it must have no effects except what
//! it adds, which must depend on the record only. A record is added to all windows that contain its
//! event time. The rules of [`mod@crate::state`] apply.
//!
//! The component needs the Spin variables `windows` and `valkey_url`.

use std::sync::OnceLock;

pub use spin_kafka_windows::{Group, Window, quantile};
use spin_kafka_windows::{Log, Refused, Windows};

use crate::export::{BatchResult, PositionResult};
use crate::state::{read, read_all, settings};
use crate::{Batch, Error, Failure, OrFail as _, Partition, Record, Rejection, State, state};

/// The Spin variable with the settings.
const SETTINGS_VARIABLE: &str = "windows";

impl spin_kafka_windows::Record for Record {
    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.header(name)
    }
}

/// Adds the records of a batch to their windows.
#[doc(hidden)]
pub async fn apply(
    batch: Batch,
    fold: impl AsyncFn(&Record, &mut Window) -> Result<(), Error>,
) -> BatchResult {
    let windows = windows().await?;
    let run = async |batch: &Batch, state: &mut State| run(windows, batch, state, &fold).await;
    state::apply_also_without_records(windows.namespace().clone(), batch, run).await
}

/// The stored position of a partition.
#[doc(hidden)]
pub async fn position(partition: Partition) -> PositionResult {
    state::position(windows().await?.namespace().clone(), partition).await
}

async fn run(
    windows: &Windows,
    batch: &Batch,
    state: &mut State,
    fold: &impl AsyncFn(&Record, &mut Window) -> Result<(), Error>,
) -> BatchResult {
    let partition = batch.log();
    let log = Log {
        group: partition.group(),
        topic: partition.topic(),
        log_id: partition.log_id().unwrap_or_default(),
        partition: partition.number(),
    };
    let [stored] = read(state, [windows.progress(&log)]).await?;
    let mut pass = windows.begin(&log, stored.as_deref()).or_fatal()?;
    let mut rejections = Vec::new();
    for record in batch.records() {
        let mut entry = match windows.entry(record) {
            Ok(entry) => entry,
            Err(error) => {
                rejections.push(record.reject(error));
                continue;
            }
        };
        match fold(record, &mut entry.window).await {
            Ok(()) => {}
            Err(Error::Reject(reason)) => {
                rejections.push(record.reject(reason));
                continue;
            }
            Err(Error::Failure(failure)) => return Err(failure),
        }
        if let Err(error) = pass.add(record.offset(), entry) {
            rejections.push(record.reject(error));
        }
    }
    let reads = pass.reads();
    let sessions = if reads.is_empty() { Vec::new() } else { read_all(state, reads).await? };
    let refused =
        pass.finish(state, batch.handed_over_from(), batch.end(), &sessions).or_fatal()?;
    rejections.extend(
        refused.into_iter().map(|Refused { offset, reason }| {
            Rejection::because_of_earlier_records(offset, reason)
        }),
    );
    Ok(rejections)
}

/// The windows of the settings. They do not change during the life of an instance.
async fn windows() -> Result<&'static Windows, Failure> {
    static WINDOWS: OnceLock<Windows> = OnceLock::new();
    if let Some(windows) = WINDOWS.get() {
        return Ok(windows);
    }
    let text = settings::find(SETTINGS_VARIABLE).await?.ok_or_else(|| {
        Failure::fatal(format_args!("Spin variable `{SETTINGS_VARIABLE}` is required"))
    })?;
    let windows = Windows::parse(&text).map_err(|error| {
        Failure::fatal(format_args!("Spin variable `{SETTINGS_VARIABLE}`: {error}"))
    })?;
    Ok(WINDOWS.get_or_init(|| windows))
}
