//! Valkey's wire without its transport: the address of a server, pipelines of commands as
//! RESP, and replies from it.

mod address;
mod decode;
mod encode;
mod error;

pub use address::Address;
pub use decode::{Decoder, Reply, Scalar};
pub use encode::{encode, hello};
pub use error::Error;
