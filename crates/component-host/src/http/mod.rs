//! The HTTP trigger: routes, the services behind them and the server in front.

mod body;
mod instances;
mod problem;
mod route;
mod server;
mod service;
mod services;

pub use server::Server;
pub use service::HttpService;
pub use services::Services;
