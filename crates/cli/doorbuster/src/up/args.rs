//! The arguments of `doorbuster up`.

use std::net::SocketAddr;

use clap::builder::BoolishValueParser;
use runner::CommonArgs;
use runner::args::parse_address;

use crate::brokers::parse_brokers;
use crate::source::Source;

/// Run an application: its HTTP and Kafka components in one process.
///
/// If the application uses the variables `kafka_brokers` and `valkey_url` and they have no value,
/// this command starts embedded servers: a Kafka broker inside this process, and the Valkey server
/// on the PATH as a child process. They are for trying out the application: their data is deleted
/// at the end.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Run only this component, with its triggers; may be repeated.
    #[arg(
        short,
        long,
        value_name = "ID",
        value_delimiter = ',',
        env = "SPIN_COMPONENTS_TO_RETAIN"
    )]
    pub component_id: Vec<String>,
    /// Address of the HTTP components; HOST may be a name such as `localhost`. If the application
    /// has none, address of the operator port.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        default_value = "127.0.0.1:3000",
        env = "SPIN_HTTP_LISTEN_ADDR"
    )]
    pub listen: SocketAddr,
    /// Address of the operator port, which serves /metrics for Prometheus, /healthz and /readyz. If
    /// all components run in this process and the variable `metrics_url` has no value, it is set to
    /// /metrics of this port. For this variable there is a port by default, if --listen is a
    /// loopback address: the same address with the next port, 127.0.0.1:3001, or with a free port
    /// if that one is in use.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        env = "DOORBUSTER_OPERATOR"
    )]
    pub operator: Option<SocketAddr>,
    /// Access to dead letters through the operator port: `none`, `view`, or `replay`, which also
    /// permits sending them back. By default `view` with the embedded broker, and `none` otherwise.
    /// Without an operator port it has no effect. The live page shows the letters if it reads the
    /// metrics of this port. Letters contain the data of records, and everyone who can open the page
    /// sees them. The address of a local page must have an IP address or `localhost` as its host. If
    /// two processes send letters back at the same time (`doorbuster dlq replay` may be one of them),
    /// letters are sent twice.
    #[arg(
        long,
        value_name = "ACCESS",
        value_enum,
        hide_possible_values = true,
        env = "DOORBUSTER_DEAD_LETTERS"
    )]
    pub dead_letters: Option<LetterAccess>,
    /// Load new builds of the components, and the files that they read, when these change; SIGHUP
    /// does this once, also during the start. The process remains in its consumer group.
    #[arg(long)]
    pub watch: bool,
    /// Bootstrap brokers of Kafka; sets the variable `kafka_brokers`.
    #[arg(long, value_name = "HOST:PORT[,…]", value_parser = parse_brokers)]
    pub kafka: Option<String>,
    /// Valkey; if several servers are named, the primary is used. Sets the variables `valkey_url`
    /// and, except with Sentinel, `valkey_address`.
    #[arg(
        long,
        value_name = "redis://HOST:PORT[,…]",
        hide_env_values = true,
        env = "DOORBUSTER_VALKEY"
    )]
    pub valkey: Option<String>,
    /// Never start servers; `kafka_brokers` and `valkey_url` must have values, if they are used.
    #[arg(
        long,
        env = "DOORBUSTER_NO_EMBEDDED",
        value_parser = BoolishValueParser::new()
    )]
    pub no_embedded: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What the operator port permits with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LetterAccess {
    /// Nothing.
    None,
    /// They are shown.
    View,
    /// They are shown, and can be sent back.
    Replay,
}
