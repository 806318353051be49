//! The arguments of the comparison.

use std::path::PathBuf;

use clap::Parser;

/// Compare the pipeline with the same one without WebAssembly, on real Kafka and Valkey.
///
/// The contenders run in turn, A B C A B C; the result is the ratio of their medians. Use a machine
/// that does nothing else meanwhile. For a short run: --rounds 1 --seconds 2 --sales 50000.
#[derive(Parser, Debug, Clone)]
#[command(name = "bench")]
pub struct Args {
    /// Number of runs of each contender.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Time for which each load on the request path is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Numbers of connections of the load, measured one after the other.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [50, 200])]
    pub connections: Vec<u32>,
    /// Number of sales in the topic that is counted.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub sales: u64,
    /// Measure only what this number of viewers of the live page cost, instead of the comparison
    /// with the native pipeline.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub viewers: u32,
    /// File to which the results are written, as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench/compare.json")]
    pub out: PathBuf,
}
