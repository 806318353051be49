//! The arguments of `doorbuster load`.

use std::path::PathBuf;

/// Send sales as fast as they are taken, and write down which were accepted.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where sales go.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000/purchase")]
    pub url: http::Uri,
    /// Requests to send.
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        default_value_t = 100_000,
        conflicts_with = "seconds"
    )]
    pub count: u64,
    /// Send for so many seconds instead of a number of requests.
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// Connections, each with one request at a time.
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Requests a second, evenly spread; as fast as they are answered if not given. Latency is
    /// then measured from the moment a request was due, so that a slow answer is not hidden by
    /// the requests that waited behind it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Tries again after a failure that may pass, with the same Idempotency-Key.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
    /// Longest wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Of 100 accepted requests, repeat so many once more, some time later: a client that never
    /// saw its answer. They must not be counted again.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub repeat: u8,
    /// Send no Idempotency-Key: a sale that is sent again is then another sale.
    #[arg(long, conflicts_with_all = ["repeat", "retries"])]
    pub without_keys: bool,
    /// Seed of the random sales: the same seed sends the same sales.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Different products in each category.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub products: u32,
    /// Write every accepted sale here, for `doorbuster verify`.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Print the summary as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Show no progress bar.
    #[arg(long, short)]
    pub quiet: bool,
}
