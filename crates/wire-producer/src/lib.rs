//! An idempotent Kafka producer with acks=all that brings no network and no task of its own:
//! for guests, which have no threads, and whose instance is to be dropped when no call is left.
//!
//! A record with a key goes to the partition that Java's clients would choose, so every
//! producer puts a key in the same place. Nothing waits without a bound: a full queue refuses
//! at once, and every record has its acknowledgement or its error by the delivery timeout, or
//! little later.
//!
//! Calls under way at once share requests: while one request is under way to a broker, what
//! comes meanwhile is queued and goes with the next. There is never more than one, so records
//! keep their order. A batch whose request was not answered is sent again, byte for byte, until
//! the broker answers; it knows the batch again by the producer's id, its epoch and the batch's
//! sequence.

mod address;
mod cluster;
mod compress;
mod config;
mod connection;
mod encode;
mod error;
mod fault;
mod lead;
mod network;
mod partition;
mod producer;
mod reach;
mod record;
mod round;
mod sasl;
mod scram;
mod sequence;
mod settle;
mod shape;
mod state;
mod ticket;
mod topic;
mod verdict;
mod wire;

pub use address::Address;
pub use config::{Compression, Config, Mechanism, Sasl};
pub use error::{ConnectError, Error};
pub use network::{Network, Stream};
pub use produce::{Delivery, Header, OutgoingRecord, ProduceError};
pub use producer::Producer;
