//! `trigger-kafka` and `trigger-amqp`: the program that `spin up` starts for an application with
//! `[[trigger.kafka]]` or `[[trigger.amqp]]`.

mod application;
mod cli;
mod parents;
mod run;
mod trigger_type;

use std::process::ExitCode;

use cli::Cli;
use parents::Parents;
use trigger_type::TriggerType;

/// The same allocator as in `doorbuster`: memory is allocated and freed on different threads, in
/// small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let trigger_type = TriggerType::of_program();
    let cli = Cli::read(trigger_type);
    match cli.answers(trigger_type) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return printing::failure(&error.into()),
    }
    let parents = Parents::now();
    let work = |metrics| run::run(trigger_type, cli, parents, metrics);
    match runner::program::run(trigger_type.program(), work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => printing::failure(&error),
    }
}
