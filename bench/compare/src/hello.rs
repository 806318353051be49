//! Measures hosts with a component that answers at once, so that the time is spent in the host.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use component_host::Limits;
use tokio::process::Command;

use crate::bench::Bench;
use crate::contender::{alone, program};
use crate::deployment::Deployment;
use crate::load::Load;
use crate::manifest::of_component;
use crate::process::free_address;
use crate::results::{Case, Column, Design, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "hello",
    title: "a component that answers at once",
    base: "wasmtime serve",
    x_axis: None,
    columns: &[
        Column::with_ratio("accepted_per_s", "requests/s"),
        Column::new("p50_ms", "p50, ms"),
        Column::new("p99_ms", "p99, ms"),
        Column::new("failed_share", "share of failures"),
        Column::with_ratio("contender_cpu_s", "CPU s of the host"),
        Column::new("load_cpu_s", "CPU s of the load"),
        Column::new("memory_mib", "memory, MiB"),
    ],
};

/// The component that all hosts run.
pub const HELLO: &str = "target/components/hello.wasm";
/// The same with `doorbuster:http/handler`.
pub const HELLO_WHOLE: &str = "target/components/hello_whole.wasm";

/// A program that answers.
#[derive(Debug, Clone, Copy)]
enum Host {
    /// Native code, without a component.
    Native,
    /// Doorbuster with the component that the other hosts have.
    Doorbuster,
    /// Doorbuster with a component that also exports `doorbuster:http/handler`.
    DoorbusterWhole,
    /// `wasmtime serve`.
    Wasmtime,
    /// Spin.
    Spin,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Doorbuster => "doorbuster",
            Self::DoorbusterWhole => "doorbuster, complete requests",
            Self::Wasmtime => DESIGN.base,
            Self::Spin => "spin",
        })
    }
}

/// The programs that are compared with Doorbuster.
struct Others {
    wasmtime: PathBuf,
    spin: Option<PathBuf>,
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let wasmtime = match bench.args.wasmtime.clone() {
        Some(wasmtime) => wasmtime,
        None => tokio::task::spawn_blocking(test_servers::wasmtime_program).await??,
    };
    let others = Others { wasmtime, spin: bench.args.spin.clone() };
    let mut hosts = vec![Host::Native, Host::Doorbuster, Host::DoorbusterWhole, Host::Wasmtime];
    hosts.extend(others.spin.is_some().then_some(Host::Spin));
    bench
        .rounds("hello", &hosts, async |host, round| {
            let address = free_address()?;
            let mut deployment = Deployment::new(Some(address));
            let (command, log) = (others.command(host, address)?, format!("hello-{host}"));
            deployment.add("host", &log, command, Some(address))?;
            deployment.listens().await?;
            let mut samples = Vec::new();
            for &connections in &bench.args.connections {
                let load = Load::closed(address, connections, bench.args.seconds);
                let figures = bench.load(&deployment, load).await?;
                let case = Case::named(format!("{connections} connections"));
                samples.push(Sample { round, contender: host.to_string(), case, figures });
            }
            deployment.stop().await?;
            Ok(samples)
        })
        .await
}

/// The options of `wasmtime serve` for the limits that Doorbuster has: its own defaults start
/// instances more often.
fn same_limits() -> [String; 4] {
    let limits = Limits::default();
    [
        format!("--max-instance-reuse-count={}", limits.requests_per_instance_max),
        format!(
            "--max-instance-concurrent-reuse-count={}",
            limits.requests_at_once_per_instance_max
        ),
        format!("--max-concurrent-requests={}", limits.requests_at_once_max),
        format!("--idle-instance-timeout={}ms", limits.idle_instance_timeout.as_millis()),
    ]
}

impl Others {
    fn command(&self, host: Host, address: SocketAddr) -> Result<Command> {
        let listen = address.to_string();
        let manifest = |wasm: &str| of_component(&format!("hello-{host}"), Path::new(wasm));
        let mut command;
        match host {
            Host::Native => {
                command = Command::new(program("native-bench")?);
                command.args(["hello", "--listen", &listen]);
            }
            Host::Doorbuster | Host::DoorbusterWhole => {
                let whole = matches!(host, Host::DoorbusterWhole);
                let manifest = manifest(if whole { HELLO_WHOLE } else { HELLO })?;
                command = alone(&manifest, address)?;
            }
            Host::Wasmtime => {
                command = Command::new(&self.wasmtime);
                command.args(["serve", "-Sp3,cli", "-Wcomponent-model-async", "--addr", &listen]);
                command.args(same_limits()).arg(HELLO);
            }
            Host::Spin => {
                command = Command::new(self.spin.as_ref().context("no spin")?);
                command.arg("up").arg("--from").arg(manifest(HELLO)?).args(["--listen", &listen]);
            }
        }
        Ok(command)
    }
}
