//! The HTTP trigger: routes, the services behind them and the server in front.

mod activity;
mod body;
mod connection;
mod exchange;
mod pool;
mod problem;
mod route;
mod seat;
mod serve;
mod server;
mod service;
mod services;
pub(crate) mod spin_fields;
mod streamed;
mod worker;

pub use body::RequestBody;
pub use exchange::{Answer, Handler};
pub use problem::text;
pub use serve::serve;
pub use server::{HEALTH_PATH, Server};
pub use service::HttpService;
pub use services::{Services, check_triggers};
