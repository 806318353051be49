//! Measures what the middleware `analytics` costs, while the broker answers and while it is down.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use tokio::net::TcpSocket;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::alone;
use crate::deployment::Deployment;
use crate::hello::HELLO;
use crate::load::Load;
use crate::manifest;
use crate::process::free_address;
use crate::results::{Case, Column, Design, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "analytics",
    title: "a component that answers at once, without and with `analytics`",
    base: "without",
    x_axis: None,
    columns: &[
        Column::with_ratio("accepted_per_s", "requests/s"),
        Column::new("p50_ms", "p50, ms"),
        Column::new("p99_ms", "p99, ms"),
        Column::new("failed_share", "share of failures"),
        Column::with_ratio("contender_cpu_s", "CPU s of the host"),
        Column::new("memory_mib", "memory, MiB"),
    ],
};

/// What is before the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Analytics,
    /// `analytics` with the producer in WebAssembly.
    OwnProducer,
    /// `analytics` with a broker that refuses connections.
    BrokerDown,
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => DESIGN.base,
            Self::Analytics => "with analytics",
            Self::OwnProducer => "with its own producer",
            Self::BrokerDown => "broker down",
        })
    }
}

impl Before {
    const ALL: [Self; 4] = [Self::Nothing, Self::Analytics, Self::OwnProducer, Self::BrokerDown];

    fn manifest(self, brokers: &str, topic: &str) -> Result<PathBuf> {
        let source = |file: &str| {
            Ok::<_, anyhow::Error>(std::path::absolute(file)?.to_string_lossy().into_owned())
        };
        let inherit = r#"["allowed_outbound_hosts", "variables"]"#;
        let middleware = match self {
            Self::Nothing => String::new(),
            _ => format!("{{ component = \"analytics\", inherit_configuration = {inherit} }}"),
        };
        let analytics = match self {
            Self::OwnProducer => "analytics_with_producer",
            _ => "analytics",
        };
        let text = format!(
            r#"
spin_manifest_version = 2
[application]
name = "analytics"
[application.trigger.kafka]
brokers = "{brokers}"
[[trigger.http]]
route = "/..."
component = "hello"
dependencies.middleware = [{middleware}]
[component.hello]
source = '{}'
allowed_outbound_hosts = ["tcp://127.0.0.1:*"]
[component.hello.variables]
kafka_brokers = "{brokers}"
analytics_topic = "{topic}"
analytics_routes = "/students/:id, /orders, /purchase"
[component.analytics]
source = '{}'
"#,
            source(HELLO)?,
            source(&format!("target/components/{analytics}.wasm"))?,
        );
        manifest::write(&format!("analytics-{}.toml", self.to_string().replace(' ', "-")), &text)
    }
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    bench
        .rounds("analytics", &Before::ALL, async |before, round| turn(bench, before, round).await)
        .await
}

async fn turn(bench: &Bench, before: Before, round: u32) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    // It refuses connections as long as it is not closed.
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
    let brokers = match before {
        Before::BrokerDown => socket.local_addr()?.to_string(),
        _ => bench.servers.brokers(),
    };
    let address = free_address()?;
    let mut deployment = Deployment::new(Some(address));
    let command = alone(&before.manifest(&brokers, &topic)?, address)?;
    deployment.add("host", &format!("analytics-{before}"), command, Some(address))?;
    deployment.listens().await?;
    let mut samples = Vec::new();
    for &connections in &bench.args.connections {
        let load = Load::closed(address, connections, bench.args.seconds);
        let figures = bench.load(&deployment, load).await?;
        let case = Case::named(format!("{connections} connections"));
        samples.push(Sample { round, contender: before.to_string(), case, figures });
    }
    deployment.stop().await?;
    Ok(samples)
}
