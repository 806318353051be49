//! Environment variables: one that is empty is not set.

use clap::Command;

/// The environment variable of a flag whose empty value means something, as the flag's does.
const EMPTY_HAS_A_MEANING: &str = "SPIN_LOG_DIR";

/// The value of an environment variable; none if it is not set, or empty.
pub fn setting(name: &str) -> Result<Option<String>, String> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|_| format!("{name} is not UTF-8"))
}

/// The command, and those below it, with only such environment variables for their flags as are
/// not empty. Deployments have empty variables where a value is left out.
pub fn without_empty(command: Command) -> Command {
    let is_empty = |name: &std::ffi::OsStr| {
        name != EMPTY_HAS_A_MEANING && std::env::var_os(name).is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(move |arg| {
            let unset = arg.get_env().is_some_and(is_empty);
            if unset { arg.env(None::<&str>) } else { arg }
        })
        .mut_subcommands(without_empty)
}
