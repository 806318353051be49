//! The flags, and the answers to the queries of `spin up` about them.

use std::net::SocketAddr;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};
use printing::Unwritten;
use runner::CommonArgs;
use runner::args::parse_address;
use runner::environment::without_empty;
use serde_json::json;

use crate::trigger_type::TriggerType;

/// Runs the Kafka or AMQP triggers of a Spin application. `spin up` starts it.
#[derive(Parser)]
#[command(version, override_usage = "spin up [OPTIONS]")]
#[command(next_help_heading = "Kafka trigger options")]
pub struct Cli {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Address of the operator port, which serves /metrics for Prometheus, /healthz and /readyz. In
    /// an application without HTTP triggers, `--listen` has the same effect.
    #[arg(
        long,
        alias = "listen",
        value_name = "HOST:PORT",
        value_parser = parse_address,
        env = "DOORBUSTER_OPERATOR"
    )]
    pub operator: Option<SocketAddr>,
    /// Print the help text of these flags; used by `spin up --help`.
    #[arg(long, hide = true)]
    help_args_only: bool,
    /// Print the list of flags to standard error; used by `spin up` if an application has triggers
    /// of several types.
    #[arg(long, hide = true)]
    launch_metadata_only: bool,
}

impl Cli {
    /// Parses the arguments. Exits if they are not valid.
    pub fn read(trigger_type: TriggerType) -> Self {
        let matches = without_empty(named(trigger_type)).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Answers the queries with which `spin up` calls the plugin before it runs an application.
    /// Returns false if this call is not such a query.
    pub fn answers(&self, trigger_type: TriggerType) -> Result<bool, Unwritten> {
        if self.help_args_only {
            let mut command =
                named(trigger_type).disable_help_flag(true).disable_version_flag(true);
            command = command.help_template("{all-args}");
            printing::result(command.render_long_help())?;
        } else if self.launch_metadata_only {
            printing::note(format_args!("{:#}", launch_metadata()));
        }
        Ok(self.help_args_only || self.launch_metadata_only)
    }
}

/// The command line under the name of the plugin.
fn named(trigger_type: TriggerType) -> Command {
    let command = Cli::command().name(trigger_type.program());
    match trigger_type {
        TriggerType::Kafka => command,
        TriggerType::Amqp => command.mut_args(|arg| arg.help_heading("AMQP trigger options")),
    }
}

/// The flags in the form that `spin up` expects. `--listen` is not included, because it belongs to
/// the HTTP trigger if there is one.
fn launch_metadata() -> serde_json::Value {
    let command = Cli::command();
    let flags = command.get_arguments().map(|flag| {
        let mut named = serde_json::Map::new();
        named.extend(flag.get_short().map(|short| ("short".into(), format!("-{short}").into())));
        named.extend(flag.get_long().map(|long| ("long".into(), format!("--{long}").into())));
        named
    });
    json!({ "all_flags": flags.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_for_spin_contains_every_flag_but_listen() {
        let flags = launch_metadata().to_string();
        for flag in [
            "--variable",
            "--runtime-config-file",
            "\"-L\"",
            "--follow",
            "\"-q\"",
            "--operator",
            "--disable-cache",
        ] {
            assert!(flags.contains(flag), "{flag}: {flags}");
        }
        assert!(!flags.contains("--listen"));
        let cli = Cli::try_parse_from(["trigger-kafka", "--listen", "127.0.0.1:1"]).unwrap();
        assert_eq!(cli.operator, "127.0.0.1:1".parse().ok());
    }
}
