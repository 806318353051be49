//! Environment variables. An empty one counts as not set.

use clap::Command;

/// The environment variable of a flag for which an empty value is meaningful.
const EMPTY_HAS_A_MEANING: &str = "SPIN_LOG_DIR";

/// The value of an environment variable; `None` if it is not set or empty.
pub fn setting(name: &str) -> Result<Option<String>, String> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|_| format!("{name} is not UTF-8"))
}

/// Removes the empty environment variables of flags from the command and its subcommands, because
/// deployments contain an empty variable where a value is left out.
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
