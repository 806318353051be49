//! Common parts of the programs that run applications: the flags that every Spin trigger takes, the
//! runtime configuration file, logs and traces, signals, and the Kafka triggers while they run.

pub mod args;
pub mod checks;
mod collector;
pub mod common;
pub mod consumers;
pub mod environment;
mod operators;
pub mod parts;
mod running;
pub mod runtime_config;
pub mod shutdown;
pub mod telemetry;
pub mod variables;

pub use args::CommonArgs;
pub use checks::Checks;
pub use common::Common;
pub use consumers::Consumers;
pub use parts::{Addresses, Parts, TRIGGER_TYPES};
pub use telemetry::Telemetry;
pub use variables::VariableArgs;
