//! Measures how long an instance takes to create, and how much memory it needs, in a process of
//! the program `instantiation-bench`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::program;
use crate::hello::HELLO;
use crate::manifest::of_component;
use crate::results::{Case, Column, Design, Figures, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "instantiation",
    title: "creating instances of a component",
    base: "hello",
    x_axis: None,
    columns: &[
        Column::new("p50_us", "p50, µs"),
        Column::new("p99_us", "p99, µs"),
        Column::new("memory_kib", "memory of a new instance, KiB"),
        Column::new("served_memory_kib", "memory of an idle instance that has served, KiB"),
    ],
};

/// A component that is instantiated.
#[derive(Debug, Clone, Copy)]
struct Component {
    id: &'static str,
    /// The manifest that contains it; one is written if there is none.
    manifest: Option<&'static str>,
    /// Whether it alone accepts sales.
    sells: bool,
}

const COMPONENTS: [Component; 4] = [
    Component { id: "hello", manifest: None, sells: false },
    Component { id: "ingest", manifest: Some("spin.toml"), sells: false },
    Component { id: "pipeline", manifest: Some("spin-fused.toml"), sells: true },
    Component { id: "aggregator", manifest: Some("spin-fused.toml"), sells: false },
];

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id)
    }
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    bench
        .rounds("instantiation", &COMPONENTS, async |component, round| {
            let figures = instantiate(bench, component, &topic).await?;
            let case = Case::named("an instance");
            Ok(vec![Sample { round, contender: component.to_string(), case, figures }])
        })
        .await
}

async fn instantiate(bench: &Bench, component: Component, topic: &str) -> Result<Figures> {
    let manifest = match component.manifest {
        Some(manifest) => PathBuf::from(manifest),
        None => of_component(component.id, Path::new(HELLO))?,
    };
    let kafka = bench.servers.brokers();
    let valkey_url = bench.servers.valkey.url();
    let valkey_address = valkey_url.trim_start_matches("redis://");
    let variables = [
        format!("kafka_brokers={kafka}"),
        format!("kafka_topic={topic}"),
        format!("valkey_url={valkey_url}"),
        format!("valkey_address={valkey_address}"),
        // It does not run: the component is instantiated alone.
        "bridge_url=http://127.0.0.1:1".to_owned(),
    ];
    let mut figures = Figures::new();
    for served in [false, true].into_iter().filter(|served| component.sells || !served) {
        let mut command = Command::new(program("instantiation-bench")?);
        command.arg("--from").arg(&manifest).args(["--component-id", component.id]);
        command.args(variables.iter().flat_map(|variable| ["--variable", variable]));
        command.args(served.then_some("--served"));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.context("cannot run `instantiation-bench`")?;
        let printed: Figures = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("`instantiation-bench` failed: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        figures.extend(printed);
    }
    Ok(figures)
}
