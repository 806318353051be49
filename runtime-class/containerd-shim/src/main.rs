//! `containerd-shim-doorbuster-v1`: the program that containerd starts for a container whose
//! runtime is `io.containerd.doorbuster.v1`.
//!
//! It runs as three kinds of processes. containerd starts the shim, which starts itself again as
//! the server that containerd communicates with. Before the server starts a thread, it forks a
//! zygote. The containers' processes are forks of the zygote: they enter the container's namespaces
//! and control groups, give up their privileges, and run the application without executing another
//! program.

mod application;
mod environment;
mod logging;
mod sandbox;
mod serve;
mod server_life;
mod settings;
mod stats;
mod usage;

use std::process::ExitCode;

use containerd_shim_wasm::shim::{Cli as _, Config};

use sandbox::Doorbuster;

/// The same allocator as in `doorbuster`: memory is allocated and freed on different threads, in
/// small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = environment::scrub_environment() {
        let error = anyhow::Error::new(error);
        return printing::failure(&error.context("cannot start without the node's environment"));
    }
    // The shim has no log here; the containers' processes log to their own standard error.
    if let Err(error) = server_life::start_zygote() {
        printing::note(format_args!("Error: cannot open a pipe: {error}"));
        return ExitCode::FAILURE;
    }
    logging::start();
    let _stats = match stats::start_proxy() {
        Ok(server) => server,
        Err(error) => return printing::failure(&error.context("cannot serve containerd")),
    };
    Doorbuster::run(Config { no_setup_logger: true, ..Config::default() });
    ExitCode::SUCCESS
}
