//! Runs `doorbuster up` with servers of this machine. `cargo xtask up` starts it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use child_server::Watchdog;
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

/// Time for the threads of the runtime to end: an installation may take long.
const THREADS_LIMIT: Duration = Duration::from_secs(1);

fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    let (program, arguments) = args.command.split_first().context("no command")?;
    let Some(dir) = &args.local else {
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        if needs_valkey(arguments) {
            match valkey_program().and_then(|valkey| path_with(&valkey)) {
                Ok(path) => drop(command.env("PATH", path)),
                // The command may not use Valkey. If it does, its error says what to do.
                Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot install Valkey"),
            }
        }
        return Err(command.exec()).with_context(|| format!("cannot run {program}"));
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(run(dir, program, arguments));
    runtime.shutdown_timeout(THREADS_LIMIT);
    ended
}

/// Whether `doorbuster up` may start Valkey with these arguments.
fn needs_valkey(arguments: &[String]) -> bool {
    let excludes = |argument: &String| {
        let name = argument.split('=').next().unwrap_or_default();
        ["--valkey", "--no-embedded", "--help", "-h"].contains(&name)
    };
    std::env::var_os("DOORBUSTER_VALKEY").is_none() && !arguments.iter().any(excludes)
}

/// The PATH with the folder of this program at its end.
fn path_with(program: &Path) -> Result<std::ffi::OsString> {
    let folder = program.parent().context("a program without a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::env::split_paths(&path).chain([folder]))?)
}

async fn run(dir: &Path, program: &str, arguments: &[String]) -> Result<ExitCode> {
    let (mut signals, mut hangup) = (Signals::new()?, signal(SignalKind::hangup())?);
    let (mut kafka, mut valkey) = tokio::select! {
        servers = start(dir) => servers?,
        () = signals.end() => return Ok(ExitCode::SUCCESS),
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .args(["--kafka", &kafka.bootstrap(), "--valkey", &valkey.url()])
        // Ctrl-C is sent to this process only, which then ends the command before the servers.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let watchdog = child.id().map(|pid| Watchdog::start(pid, None)).transpose()?;
    let fault = loop {
        tokio::select! {
            _ = child.wait() => break None,
            () = signals.end() => break None,
            ended = kafka.ended() => break Some(ended),
            ended = valkey.ended() => break Some(ended),
            _ = hangup.recv() => send(&child, Signal::SIGHUP)?,
        }
    };
    let ended = end(&mut child, &mut signals).await;
    if let Some(watchdog) = watchdog {
        watchdog.dismiss();
    }
    let stopped = tokio::select! {
        stopped = stop(kafka, valkey) => stopped,
        // Dropped servers are killed.
        () = signals.end() => Ok(()),
    };
    match fault {
        Some(fault) => Err(fault),
        None => stopped.and(ended),
    }
}

/// The signals that end this program.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Resolves at the next signal to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
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

/// Ends the command, if it still runs, and passes further signals on. The exit code of the command
/// becomes that of this program.
async fn end(child: &mut Child, signals: &mut Signals) -> Result<ExitCode> {
    let status = loop {
        send(child, Signal::SIGTERM)?;
        tokio::select! {
            status = child.wait() => break status?,
            () = signals.end() => {}
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Sends a signal to the command, if it still runs.
fn send(child: &Child, signal: Signal) -> Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    kill(Pid::from_raw(i32::try_from(pid)?), signal).context("cannot signal the command")
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
