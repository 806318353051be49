//! A Kafka consumer engine that hands bounded batches to a [`Handler`] and loses none.
//!
//! Each partition has a task of its own, which reads the partition in order, hands over one
//! batch at a time and stores its end as the offset to commit once the handler has applied
//! it. A thread of its own keeps the membership in the group alive, however long a handler
//! takes. What is delivered is delivered at least once; a handler that stores
//! [`Batch::end`] together with its result, and answers it as its [`Position`], counts every
//! record once.
//!
//! ```no_run
//! use spin_kafka_trigger::{Batch, Config, Failure, Handler, Position, Rejection, Trigger};
//!
//! struct Print;
//!
//! impl Handler for Print {
//!     async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
//!         println!("{}/{}: {} records", batch.topic, batch.partition, batch.messages.len());
//!         Ok(Vec::new())
//!     }
//!
//!     async fn position(&self, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
//!         Ok(Position::Committed)
//!     }
//! }
//!
//! # async fn example() -> Result<(), spin_kafka_trigger::Error> {
//! let config = Config {
//!     brokers: "localhost:9092".into(),
//!     topics: vec!["sales-topic".into()],
//!     group: "printers".into(),
//!     ..Config::default()
//! };
//! let summary = Trigger::run(config, Print, async {
//!     let _ = tokio::signal::ctrl_c().await;
//! })
//! .await?;
//! println!("{} records", summary.records);
//! # Ok(())
//! # }
//! ```

mod apply;
mod attempt;
mod backoff;
mod batch;
mod call;
mod client_config;
mod client_log;
mod config;
mod dead_letters;
mod engine;
mod error;
mod failed;
mod filter;
mod group;
mod handler;
mod lease;
mod log_id;
mod metrics;
mod monitor;
mod native;
mod oauth;
mod partition;
mod poller;
mod position;
mod progress;
mod properties;
mod reader;
mod record;
mod running;
mod secret;
mod sequence;
mod start;
mod topics;
mod trigger;
mod turns;

pub use batch::{Batch, Header, Message};
pub use config::{Config, FailedRecords, GroupProtocol};
pub use dead_letters::headers;
pub use error::Error;
pub use failed::FailureClass;
pub use filter::{Field, Filter};
pub use handler::{Failure, Handler, Position, Rejection};
pub use metrics::Metrics;
pub use progress::{PartitionProgress, Progress};
pub use properties::ClientProperties;
pub use secret::Secret;
pub use start::Start;
pub use topics::is_pattern;
pub use trigger::{Summary, Trigger};
