//! `trigger-kafka`: the program that `spin up` starts for an application with `[[trigger.kafka]]`.

mod application;
mod cli;
mod parents;
mod run;

use std::process::ExitCode;

use runner::{Telemetry, shutdown};

use cli::Cli;
use parents::Parents;

/// The same allocator as in `doorbuster`: memory is allocated and freed on different threads, in
/// small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    match cli.answers() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return printing::failure(&error.into()),
    }
    let parents = Parents::now();
    let telemetry = match Telemetry::start(env!("CARGO_BIN_NAME")) {
        Ok(telemetry) => telemetry,
        Err(error) => return printing::failure(&error),
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            let ended = runtime.block_on(run::run(cli, parents));
            // A signal during the start does not wait for the compilation of a component.
            runtime.shutdown_timeout(shutdown::TASKS_LIMIT);
            ended
        });
    telemetry.end();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => printing::failure(&error),
    }
}
