//! Windows of event time, in which every record of a Kafka log is counted once.
//!
//! [`Windows`] are parsed from settings in TOML. A [`Pass`] applies the records of one batch: it
//! takes the event time of each record, finds the windows of that time, refuses records that are too
//! late, and changes a [`State`](spin_kafka_state::State), which is stored in Valkey together with
//! the position in the log. What a record adds to its windows is a [`Window`]: the settings name
//! aggregates, and a function can add more.
//!
//! This crate does no I/O and is used by `spin-kafka-sdk`.

mod aggregate;
mod duration;
mod error;
mod event_time;
mod limits;
mod pass;
mod progress;
mod quantile;
mod record;
mod selector;
mod sessions;
mod settings;
mod window;
mod windows;

pub use error::{Error, RecordError, SettingsError};
pub use limits::{
    ADDITIONS_MAX, AMOUNT_LIMIT, GROUP_BYTES_MAX, INTEGER_MAX, OVERLAP_MAX, SESSIONS_MAX,
    SETTINGS_BYTES_MAX,
};
pub use pass::{Pass, Refused};
pub use progress::Log;
pub use quantile::quantile;
pub use record::Record;
pub use window::{Group, Window};
pub use windows::{Entry, Windows};
