//! `trigger-kafka`: the program that `spin up` starts for an application with `[[trigger.kafka]]`.

mod application;
mod cli;
mod parents;
mod run;

use std::process::ExitCode;

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
    let work = |metrics| run::run(cli, parents, metrics);
    match runner::program::run(env!("CARGO_BIN_NAME"), work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => printing::failure(&error),
    }
}
