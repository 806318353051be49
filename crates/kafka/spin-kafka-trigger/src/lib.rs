#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod answer;
mod assignment;
mod backoff;
mod batch;
mod beginning;
mod call;
mod client_config;
mod client_properties;
mod config;
mod consumer;
mod content;
mod coverage;
mod dead_letter_topic;
mod dead_letters;
#[doc(hidden)]
pub mod decoders;
mod engine;
mod error;
mod extent;
mod failure_class;
mod filter;
#[cfg(feature = "metrics")]
mod gauges;
mod group;
mod handler;
mod handler_fn;
mod instruments;
#[cfg(feature = "filters")]
mod json;
mod lease;
mod letter;
mod letter_sink;
mod letter_topics;
mod log_id;
mod marks;
mod metrics;
mod monitor;
mod native;
mod offsets;
mod partition;
mod partition_status;
mod parts;
mod pattern;
mod pointer;
mod poller;
mod progress;
mod query;
mod record;
mod refusal;
mod replay;
mod running;
mod send_back;
mod sequence;
mod setters;
pub mod source;
mod start;
mod topics;
mod transaction;
mod transactions;
mod transform_fn;
mod trigger;
mod turns;

pub use answer::{Answer, OutgoingRecord};
pub use batch::{Batch, Header, Message};
pub use config::{Config, FailedRecords, GroupProtocol};
pub use dead_letter_topic::{DeadLetter, DeadLetterTopic, LetterCounts, Survey};
pub use error::{Error, ParseError};
pub use failure_class::FailureClass;
#[cfg(feature = "filters")]
pub use filter::passes;
pub use filter::{Field, Filter};
pub use handler::{Failure, Handler, Position, Rejection};
pub use handler_fn::{HandlerFn, handler_fn};
pub use instruments::{Counter, Gauge, Histogram};
pub use kafka_client::{
    ClientAuth, ClientProperties, Error as ClientError, OidcSettings, Secret, TokenError,
    TokenSource,
};
pub use letter::headers;
pub use metrics::Metrics;
pub use partition::{OfflineRecords, OfflineRun, RecordOutcome, apply_offline};
pub use partition_status::PartitionProgress;
pub use pattern::is_pattern;
pub use pointer::Pointer;
pub use progress::Progress;
pub use replay::{Bound, Range, RecountRange};
pub use send_back::{ReplayLimits, SentBack};
pub use start::Start;
pub use transform_fn::{TransformFn, transform_fn};
pub use trigger::{Summary, Trigger};
