//! The arguments of the measurements.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measure the pipeline on real Kafka and Valkey, beside the same one without WebAssembly.
///
/// The contenders run in turn, and the next round begins with another one. The results are medians
/// with the lowest and the highest value, and ratios to the base within the same round. Use a
/// machine that does nothing else meanwhile.
#[derive(Parser, Debug, Clone)]
#[command(name = "bench")]
pub struct Args {
    /// What to measure.
    #[arg(value_enum, value_name = "MEASUREMENT", default_value = "all")]
    pub measurements: Vec<Measurement>,
    /// Change the defaults of all other options to small values: to see whether everything works,
    /// not for results.
    #[arg(long)]
    pub short: bool,
    /// Number of rounds, in each of which every contender has a turn.
    #[arg(long, value_name = "N", default_value = "5", default_value_if("short", "true", "1"), value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Duration of each load, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", default_value_if("short", "true", "2"), value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// accept, drain, latency, end-to-end: only these contenders, by their names in the tables.
    /// Ratios need `native`.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub contenders: Vec<String>,
    /// accept, analytics, breakdown, hello, viewers, overload: numbers of connections of the load, one after the other.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "50,200", default_value_if("short", "true", "50"), value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Vec<u32>,
    /// latency, brokers: requests or posts per second, one after the other.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "500,1000,2000,4000", default_value_if("short", "true", "200"), value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rates: Vec<u64>,
    /// drain, rebuild, brokers, and growth with partitions and products (there at least one for each
    /// product): number of sales or posts that are counted.
    #[arg(long, value_name = "N", default_value = "1000000", default_value_if("short", "true", "100000"), value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    pub sales: u64,
    /// students: number of students in the database.
    #[arg(long, value_name = "N", default_value = "2000000", default_value_if("short", "true", "20000"), value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub students: u64,
    /// drain: compare with this build of the component `aggregator`, and with nothing else.
    #[arg(long, value_name = "PATH")]
    pub aggregator: Option<PathBuf>,
    /// viewers: number of viewers of the live page.
    #[arg(long, value_name = "N", default_value = "200", default_value_if("short", "true", "10"), value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub viewers: u32,
    /// growth: numbers of connections.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,4,16,64,256,1024,4096", default_value_if("short", "true", "1,256"), value_parser = clap::value_parser!(u32).range(1..=8_192))]
    pub growth_connections: Vec<u32>,
    /// growth: numbers of partitions.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,4,8,16,32,64", default_value_if("short", "true", "1,8"), value_parser = clap::value_parser!(i32).range(1..=1_024))]
    pub growth_partitions: Vec<i32>,
    /// growth: numbers of sales that wait in Kafka.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,10000,100000,1000000,10000000", default_value_if("short", "true", "1000,10000"), value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub growth_lags: Vec<u64>,
    /// growth: numbers of different products, in all four categories together.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "200,1000,10000,100000,1000000", default_value_if("short", "true", "200,10000"), value_parser = clap::value_parser!(u32).range(4..=10_000_000))]
    pub growth_products: Vec<u32>,
    /// hello: the `wasmtime` with which Doorbuster is compared. By default the release of the
    /// same series as Doorbuster's wasmtime is installed.
    #[arg(long, value_name = "PATH")]
    pub wasmtime: Option<PathBuf>,
    /// hello: also compare with this `spin`. It must support components of WASI 0.3.
    #[arg(long, value_name = "PATH")]
    pub spin: Option<PathBuf>,
}

/// What can be measured.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measurement {
    /// Everything below, except `brokers`.
    All,
    /// From the request to the broker's acknowledgement, as fast as the pipeline answers, with and
    /// without idempotency keys.
    Accept,
    /// The CPU time of one request, step by step: HTTP with one component, two components with
    /// Kafka, three, and Valkey.
    Breakdown,
    /// How fast a backlog in Kafka is counted in Valkey.
    Drain,
    /// The time to the answer at fixed rates of requests, from when each request was due.
    Latency,
    /// How fast a topic is counted again after Valkey was emptied; every key is compared with a
    /// recount, and the memory is measured.
    Rebuild,
    /// The time from a request until its sale is visible in Valkey, at half of the capacity.
    EndToEnd,
    /// The time from the start of the program to the first sale, with compiled components in the
    /// cache; and how long an instance takes to create, and how much memory it needs.
    Start,
    /// The component `hello`, which answers at once, in Doorbuster, `wasmtime serve` and Spin.
    Hello,
    /// Twice as many requests as the pipeline can accept.
    Overload,
    /// Growth with connections, partitions, lag and products.
    Growth,
    /// What viewers of the live page cost.
    Viewers,
    /// What the middleware `analytics` costs, while the broker answers and while it is down.
    Analytics,
    /// What clients get while servers behind `balance` fail, without and with ejection, health checks,
    /// `retry` and `breaker`. `cargo xtask compare gateway` starts it, too, and writes
    /// docs/benchmarks/gateway.md.
    Gateway,
    /// `examples/weather` over Kafka and over RabbitMQ: speed, latency, and faults. Needs
    /// RabbitMQ. `cargo xtask compare brokers` starts it.
    Brokers,
    /// `examples/university` beside the same service with axum and sqlx: pages of a list in PostgreSQL.
    /// `cargo xtask compare students` starts it.
    Students,
}

impl Args {
    /// Whether this measurement was requested.
    pub fn has(&self, measurement: Measurement) -> bool {
        self.measurements.iter().any(|m| *m == measurement || *m == Measurement::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_changes_defaults_only() {
        let args = |rest: &[&str]| {
            Args::try_parse_from(["bench"].iter().chain(rest)).map_err(|e| e.to_string()).unwrap()
        };
        let long = args(&[]);
        assert_eq!((long.rounds, long.connections.as_slice()), (5, [50, 200].as_slice()));
        assert!(long.has(Measurement::Drain));
        let short = args(&["accept", "end-to-end", "--short", "--seconds", "9"]);
        assert_eq!((short.rounds, short.seconds), (1, 9));
        assert_eq!(short.connections, [50]);
        assert!(short.has(Measurement::EndToEnd) && !short.has(Measurement::Drain));
    }
}
