//! Measures what clients get while servers behind `balance` fail, without and with ejection, health
//! checks, `retry` and `breaker`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::bench::order;
use crate::contender::alone;
use crate::deployment::Deployment;
use crate::load::Load;
use crate::manifest;
use crate::process::free_address;
use crate::results::{self, Case, Column, Design, Figures, Sample};

/// How it is presented.
const DESIGN: Design = Design {
    name: "gateway",
    title: "two servers that fail",
    base: "nothing",
    x_axis: None,
    columns: &[
        Column::new("good_share", "share of good answers"),
        Column::new("p50_ms", "p50, ms"),
        Column::new("p99_ms", "p99, ms"),
        Column::new("failing_percent", "requests to the failing servers, per 100 of clients"),
    ],
};

/// Requests per second, which is far below what the servers can answer.
const RATE: u64 = 100;

/// Requests in progress at most: more than wait for a server that hangs.
const CONNECTIONS: u32 = 1_000;

/// The answer of a server that slows down takes this long.
const SLOW: Duration = Duration::from_secs(2);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The answer that the load generator expects.
const ACCEPTED: &str = r#"{"status":"Procesado"}"#;

/// What is done about the server that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Nothing,
    Ejection,
    HealthChecks,
    Retry,
    Breaker,
    All,
}

/// What is wrong with the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    Hangs,
    Dies,
    Answers500,
    Slows,
    BothHang,
}

impl Pattern {
    const ALL: [Self; 6] =
        [Self::Nothing, Self::Ejection, Self::HealthChecks, Self::Retry, Self::Breaker, Self::All];

    fn has(self, other: Self) -> bool {
        self == other || self == Self::All
    }

    /// The name of its files.
    fn file(self) -> String {
        format!("gateway-{self}").replace(' ', "-")
    }

    /// Writes the manifest of an application with this pattern.
    fn manifest(self, servers: &[SocketAddr]) -> Result<PathBuf> {
        let urls: Vec<_> = servers.iter().map(|server| format!("http://{server}")).collect();
        let middleware: Vec<_> = [(Self::Retry, "retry"), (Self::Breaker, "breaker")]
            .into_iter()
            .filter(|(pattern, _)| self.has(*pattern))
            .map(|(_, name)| {
                format!("{{ component = \"{name}\", inherit_configuration = [\"variables\"] }}")
            })
            .collect();
        let source = |name: &str| {
            let path = std::path::absolute(format!("target/components/{name}.wasm"))?;
            Ok::<_, anyhow::Error>(path.to_string_lossy().into_owned())
        };
        let text = format!(
            r#"
spin_manifest_version = 2
[application]
name = "gateway"
[[trigger.http]]
route = "/..."
component = "balance"
dependencies.middleware = [{}]
[component.balance]
source = '{}'
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.balance.variables]
balance_upstreams = "{}"
balance_failures_max = "{}"
balance_timeout_ms = "{}"
balance_failure_statuses = "500, 502, 503, 504"
balance_health_path = "{}"
balance_health_interval_s = "1"
retry_attempts = "4"
retry_initial_interval_ms = "100"
retry_statuses = "500, 502, 503, 504"
retry_idempotency_key = "true"
breaker_expression = "NetworkErrorRatio() > 0.6 || ResponseCodeRatio(500, 600, 0, 600) > 0.6"
breaker_timeout_ms = "2000"
[component.retry]
source = '{}'
[component.breaker]
source = '{}'
"#,
            middleware.join(", "),
            source("balance")?,
            urls.join(","),
            // So many do not fail in succession.
            if self.has(Self::Ejection) { 5 } else { 1_000 },
            // The patterns need to know early that a server hangs.
            if self == Self::Nothing { 5_000 } else { 1_000 },
            if self.has(Self::HealthChecks) { "/health" } else { "" },
            source("retry")?,
            source("breaker")?,
        );
        manifest::write(&format!("{}.toml", self.file()), &text)
    }
}

