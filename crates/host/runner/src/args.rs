//! The flags that all of Spin's triggers take.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;

use crate::variables::VariableArgs;

/// Parses `HOST:PORT`. A host may be a name: the first of its addresses is used, or the IPv4
/// loopback address if that is among them, as in Spin.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let fault = |message: String| format!("{message}; write HOST:PORT, such as 127.0.0.1:3000");
    let found = text.to_socket_addrs().map_err(|error| fault(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    let local = found.iter().find(|address| address.ip() == Ipv4Addr::LOCALHOST);
    let address = local.or(found.first()).copied();
    address.ok_or_else(|| fault("the name has no address".into()))
}

/// Flags that every Spin trigger takes.
#[derive(Clone, Default, clap::Args)]
pub struct CommonArgs {
    /// Values of variables.
    #[command(flatten)]
    pub variables: VariableArgs,
    /// Folder for files with the output of components; empty for no files. By default `logs` in the
    /// state folder.
    #[arg(short = 'L', long, value_name = "DIR", env = "SPIN_LOG_DIR")]
    pub log_dir: Option<String>,
    /// Empty the log files at the start.
    #[arg(long)]
    pub truncate_logs: bool,
    /// Show only the output of this component; may be repeated.
    #[arg(long, value_name = "COMPONENT")]
    pub follow: Vec<String>,
    /// Show no output of components.
    #[arg(short, long, aliases = ["sh", "shush"], conflicts_with = "follow")]
    pub quiet: bool,
    /// State folder; empty for none. By default `.spin` beside the manifest in `spin up`, and none
    /// otherwise.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Maximum linear memory of one instance, in bytes.
    #[arg(long, value_name = "BYTES", env = "SPIN_MAX_INSTANCE_MEMORY")]
    pub max_instance_memory: Option<usize>,
    /// The host provides this import (`spin-kafka:events/producer`, `doorbuster:valkey/client` or
    /// `doorbuster:http/client`) instead of a dependency, as with `tool.doorbuster.provide` in a
    /// manifest.
    #[arg(long, value_name = "INTERFACE", value_delimiter = ',', env = "DOORBUSTER_PROVIDE")]
    pub provide: Vec<String>,
    /// Time in seconds for which new requests are served after the signal to end, 10 at most: on
    /// Kubernetes, requests arrive until every node has been informed. By default none.
    #[arg(long, value_name = "SECONDS", env = "DOORBUSTER_LINGER_S")]
    pub linger_s: Option<u64>,
    /// File with the settings of the cache for compiled components: a table `[cache]` in wasmtime's
    /// format. By default they are stored in `doorbuster/components` in the user's cache folder,
    /// 512 MiB at most. If other users can write that folder, or it cannot be created, a warning is
    /// logged and components are compiled at every start.
    #[arg(
        long,
        value_name = "FILE",
        env = "WASMTIME_CACHE_FILE",
        conflicts_with = "disable_cache"
    )]
    pub cache: Option<PathBuf>,
    /// Compile the components at every start.
    #[arg(long, env = "DISABLE_WASMTIME_CACHE", value_parser = FalseyValueParser::new())]
    pub disable_cache: bool,
    #[command(flatten)]
    pub(crate) without_effect: WithoutEffect,
}

/// Flags of Spin for features that this host does not have, such as debug information and mounted
/// files. They are accepted without effect, so that a command line for Spin's triggers works here.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct WithoutEffect {
    #[arg(long, hide = true)]
    debug_info: bool,
    #[arg(long, hide = true)]
    allow_transient_write: bool,
    #[arg(long, hide = true)]
    experimental_wasi_otel: bool,
    #[arg(long, hide = true)]
    disable_pooling: bool,
}

/// The choice of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Not specified.
    Default,
    /// No folder.
    Nowhere,
    /// This folder.
    At(PathBuf),
}

impl Folder {
    /// The choice in a flag or a setting, in which an empty value means no folder.
    pub fn new(value: &Option<String>) -> Self {
        match value.as_deref() {
            None => Folder::Default,
            Some("") => Folder::Nowhere,
            Some(path) => Folder::At(path.into()),
        }
    }

    /// This choice, or the other one if this is not specified.
    pub fn or(self, other: Folder) -> Folder {
        if self == Folder::Default { other } else { self }
    }

    /// The path, if there is one; `default` if nothing is specified.
    pub fn path_or(self, default: Option<PathBuf>) -> Option<PathBuf> {
        match self {
            Folder::Default => default,
            Folder::Nowhere => None,
            Folder::At(path) => Some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name() {
        for (text, expected) in [
            ("localhost:3000", "127.0.0.1:3000"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:3000", "[::1]:3000"),
        ] {
            assert_eq!(parse_address(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for text in ["", "localhost", ":3000x", "127.0.0.1", "127.0.0.1:70000", "::1"] {
            assert!(parse_address(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
    }
}
