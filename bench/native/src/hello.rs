//! Answers every request at once. The base for the hosts that run the component `hello`.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::http::header;
use axum::routing::any;

use crate::accept::{ACCEPTED, serve};

/// Answer every request at once.
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
}

/// Serves until SIGTERM or SIGINT.
#[tokio::main]
pub async fn run(args: Args) -> Result<()> {
    let answer = any(async || ([(header::CONTENT_TYPE, "application/json")], ACCEPTED));
    serve(args.listen, Router::new().fallback(answer)).await
}
