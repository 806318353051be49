//! The Valkey protocol without its transport: addresses of servers, detection of the primary,
//! commands encoded as RESP, scripts, replies, and messages of channels.

mod address;
mod client_error;
mod decode;
mod error;
mod hello;
mod limits;
mod nesting;
mod primary;
mod role;
mod servers;
mod split;
mod subscription;

pub use address::Address;
pub use client_error::ClientError;
pub use decode::{Decoder, Reply, Scalar};
pub use error::Error;
pub use hello::{
    Refusal, auth_resp2, hello, hello_resp2, is_hello_unsupported, refusal, refusal_resp2,
    without_password,
};
pub use limits::{COMMANDS_MAX, CONNECT_LIMIT, IDLE_MAX, REPLIES_BYTES_MAX, ROUND_LIMIT};
pub use primary::connect_to_primary;
pub use role::{PRIMARY, ROLE, UNKNOWN_ROLE, shows_no_primary};
pub use servers::{SERVERS_MAX, Servers};
pub use split::split;
pub use subscription::{Event, SubscriptionDecoder};
pub use valkey_command::{Command, Script, ScriptRef, TimeLimits, encode, is_unknown_script};
