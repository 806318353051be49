//! The headers of messages that contain a record.

/// The key of the record, because a message has none; without content if the record has no key. A
/// message without this header was not published by the producer.
pub const KEY: &str = "spin-amqp.key";

/// The header of a record from which its message id is set, and which is set from a message id. By
/// it, a component recognises a record that it has counted.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The headers with which a publisher names further routing keys. RabbitMQ routes a message by them,
/// too.
pub const ROUTING: [&str; 2] = ["CC", "BCC"];

/// Limit of the size of a message's headers. They must fit into one frame, whose size is 128 KiB by
/// default.
pub const BYTES_MAX: usize = 64 * 1024;
