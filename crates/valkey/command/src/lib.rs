//! Commands and calls of scripts in the form in which Valkey receives them, and how long the calls for
//! a batch may take.

mod encode;
mod script;
mod time_limits;

pub use encode::{Command, encode};
pub use script::{Script, ScriptRef, is_unknown_script};
pub use time_limits::TimeLimits;
