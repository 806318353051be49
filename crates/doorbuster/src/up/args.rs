//! The arguments of `doorbuster up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use runner::CommonArgs;
use runner::args::parse_address;

use crate::brokers::parse_brokers;
use crate::source::Source;

/// Run an application: its HTTP and its Kafka components in one process.
///
/// Where the application uses the variables `kafka_brokers` and `valkey_url` and nothing gives them
/// a value, it brings its own: a Kafka broker inside this process and a Valkey server as a child.
/// They are for a look around: they forget when they stop. With --local DIR they are real Apache
/// Kafka and Valkey that keep their data in DIR.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Run this component alone, with its triggers; may be repeated.
    #[arg(
        short,
        long,
        value_name = "ID",
        value_delimiter = ',',
        env = "SPIN_COMPONENTS_TO_RETAIN"
    )]
    pub component_id: Vec<String>,
    /// Address that the HTTP components are served on. Without any, operators are served on it.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        default_value = "127.0.0.1:3000",
        env = "SPIN_HTTP_LISTEN_ADDR"
    )]
    pub listen: SocketAddr,
    /// Serve operators on this address: /metrics for Prometheus, /healthz, /readyz.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        env = "DOORBUSTER_OPERATOR"
    )]
    pub operator: Option<SocketAddr>,
    /// Take over new builds of the components as soon as their files change; SIGHUP does it
    /// once. The Kafka group is not left for it.
    #[arg(long)]
    pub watch: bool,
    /// Kafka's bootstrap brokers; sets the variable `kafka_brokers`.
    #[arg(long, value_name = "HOST:PORT[,…]", value_parser = parse_brokers)]
    pub kafka: Option<String>,
    /// Valkey, of several servers the one that is the primary; sets the variables `valkey_url` and
    /// `valkey_address`.
    #[arg(
        long,
        value_name = "redis://HOST:PORT[,…]",
        hide_env_values = true,
        env = "DOORBUSTER_VALKEY"
    )]
    pub valkey: Option<String>,
    /// Start real Kafka and Valkey on this machine and keep their data here.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kafka", "valkey"])]
    pub local: Option<PathBuf>,
    /// Never bring servers; a variable that would name them must have a value.
    #[arg(
        long,
        env = "DOORBUSTER_NO_EMBEDDED",
        value_parser = BoolishValueParser::new(),
        conflicts_with = "local"
    )]
    pub no_embedded: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}
