//! Measures where the CPU time of a sale goes: each step adds a part of the pipeline.

use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part, alone, ours};
use crate::deployment::Deployment;
use crate::hello::HELLO_WHOLE;
use crate::load::Load;
use crate::manifest::{of_component, without_bridge};
use crate::process::free_address;
use crate::results::{Case, Column, Design, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "breakdown",
    title: "the CPU time of one request, step by step",
    base: "native",
    x_axis: None,
    columns: &[
        Column::with_ratio("contender_cpu_s", "CPU s of the contender"),
        Column::new("accepted_per_s", "requests/s"),
        Column::new("failed_share", "share of failures"),
    ],
};

/// What serves the requests. Idempotency keys are sent only where the name says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The native pipeline.
    Native,
    /// The native pipeline, with keys.
    NativeKeys,
    /// One component that answers at once: HTTP, and one call of a component.
    Hello,
    /// Two components, JSON, and Kafka.
    WithoutBridge,
    /// A third component.
    Fused,
    /// And Valkey.
    FusedKeys,
}

impl Step {
    const ALL: [Self; 6] = [
        Self::Native,
        Self::NativeKeys,
        Self::Hello,
        Self::WithoutBridge,
        Self::Fused,
        Self::FusedKeys,
    ];

    async fn start(self, names: Names<'_>, bench: &Bench) -> Result<Deployment> {
        let servers = &bench.servers;
        let address = free_address()?;
        let command = match self {
            Self::Native | Self::NativeKeys => {
                return Contender::Native.start(Part::Accept, names, servers).await;
            }
            Self::Fused | Self::FusedKeys => {
                return Contender::Fused.start(Part::Accept, names, servers).await;
            }
            Self::Hello => {
                alone(&of_component("breakdown-hello", Path::new(HELLO_WHOLE))?, address)?
            }
            Self::WithoutBridge => ours(&without_bridge()?, address, names, servers)?,
        };
        let mut deployment = Deployment::new(Some(address));
        deployment.add("server", &format!("breakdown-{self}"), command, Some(address))?;
        deployment.listens().await?;
        Ok(deployment)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => DESIGN.base,
            Self::NativeKeys => "native, with keys",
            Self::Hello => "hello, complete requests",
            Self::WithoutBridge => "without the bridge",
            Self::Fused => "fused",
            Self::FusedKeys => "fused, with keys",
        })
    }
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    bench
        .rounds("breakdown", &Step::ALL, async |step, round| {
            bench.empty_valkey().await?;
            let deployment = step.start(Names { topic: &topic, group: &topic }, bench).await?;
            let keys = matches!(step, Step::NativeKeys | Step::FusedKeys);
            let mut samples = Vec::new();
            for &connections in &bench.args.connections {
                let address = deployment.address()?;
                let load = Load { keys, ..Load::closed(address, connections, bench.args.seconds) };
                let figures = bench.load(&deployment, load).await?;
                let case = Case::named(format!("{connections} connections"));
                samples.push(Sample { round, contender: step.to_string(), case, figures });
            }
            deployment.stop().await?;
            Ok(samples)
        })
        .await
}
