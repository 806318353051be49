//! The task of one partition, and its parts.

mod applier;
mod batch_loop;
mod context;
mod cursor;
mod failed_records;
mod gatherer;
mod handler_calls;
mod locator;
mod log_check;
mod offset_store;
mod reader;
mod task;

pub(crate) use context::TaskEnd;
pub(crate) use task::PartitionTask;
