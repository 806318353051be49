//! The settings of a container: its environment, and the arguments after its command.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::error::ContextKind;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser};
use runner::args::parse_address;
use runner::environment::without_empty;
use runner::{Addresses, CommonArgs};
use spin_app::App;

/// The path at which the Spin operator of Kubernetes mounts the runtime configuration.
const RUNTIME_CONFIG: &str = "/runtime-config.toml";

/// Time in seconds in which Kubernetes informs its nodes that a pod is being deleted.
const LINGER_S: u64 = 5;

/// The flags of `doorbuster up`, except those that start servers.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct Settings {
    /// Address of the HTTP components. If the application has none, address of the operator port.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        default_value = "0.0.0.0:80",
        env = "SPIN_HTTP_LISTEN_ADDR"
    )]
    listen: SocketAddr,
    /// Address of the operator port, which serves /metrics for Prometheus, /healthz and /readyz.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_address,
        env = "DOORBUSTER_OPERATOR"
    )]
    operator: Option<SocketAddr>,
    /// Components to run; all by default.
    #[arg(
        long = "component-id",
        value_name = "ID",
        value_delimiter = ',',
        env = "SPIN_COMPONENTS_TO_RETAIN"
    )]
    components: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

impl Settings {
    /// Parses the environment and the arguments.
    pub fn read(arguments: &[String]) -> Result<Self> {
        let matches = without_empty(Self::command()).try_get_matches_from(arguments);
        let settings = matches.and_then(|matches| Self::from_arg_matches(&matches));
        let mut settings = settings.map_err(|error| usage_error(&error))?;
        let file = &mut settings.common.variables.runtime_config_file;
        if file.is_none() && Path::new(RUNTIME_CONFIG).exists() {
            *file = Some(RUNTIME_CONFIG.into());
        }
        settings.common.linger_s.get_or_insert(LINGER_S);
        Ok(settings)
    }

    /// The addresses of the application.
    pub fn addresses(&self) -> Addresses {
        Addresses { listen: Some(self.listen), operator: self.operator, ..Addresses::default() }
    }

    /// Removes the components that are not selected.
    pub fn retain(&self, app: &mut App) -> Result<()> {
        if !self.components.is_empty() {
            app.retain_components(&self.components)?;
        }
        Ok(())
    }

    /// The flags that all Spin triggers have. The compile cache is disabled: otherwise a container
    /// could choose a folder of the node from which the shim, with the node's privileges, loads
    /// machine code.
    pub fn common(self) -> CommonArgs {
        let mut common = self.common;
        (common.cache, common.disable_cache) = (None, true);
        common
    }
}

/// The error for a wrong flag, with the name of the variable if it was set by one.
fn usage_error(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let mut command = Settings::command();
    command.build();
    let argument = command.get_arguments().find(|argument| Some(argument.to_string()) == flag);
    match argument.and_then(Arg::get_env).filter(|name| std::env::var_os(name).is_some()) {
        Some(name) => anyhow!("{text}; see the container's variable {}", name.display()),
        None => anyhow!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        format!("{:#}", Settings::read(&arguments).err().unwrap())
    }

    #[test]
    fn the_error_for_an_invalid_flag_is_one_line() {
        let error = fault(&["--listen", "80"]);
        assert!(error.starts_with("invalid value '80' for '--listen <HOST:PORT>'"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let error = fault(&["--watch"]);
        assert!(error.contains("'--watch'"), "{error}");
    }

    #[test]
    fn a_container_cannot_choose_a_folder_for_machine_code() {
        let arguments = ["--cache", "/node/cache.toml"].map(str::to_owned);
        let common = Settings::read(&arguments).unwrap().common();
        assert!(common.disable_cache && common.cache.is_none());
    }
}
