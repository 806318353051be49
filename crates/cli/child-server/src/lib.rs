//! Servers as child processes on the loopback interface: they log to a file and end together with
//! their parent. [`Valkey`] is one; nothing is installed here.

mod on_path;
mod ports;
mod process;
mod valkey;
mod watchdog;

pub use on_path::on_path;
pub use ports::{accepts, free_port};
pub use process::{AtDrop, Process};
pub use valkey::{Valkey, ValkeyConfig, answers};
pub use watchdog::Watchdog;
