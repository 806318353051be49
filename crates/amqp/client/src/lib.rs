//! What the AMQP trigger and the AMQP producer share: the address of a broker, connections, time
//! limits of its answers, messages with confirms, and the header for the key of a record.
#![warn(missing_debug_implementations)]

mod address;
mod answer;
mod group;
pub mod headers;

pub use address::{Address, AddressError, ConnectError};
pub use answer::{ANSWER_LIMIT, REGULAR_CLOSE, close_channel, reply_code, within};
pub use group::{Answer, Publication, Published, Returned, open_channel, publish};
