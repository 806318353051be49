//! Valkey's wire without its transport: the address of a server, pipelines of commands as
//! RESP, and replies from it.

mod address;
mod decode;
mod encode;
mod error;
mod hello;

pub use address::Address;
pub use decode::{Decoder, Reply, Scalar};
pub use encode::encode;
pub use error::Error;
pub use hello::{Refusal, hello, refusal};
