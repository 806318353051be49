//! An idempotent Kafka producer with acks=all that needs no threads and no background task, for
//! WebAssembly guests. The network is provided by the caller, and an instance without calls is idle
//! and can be dropped.
//!
//! A record with a key is written to the partition that the Java client would choose, so all
//! producers agree. All waits and queues are limited: if the queue is full, records are refused at
//! once, and every record gets its acknowledgement or its error within the delivery timeout or
//! shortly after.
//!
//! Concurrent calls share requests: records that arrive during a request to a broker are queued and
//! sent with the next one. There is at most one request per broker at a time, so records keep their
//! order. A batch whose request was not answered is sent again, byte for byte, until the broker
//! answers. The broker recognises it by the producer id, the epoch and the batch's sequence number.

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
pub use kafka_record::{Delivery, Header, OutgoingRecord, ProduceError};
pub use network::{Network, Stream};
pub use producer::Producer;
