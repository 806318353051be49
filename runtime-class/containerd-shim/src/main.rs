//! `containerd-shim-doorbuster-v1`: what containerd starts for a container whose runtime is
//! `io.containerd.doorbuster.v1`.
//!
//! Three processes come of it. containerd starts the shim, which starts itself again as the server
//! that containerd then speaks to. Before it has any thread, the server forks a zygote: from that
//! come the containers' processes, which enter the container's namespaces and control groups, give
//! up its privileges, and then, without another program being started, run the application.

mod application;
mod environment;
mod log;
mod sandbox;
mod serve;
mod server_life;
mod settings;
mod stats;
mod usage;

use std::process::ExitCode;

use containerd_shim_wasm::shim::{Cli as _, Config};

use sandbox::Doorbuster;

/// As in `doorbuster`: work comes and goes on several threads, in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = environment::leave_the_nodes() {
        let error = anyhow::Error::new(error);
        return printing::failure(&error.context("cannot start without the node's environment"));
    }
    // It has no log: the container's processes have one of their own, on standard error.
    if let Err(error) = server_life::start_zygote() {
        printing::note(format_args!("Error: cannot open a pipe: {error}"));
        return ExitCode::FAILURE;
    }
    log::start();
    let _stats = match stats::stand_between() {
        Ok(server) => server,
        Err(error) => return printing::failure(&error.context("cannot serve containerd")),
    };
    Doorbuster::run(Config { no_setup_logger: true, ..Config::default() });
    ExitCode::SUCCESS
}
