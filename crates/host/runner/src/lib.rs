//! Starts, runs and drains an application: shared by `doorbuster up`, the Spin plugin and the
//! containerd shim. [`RunOptions`] are the flags and the runtime configuration file; with them an
//! application becomes a [`PreparedApp`], and that is started as a [`Session`].

pub mod args;
pub mod builds;
pub mod checks;
mod collector;
pub mod consumers;
pub mod environment;
mod headers;
mod metrics_export;
mod metrics_request;
mod operator_port;
pub mod options;
pub mod program;
mod running;
pub mod runtime_config;
pub mod session;
pub mod shutdown;
pub mod telemetry;
pub mod variables;
mod watch;

pub use args::CommonArgs;
pub use builds::Builds;
pub use checks::PreflightChecks;
pub use consumers::Consumers;
pub use metrics_export::MetricsExport;
pub use options::{RunOptions, TRIGGER_TYPES};
pub use session::{Addresses, PreparedApp, Session};
pub use telemetry::Telemetry;
pub use variables::VariableArgs;
