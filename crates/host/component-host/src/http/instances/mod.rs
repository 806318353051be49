//! The instances of the HTTP components.
//!
//! Two state machines decide without I/O: [`schedule`] which requests wait and when an instance is
//! created, and [`instance`] what one instance does next. [`pool`] performs the decisions of the
//! first one, and [`event_loop`] those of the second one.

mod chain;
mod event_loop;
mod handlers;
mod instance;
mod pool;
mod response_body;
mod schedule;
mod whole;
mod worker;

pub(super) use pool::{InstanceFailed, InstanceRequest, NoInstance, Pool};
pub(crate) use response_body::ResponseBody;
pub(super) use whole::Complete;
pub(super) use worker::new_pool;
