//! The arguments of `doorbuster up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use runner::CommonArgs;

/// Run an application: its HTTP and its Kafka components in one process.
///
/// Without --kafka and --valkey it brings its own: a Kafka broker inside this process and a
/// Valkey server as a child. They are for a look around: they forget when they stop. With
/// --local DIR they are real Apache Kafka and Valkey that keep their data in DIR.
#[derive(clap::Args)]
pub struct Args {
    /// The application's manifest.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    pub from: PathBuf,
    /// Address that the HTTP components are served on.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:3000",
        env = "SPIN_HTTP_LISTEN_ADDR"
    )]
    pub listen: SocketAddr,
    /// Serve operators on this address: /metrics for Prometheus, /healthz, /readyz.
    #[arg(long, value_name = "ADDR:PORT", env = "DOORBUSTER_OPERATOR")]
    pub operator: Option<SocketAddr>,
    /// Take over new builds of the components as soon as their files change; SIGHUP does it
    /// once. The Kafka group is not left for it.
    #[arg(long)]
    pub watch: bool,
    /// Kafka's bootstrap brokers; sets the variable `kafka_brokers`.
    #[arg(long, value_name = "HOST:PORT[,…]")]
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
    #[command(flatten)]
    pub common: CommonArgs,
}
