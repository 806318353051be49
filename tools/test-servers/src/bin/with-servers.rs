//! Runs `doorbuster up` with servers of this machine. `cargo xtask up` starts it.

use std::future::pending;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use child_server::{AtDrop, Watchdog};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_servers::{
    Kafka, KafkaConfig, Postgres, QueueClient, RabbitMq, RabbitMqConfig, Valkey, ValkeyConfig,
    start_valkey, valkey_program,
};
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
    /// Start RabbitMQ, create this queue and the one for its dead letters, QUEUE.dead-letter, and append
    /// `--variable` with `amqp_url` and `amqp_address` to the command. Its data is deleted at the end.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Append `--component-id IDS` to the command if RabbitMQ cannot be started.
    #[arg(long, value_name = "IDS", requires = "queue")]
    or_only: Option<String>,
    /// Start PostgreSQL, run the scripts in this folder in the order of their names, and append
    /// `--variable` with `database_url` and `database_address` to the command. Its data is deleted at the
    /// end.
    #[arg(long, value_name = "DIR")]
    postgres: Option<PathBuf>,
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
    let mut command = std::process::Command::new(program);
    if args.local.is_none() && needs_valkey(arguments) {
        match valkey_program().and_then(|valkey| path_with(&valkey)) {
            Ok(path) => drop(command.env("PATH", path)),
            // The command may not use Valkey. If it does, its error says what to do.
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot install Valkey"),
        }
    }
    if args.local.is_none() && args.queue.is_none() && args.postgres.is_none() {
        return Err(command.args(arguments).exec())
            .with_context(|| format!("cannot run {program}"));
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(run(&args, command, arguments));
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

async fn run(
    args: &Args,
    command: std::process::Command,
    arguments: &[String],
) -> Result<ExitCode> {
    let (mut signals, mut hangup) = (Signals::new()?, signal(SignalKind::hangup())?);
    let mut servers = tokio::select! {
        servers = Servers::start(args) => servers?,
        () = signals.end() => return Ok(ExitCode::SUCCESS),
    };
    let program = command.get_program().to_owned();
    let mut child = tokio::process::Command::from(command)
        .args(arguments)
        .args(servers.arguments(args))
        // Ctrl-C is sent to this process only, which then ends the command before the servers.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let watchdog = child.id().map(|pid| Watchdog::start(pid, AtDrop::Kill, None)).transpose()?;
    let fault = loop {
        tokio::select! {
            _ = child.wait() => break None,
            () = signals.end() => break None,
            ended = servers.ended() => break Some(ended),
            _ = hangup.recv() => send(&child, Signal::SIGHUP)?,
        }
    };
    let ended = end(&mut child, &mut signals).await;
    if let Some(watchdog) = watchdog {
        watchdog.dismiss();
    }
    let stopped = tokio::select! {
        stopped = servers.stop() => stopped,
        // Dropped servers end at once.
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

/// The servers that were requested.
struct Servers {
    /// With `--local`.
    data: Option<(Kafka, Valkey)>,
    /// With `--queue`, unless it cannot be started.
    rabbit: Option<RabbitMq>,
    /// With `--postgres`.
    postgres: Option<Postgres>,
}

impl Servers {
    async fn start(args: &Args) -> Result<Self> {
        let data = async {
            match &args.local {
                Some(dir) => start_with_data(dir).await.map(Some),
                None => Ok(None),
            }
        };
        let rabbit = async {
            let Some(queue) = &args.queue else { return Ok(None) };
            let rabbit = match (start_rabbit(queue).await, &args.or_only) {
                (Ok(rabbit), _) => rabbit,
                (Err(error), Some(components)) => {
                    let error = format!("{error:#}");
                    tracing::warn!(
                        error,
                        components,
                        "cannot start RabbitMQ; running these components without it"
                    );
                    return Ok(None);
                }
                (Err(error), None) => return Err(error.context("cannot start RabbitMQ")),
            };
            Ok(Some(rabbit))
        };
        let postgres = async {
            match &args.postgres {
                Some(scripts) => start_postgres(scripts).await.map(Some),
                None => Ok(None),
            }
        };
        let (data, rabbit, postgres) = tokio::try_join!(data, rabbit, postgres)?;
        Ok(Self { data, rabbit, postgres })
    }

    /// The arguments with their addresses, and the components that do not need what is missing.
    fn arguments(&self, args: &Args) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some((kafka, valkey)) = &self.data {
            arguments.extend(["--kafka".into(), kafka.bootstrap()]);
            arguments.extend(["--valkey".into(), valkey.url()]);
        }
        if let Some(rabbit) = &self.rabbit {
            arguments.extend(["--variable".into(), format!("amqp_url={}", rabbit.url())]);
            let address = format!("amqp_address=127.0.0.1:{}", rabbit.port());
            arguments.extend(["--variable".into(), address]);
        } else if let Some(components) = &args.or_only {
            arguments.extend(["--component-id".into(), components.clone()]);
        }
        if let Some(postgres) = &self.postgres {
            arguments.extend(["--variable".into(), format!("database_url={}", postgres.url())]);
            let address = format!("database_address=127.0.0.1:{}", postgres.port());
            arguments.extend(["--variable".into(), address]);
        }
        arguments
    }

    /// Waits until one of them ends, with an error that describes it.
    async fn ended(&mut self) -> Error {
        let data = async {
            match &mut self.data {
                Some((kafka, valkey)) => tokio::select! {
                    ended = kafka.ended() => ended,
                    ended = valkey.ended() => ended,
                },
                None => pending().await,
            }
        };
        let rabbit = async {
            match &mut self.rabbit {
                Some(rabbit) => rabbit.ended().await,
                None => pending().await,
            }
        };
        let postgres = async {
            match &mut self.postgres {
                Some(postgres) => postgres.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = data => ended,
            ended = rabbit => ended,
            ended = postgres => ended,
        }
    }

    /// Stops the servers that still run, in the order of the data flow. RabbitMQ and PostgreSQL end at
    /// once, because their data is deleted.
    async fn stop(self) -> Result<(), Error> {
        drop((self.rabbit, self.postgres));
        let Some((mut kafka, mut valkey)) = self.data else { return Ok(()) };
        if !kafka.has_ended()? {
            kafka.stop().await.context("Kafka did not stop cleanly")?;
        }
        if !valkey.has_ended()? {
            valkey.stop().await.context("Valkey did not stop cleanly")?;
        }
        Ok(())
    }
}

async fn start_with_data(dir: &Path) -> Result<(Kafka, Valkey)> {
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

/// Starts RabbitMQ with the queue and the one for its dead letters.
async fn start_rabbit(queue: &str) -> Result<RabbitMq> {
    let rabbit = RabbitMq::start(RabbitMqConfig::default()).await?;
    let client = QueueClient::connect(&rabbit.url()).await?;
    client.declare(queue).await?;
    client.declare(&format!("{queue}.dead-letter")).await?;
    Ok(rabbit)
}

async fn start_postgres(scripts: &Path) -> Result<Postgres> {
    let postgres = Postgres::start().await.context("cannot start PostgreSQL")?;
    let entries = std::fs::read_dir(scripts).with_context(|| scripts.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "sql") {
            files.push(file);
        }
    }
    ensure!(!files.is_empty(), "{} has no scripts", scripts.display());
    files.sort();
    for file in files {
        tracing::info!(script = %file.display(), "running a script in PostgreSQL");
        postgres.run_script(&file, &[]).await?;
    }
    Ok(postgres)
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
