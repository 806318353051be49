//! The HTTP trigger: routes, the services behind them and the server in front.

mod body;
mod pool;
mod problem;
mod route;
mod seat;
mod server;
mod service;
mod services;
mod worker;

pub use server::Server;
pub use service::HttpService;
pub use services::{Services, check_triggers};
