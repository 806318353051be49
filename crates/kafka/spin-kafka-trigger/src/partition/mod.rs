//! The task of one partition, and its parts.
//!
//! A record passes them in this order: `reader` takes it from librdkafka's queue, `gatherer` puts
//! it into a batch, `batch_loop` hands the batch over, `applier` divides it if the handler fails,
//! `handler_calls` calls the handler, and `offset_store` stores the offset for the next commit.
//! `failed_records` handles the records that are given up. `locator` determines where to begin, and
//! `log_check` whether the topic is still the same log.
//!
//! `offline` uses the same `applier` for records that do not come from Kafka, and so does `source`
//! for those of another broker.
//!
//! Decisions that need no I/O are in files without I/O, so that they can be tested without Kafka:
//! `gatherer` here, and `parts` (division of a batch) and `beginning` (where to begin) in the
//! crate.

mod applier;
mod batch_loop;
mod context;
mod cursor;
mod failed_records;
mod gatherer;
mod handler_calls;
mod limited_retries;
mod locator;
mod log_check;
mod offline;
mod offset_store;
mod output;
mod reader;
mod source;
mod task;

pub(crate) use context::TaskEnd;
pub use offline::{OfflineRecords, OfflineRun, RecordOutcome, apply_offline};
pub use source::{Applied, ApplyEnd, BatchApplier, SourceEngine};
pub(crate) use task::PartitionTask;
