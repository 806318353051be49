//! Release candidates of WASI 0.3. Components of spin-sdk 5 and 6 import interfaces of a release
//! candidate, and so does every application whose dependencies were composed by `spin registry
//! push`.
//!
//! The candidate of Spin 4, `0.3.0-rc-2026-03-15`, has the types of 0.3.0; older ones have most of
//! them. So an import of a candidate is satisfied by the interface of 0.3.0, and the linker refuses
//! it if a function that the component imports has another type.

use memchr::memmem;
use wac_graph::types::{Package, Types};
use wasmtime::component::{Linker, LinkerInstance};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_http::p3::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use crate::lookup::CheckedLookup;
use crate::state::GuestState;
use spin_app::interface::without_version;

/// Separates the version of a release from the date of its candidate.
const MARK: &str = "-rc-";

/// `wasi:http/types@0.3.0` for `wasi:http/types@0.3.0-rc-2026-03-15`; `None` if the name is not
/// that of a candidate.
pub(crate) fn released(name: &str) -> Option<&str> {
    let (release, _) = name.split_once(MARK)?;
    (name.starts_with("wasi:") && release.contains("@0.3.")).then_some(release)
}

/// Whether an export of this component has the name of a candidate. Few components contain such a
/// name, and only those are parsed.
pub(crate) fn exports_candidate(bytes: &[u8]) -> bool {
    if memmem::find(bytes, MARK.as_bytes()).is_none() {
        return false;
    }
    let mut types = Types::default();
    // Bytes that are not a component are rejected later, when they are compiled.
    let package = Package::from_bytes("host:root", None, bytes, &mut types).ok();
    package.is_some_and(|package| {
        types[package.ty()].exports.keys().any(|name| released(name).is_some())
    })
}

/// Defines an import of a candidate with the interface of 0.3.0 of that name, if there is one.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>, import: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    let path = without_version(import).trim_start_matches("wasi:");
    match path.split_once('/') {
        Some(("cli", interface)) => add_cli(&mut instance, interface),
        Some(("clocks", interface)) => add_clocks(&mut instance, interface),
        Some(("filesystem", interface)) => add_filesystem(&mut instance, interface),
        Some(("http", interface)) => add_http(&mut instance, interface),
        Some(("random", interface)) => add_random(&mut instance, interface),
        Some(("sockets", interface)) => add_sockets(&mut instance, interface),
        _ => Ok(()),
    }
}

type State = GuestState;

/// `add!(instance, interface, DATA, getter, "name" => module, …)` defines the interface of this
/// name.
macro_rules! add {
    ($instance:ident, $interface:ident, $data:ty, $getter:expr,
     $($name:literal => $($module:ident)::+),+ $(,)?) => {
        match $interface {
            $($name => $($module)::+::add_to_linker_instance::<_, $data>($instance, $getter),)+
            _ => Ok(()),
        }
    };
}

fn add_cli(instance: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    add!(instance, interface, WasiCli, State::cli,
        "environment" => cli::environment,
        "exit" => cli::exit,
        "stderr" => cli::stderr,
        "stdin" => cli::stdin,
        "stdout" => cli::stdout,
        "terminal-input" => cli::terminal_input,
        "terminal-output" => cli::terminal_output,
        "terminal-stderr" => cli::terminal_stderr,
        "terminal-stdin" => cli::terminal_stdin,
        "terminal-stdout" => cli::terminal_stdout,
    )
}

fn add_clocks(instance: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    add!(instance, interface, WasiClocks, State::clocks,
        "monotonic-clock" => clocks::monotonic_clock,
        "system-clock" => clocks::system_clock,
        "types" => clocks::types,
    )
}

fn add_filesystem(
    instance: &mut LinkerInstance<'_, State>,
    interface: &str,
) -> wasmtime::Result<()> {
    add!(instance, interface, WasiFilesystem, State::filesystem,
        "preopens" => filesystem::preopens,
        "types" => filesystem::types,
    )
}

fn add_http(instance: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    add!(instance, interface, WasiHttp, State::http,
        "client" => http::client,
        "types" => http::types,
    )
}

fn add_random(instance: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    add!(instance, interface, WasiRandom, State::random,
        "insecure" => random::insecure,
        "insecure-seed" => random::insecure_seed,
        "random" => random::random,
    )
}

fn add_sockets(instance: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    if interface == "ip-name-lookup" {
        return sockets::ip_name_lookup::add_to_linker_instance::<_, CheckedLookup>(
            instance,
            |state| state,
        );
    }
    add!(instance, interface, WasiSockets, <State as WasiSocketsView>::sockets, "types" => sockets::types)
}

#[cfg(test)]
mod tests {
    use super::released;

    #[test]
    fn a_candidate_has_a_release() {
        let candidate = "wasi:http/types@0.3.0-rc-2026-03-15";
        assert_eq!(released(candidate), Some("wasi:http/types@0.3.0"));
        let later = "wasi:cli/exit@0.3.1-rc-2026-12-01";
        assert_eq!(released(later), Some("wasi:cli/exit@0.3.1"));
        for other in
            ["wasi:http/types@0.3.0", "wasi:http/types@0.2.0-rc-2023-11-10", "a:b/c@0.3.0-rc-1"]
        {
            assert_eq!(released(other), None, "{other}");
        }
    }
}
