//! Commands and calls of scripts in the form in which Valkey receives them.

mod encode;
mod script;

pub use encode::{Command, encode};
pub use script::{Script, ScriptRef, is_unknown_script};
