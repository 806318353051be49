//! Runs `doorbuster up` with servers of this machine. `cargo xtask up` starts it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Error, Result};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig, start_valkey, valkey_program};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// Run a command that finds Valkey on its PATH, or that uses Apache Kafka and Valkey of this
/// machine. Servers that are missing are installed.
#[derive(Parser)]
struct Args {
    /// Start Apache Kafka and Valkey, keep their data in this folder, and append `--kafka ADDRESS
    /// --valkey URL` to the command.
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// The command.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    let (program, arguments) = args.command.split_first().context("no command")?;
    let Some(dir) = &args.local else {
        let error = std::process::Command::new(program)
            .args(arguments)
            .env("PATH", path_with(&valkey_program()?)?)
            .exec();
        return Err(error).with_context(|| format!("cannot run {program}"));
    };
    tokio::runtime::Runtime::new()?.block_on(run(dir, program, arguments))
}

/// The PATH with the folder of this program at its end.
fn path_with(program: &Path) -> Result<std::ffi::OsString> {
    let folder = program.parent().context("a program without a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::env::split_paths(&path).chain([folder]))?)
}

async fn run(dir: &Path, program: &str, arguments: &[String]) -> Result<ExitCode> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (kafka, valkey) = tokio::select! {
        servers = start(dir) => servers?,
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let (mut kafka, mut valkey) = (kafka, valkey);
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .args(["--kafka", &kafka.bootstrap(), "--valkey", &valkey.url()])
        // Ctrl-C is sent to this process only, which then ends the command before the servers.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let fault = tokio::select! {
        _ = child.wait() => None,
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        ended = kafka.ended() => Some(ended),
        ended = valkey.ended() => Some(ended),
    };
    let ended = end(&mut child).await;
    stop(kafka, valkey).await?;
    match fault {
        Some(fault) => Err(fault),
        None => ended,
    }
}

async fn start(dir: &Path) -> Result<(Kafka, Valkey)> {
    let kafka =
        KafkaConfig { data_dir: Some(dir.join("kafka")), tuned: true, ..KafkaConfig::default() };
    let valkey = ValkeyConfig {
        data_dir: Some(dir.join("valkey")),
        append_only: true,
        ..ValkeyConfig::default()
    };
    tokio::try_join!(async { Kafka::start(kafka).await.context("cannot start Kafka") }, async {
        start_valkey(valkey).await.context("cannot start Valkey")
    },)
}

/// Ends the command, if it still runs. Its exit code becomes that of this program.
async fn end(child: &mut Child) -> Result<ExitCode> {
    if let Some(pid) = child.id() {
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)
            .context("cannot end the command")?;
    }
    let status = child.wait().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Stops the servers that still run, in the order of the data flow.
async fn stop(mut kafka: Kafka, mut valkey: Valkey) -> Result<(), Error> {
    if !kafka.has_ended()? {
        kafka.stop().await.context("Kafka did not stop cleanly")?;
    }
    if !valkey.has_ended()? {
        valkey.stop().await.context("Valkey did not stop cleanly")?;
    }
    Ok(())
}
