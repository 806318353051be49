//! Valkey's wire without its transport: the address of a server, pipelines of commands as
//! RESP, scripts, and replies.

mod address;
mod decode;
mod encode;
mod error;
mod hello;
mod script;

pub use address::Address;
pub use decode::{Decoder, Reply, Scalar};
pub use encode::encode;
pub use error::Error;
pub use hello::{Refusal, hello, refusal};
pub use script::{By, Script, is_unknown_script};
