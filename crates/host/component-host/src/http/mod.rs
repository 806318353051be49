//! The HTTP trigger: routes, the services behind them and the server in front.

mod activity;
mod body;
mod collector;
mod connection;
mod durations;
mod exchange;
mod instances;
mod metrics;
mod permits;
mod problem;
mod route;
mod serve;
mod server;
mod service;
mod services;
mod spin_fields;
mod static_response;
mod streamed;

pub use body::RequestBody;
pub use exchange::{Answer, Handler};
pub(crate) use instances::ResponseBody;
pub use metrics::Refusals;
pub use problem::{problem, text};
pub use serve::serve;
pub use server::Server;
pub use service::HttpService;
pub use services::{HEALTH_PATH, Services, check_triggers};
