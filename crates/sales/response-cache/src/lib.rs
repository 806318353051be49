//! A shared HTTP cache (RFC 9111): which responses are stored, when a stored one is used, and when it
//! is validated first. Without I/O: the caller sends the requests.
//!
//! Where the RFC permits a choice, the one is taken that cannot give the response of one user to
//! another ([`Lookup`], [`Stored`]).

mod conditional;
mod directives;
mod flights;
mod key;
mod lookup;
mod memory;
mod reuse;
mod settings;
pub mod shared;
mod status;
mod stored;

pub use flights::{Flights, Join, Lead};
pub use key::{Key, Variant};
pub use lookup::{Lookup, Pass, Plan, Target, plan};
pub use memory::{Alike, Found, Memory, VARIANTS_MAX};
pub use reuse::Reuse;
pub use settings::{Config, ENTRY_BYTES_MAX, Rules, VARIABLES};
pub use status::{CACHE_STATUS, Forwarded, Status};
pub use stored::{Content, Exchange, Stored, Updated, replaces_stored};
