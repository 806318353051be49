//! An idempotent Kafka producer with acks=all that needs no threads and no background task, for
//! WebAssembly guests. The network is provided by the caller, and an instance without calls is idle
//! and can be dropped.
//!
//! A record with a key is written to the partition that the Java client would choose, so all
//! producers write a key to the same partition. All waits and queues are limited: if the queue is
//! full, records are refused at once, and every record gets its acknowledgement or its error within
//! the delivery timeout or shortly after.
//!
//! Concurrent calls share requests: records that arrive during a request to a broker are queued and
//! sent with the next one. There is at most one request per broker at a time, so records keep their
//! order. A batch whose request was not answered is sent again, byte for byte, until the broker
//! answers. The broker recognises it by the producer id, the epoch and the batch's sequence number.

mod address;
mod batch_result;
mod cluster;
mod compress;
mod config;
mod connect;
mod connection;
mod encode;
mod error;
mod fault;
mod network;
mod outcome;
mod partition;
mod produce;
mod producer;
mod reachability;
mod record;
mod requests;
mod sasl;
mod scram;
mod sequence;
mod shape;
mod state;
mod ticket;
mod topic;
mod wire;

pub use address::Address;
pub use config::{Compression, Config, Mechanism, Sasl};
pub use error::{ConnectError, Error};
pub use kafka_record::{Delivery, Header, OutgoingRecord, ProduceError};
pub use network::{Network, Stream};
pub use producer::Producer;
