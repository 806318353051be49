//! Runs the pipeline in a real Spin with the packed plugin: `cargo xtask spin --spin PATH`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::{Client, eventually, root};
use tempfile::TempDir;
use test_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig, WAIT_LIMIT, free_port, start_valkey};
use tokio::process::{Child, Command};

/// Installs the packed plugin in a Spin, runs the pipeline in it on real servers, and checks that
/// every sale is counted once.
#[derive(Parser)]
#[command(name = "cargo xtask spin")]
struct Args {
    /// Spin 4.1 or newer.
    #[arg(long, value_name = "PATH", default_value = "spin")]
    spin: PathBuf,
    /// The application, from the project's root.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// Sales to send.
    #[arg(short = 'n', long, value_name = "SALES", default_value_t = 20_000)]
    sales: u64,
    /// Connections to send them over.
    #[arg(short, long, value_name = "CONNECTIONS", default_value_t = 16)]
    connections: usize,
}

#[derive(Parser)]
struct Load {
    #[command(flatten)]
    args: load::Args,
}

const ONLY_KAFKA: &str = r#"
spin_manifest_version = 2
[application]
name = "only-kafka"
[[trigger.kafka]]
topic = "t"
group = "g"
component = "aggregator"
[component.aggregator]
source = "WASM"
"#;

/// A Spin without any other plugin.
struct Spin {
    program: PathBuf,
    data: TempDir,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let spin = Spin::new(args.spin).await?;
    spin.answers_for_the_plugin(&args.from).await?;
    let kafka = Kafka::start(KafkaConfig::default()).await?;
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    ensure_topic(&ProducerConfig::new(kafka.bootstrap()), NewTopic::new("sales-topic", 3)).await?;
    let port = free_port()?;
    let mut up = spin.up(&args.from, port, &kafka, &valkey)?;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    eventually("spin up serves", async || client.post("/purchase", "{}").await.ok()).await;

    let dir = tempfile::tempdir()?;
    let ledger = dir.path().join("ledger.ndjson");
    let url = format!("http://127.0.0.1:{port}/purchase");
    let (sales, connections) = (args.sales.to_string(), args.connections.to_string());
    let load = Load::parse_from([
        "load",
        "--url",
        &url,
        "-n",
        &sales,
        "-c",
        &connections,
        "--quiet",
        "--ledger",
        &ledger.to_string_lossy(),
    ]);
    let summary = load::run(load.args, load::Stop::never()).await?;
    println!("{summary}");
    let books = ledger::verify::verify(&ledger, &valkey.url(), "", WAIT_LIMIT).await?;
    ensure!(books.agrees(), "accepted and counted differ: {books:?}");
    println!("{} accepted, {} counted", books.counted, books.counted);
    ensure!(summary.all_accepted(), "some sales were not accepted");

    // The HTTP trigger fails because its port is in use, which must end the Kafka trigger, too.
    let plugins = spin.plugins().len();
    let status = spin.up(&args.from, port, &kafka, &valkey)?.wait().await?;
    ensure!(!status.success(), "a second spin up on the same port succeeded");
    eventually("only the first plugin runs", async || {
        (spin.plugins().len() == plugins).then_some(())
    })
    .await;
    println!("a Kafka trigger ends with the HTTP trigger beside it");

    interrupt(&up)?;
    let status = up.wait().await?;
    ensure!(status.success(), "spin up ended with {status}");
    eventually("both triggers have ended", async || spin.plugins().is_empty().then_some(())).await;
    println!("Ctrl-C ended both triggers");
    Ok(())
}

/// Sends SIGINT to the whole process group, like Ctrl-C on a terminal.
fn interrupt(child: &Child) -> Result<()> {
    let pid = child.id().context("spin up has ended")?;
    Ok(kill(Pid::from_raw(-i32::try_from(pid)?), Signal::SIGINT)?)
}

impl Spin {
    async fn new(program: PathBuf) -> Result<Self> {
        let spin = Self { program, data: tempfile::tempdir()? };
        let manifest = root().join("target/plugin/trigger-kafka.json");
        let install = ["plugins", "install", "--yes", "--file"];
        let output = spin.command().args(install).arg(&manifest).output().await;
        let output = output.with_context(|| format!("cannot run {}", spin.program.display()))?;
        ensure!(output.status.success(), "{}", text(&output));
        println!("{}", text(&output).trim());
        Ok(spin)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("SPIN_DATA_DIR", self.data.path()).current_dir(root()).kill_on_drop(true);
        command
    }

    /// Checks that help and errors are shown as for a trigger that is part of Spin.
    async fn answers_for_the_plugin(&self, from: &Path) -> Result<()> {
        // For an application with triggers of several types, Spin shows the help of none of them.
        let only_kafka = self.data.path().join("only-kafka.toml");
        let wasm = root().join("target/components/aggregator.wasm");
        std::fs::write(&only_kafka, ONLY_KAFKA.replace("WASM", &wasm.to_string_lossy()))?;
        let help = self.command().args(["up", "--help", "-f"]).arg(only_kafka).output().await?;
        let shown = text(&help).contains("Kafka trigger options");
        ensure!(shown, "spin up --help does not show the plugin's flags: {}", text(&help));
        let wrong = self.command().args(["up", "--nonsense", "-f"]).arg(from).output().await?;
        let refused = !wrong.status.success() && text(&wrong).contains("--nonsense");
        ensure!(refused, "a wrong flag is not refused: {}", text(&wrong));
        println!("help and wrong flags are as Spin's");
        Ok(())
    }

    fn up(&self, from: &Path, port: u16, kafka: &Kafka, valkey: &Valkey) -> Result<Child> {
        let url = valkey.url();
        let address = url.trim_start_matches("redis://");
        let mut command = self.command();
        command.args(["up", "--quiet", "--listen", &format!("127.0.0.1:{port}"), "-f"]).arg(from);
        for (name, value) in [
            ("kafka_brokers", kafka.bootstrap().as_str()),
            ("valkey_url", &url),
            ("valkey_address", address),
        ] {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        command.process_group(0).stdin(Stdio::null());
        Ok(command.spawn()?)
    }

    /// The processes that run the plugin of this Spin.
    fn plugins(&self) -> Vec<PathBuf> {
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let programs = processes.flatten().map(|process| process.path().join("exe").read_link());
        programs.flatten().filter(|program| program.starts_with(self.data.path())).collect()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