impl Fault {
    const ALL: [Self; 6] =
        [Self::Nothing, Self::Hangs, Self::Dies, Self::Answers500, Self::Slows, Self::BothHang];

    async fn answer(self) -> Response {
        match self {
            Self::Hangs | Self::BothHang => std::future::pending().await,
            Self::Slows => tokio::time::sleep(SLOW).await,
            Self::Answers500 => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Self::Nothing | Self::Dies => {}
        }
        ([("content-type", "application/json")], ACCEPTED).into_response()
    }
}

/// The two servers. They end when this is dropped.
struct Servers {
    addresses: Vec<SocketAddr>,
    /// The requests to those that fail.
    failing: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
    /// Holds the port of a server that has died, so that no other program listens there.
    _sockets: Vec<TcpSocket>,
}

impl Servers {
    async fn start(fault: Fault) -> Result<Self> {
        let (addresses, failing) = (Vec::new(), Arc::default());
        let mut own = Self { addresses, failing, _tasks: JoinSet::new(), _sockets: Vec::new() };
        let other = if fault == Fault::BothHang { fault } else { Fault::Nothing };
        for fault in [other, fault] {
            if fault == Fault::Dies {
                let socket = TcpSocket::new_v4()?;
                socket.bind(ANY_PORT)?;
                own.addresses.push(socket.local_addr()?);
                own._sockets.push(socket);
                continue;
            }
            let listener = TcpListener::bind(ANY_PORT).await?;
            own.addresses.push(listener.local_addr()?);
            let failing = own.failing.clone();
            let router = Router::new().fallback(move || {
                failing.fetch_add(u64::from(fault != Fault::Nothing), Ordering::Relaxed);
                fault.answer()
            });
            own._tasks.spawn(async move {
                // It serves until it is aborted.
                drop(axum::serve(listener, router).await);
            });
        }
        Ok(own)
    }
}

/// All turns.
pub async fn measure(args: &Args) -> Result<()> {
    let mut samples = Vec::new();
    for round in 1..=args.rounds {
        for pattern in order(&Pattern::ALL, round) {
            for fault in Fault::ALL {
                tracing::info!(round, of = args.rounds, %pattern, %fault, "gateway");
                let turn = turn(pattern, fault, args.seconds).await;
                let figures = turn.with_context(|| format!("{pattern}, {fault}"))?;
                let case = Case::named(fault.to_string());
                samples.push(Sample { round, contender: pattern.to_string(), case, figures });
            }
        }
    }
    results::write(&DESIGN, args, &samples)
}

async fn turn(pattern: Pattern, fault: Fault, seconds: u64) -> Result<Figures> {
    let servers = Servers::start(fault).await?;
    let address = free_address()?;
    let mut deployment = Deployment::new(Some(address));
    let command = alone(&pattern.manifest(&servers.addresses)?, address)?;
    deployment.add("gateway", &pattern.file(), command, Some(address))?;
    deployment.listens().await?;
    let load = Load { rate: Some(RATE), ..Load::closed(address, CONNECTIONS, seconds) };
    let summary = load.run_with_failures().await?;
    deployment.stop().await?;
    let mut figures = summary.figures();
    let requests = summary.requests.max(1) as f64;
    figures.insert("good_share".into(), summary.accepted as f64 / requests);
    // A server that is down counts nothing.
    if ![Fault::Nothing, Fault::Dies].contains(&fault) {
        let failing = servers.failing.load(Ordering::Relaxed) as f64;
        figures.insert("failing_percent".into(), 100.0 * failing / requests);
    }
    Ok(figures)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => DESIGN.base,
            Self::Ejection => "ejection",
            Self::HealthChecks => "health checks",
            Self::Retry => "retry",
            Self::Breaker => "breaker",
            Self::All => "all",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "both answer",
            Self::Hangs => "one hangs",
            Self::Dies => "one is down",
            Self::Answers500 => "one answers 500",
            Self::Slows => "one takes 2 s",
            Self::BothHang => "both hang",
        })
    }
}
