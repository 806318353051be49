//! Measures `examples/university` beside the same service with axum and sqlx: pages of a long list in
//! PostgreSQL.

mod pages;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use test_servers::Postgres;
use tokio::process::Command;

use crate::args::Args;
use crate::bench::{WARM_UP_SECONDS, order};
use crate::contender::{alone, program};
use crate::cpu;
use crate::deployment::Deployment;
use crate::manifest::without_one;
use crate::process::free_address;
use crate::results::{self, Case, Column, Design, Figures, Sample};
use crate::servers::Servers;
use pages::{Pages, Place};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "students",
    title: "pages of 100 students",
    base: "native",
    x_axis: None,
    columns: &[
        Column::with_ratio("answers_per_s", "requests/s"),
        Column::new("p50_ms", "p50, ms"),
        Column::new("p99_ms", "p99, ms"),
        Column::new("failed_share", "share of failures"),
        Column::with_ratio("contender_cpu_s", "CPU s of the service"),
        Column::new("memory_mib", "memory of the service, MiB"),
    ],
};

/// The clients of the original measurement, each with one request at a time.
const CLIENTS: u32 = 200;

/// Connections to PostgreSQL, which is also Doorbuster's default.
const DATABASE_CONNECTIONS: u32 = 32;

const MANIFEST: &str = "examples/university/spin.toml";
const SERVICE: &str = "examples/university/service.toml";
const SCRIPTS: &str = "examples/university/db";
const TOKENS: &str = "examples/university/tokens.py";

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Native code, without a component.
    Native,
    /// Doorbuster with the component alone.
    Doorbuster,
    /// Doorbuster with the complete application, but without its cache.
    Guarded,
    /// Doorbuster with the complete application. Pages are cached for two seconds.
    Cached,
}

impl Service {
    const ALL: [Self; 4] = [Self::Native, Self::Doorbuster, Self::Guarded, Self::Cached];
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => DESIGN.base,
            Self::Doorbuster => "doorbuster",
            Self::Guarded => "doorbuster with middleware, no cache",
            Self::Cached => "doorbuster with middleware and cache",
        })
    }
}

/// All turns, with one database. If a turn fails, the results until then are written, too.
pub async fn measure(args: &Args) -> Result<()> {
    let postgres = Postgres::start().await.context("cannot start PostgreSQL")?;
    tracing::info!(students = args.students, "filling PostgreSQL");
    let scripts = Path::new(SCRIPTS);
    postgres.run_script(&scripts.join("1-schema.sql"), &[]).await?;
    let rows = args.students.to_string();
    postgres.run_script(&scripts.join("2-students.sql"), &[("rows", &rows)]).await?;
    let backends = Backends { postgres, servers: Servers::start().await? };
    let mut samples = Vec::new();
    let measured = rounds(args, &backends, &mut samples).await;
    if !samples.is_empty() {
        results::write(&DESIGN, args, &samples)?;
    }
    measured?;
    backends.servers.stop().await
}

/// What the services use.
struct Backends {
    postgres: Postgres,
    servers: Servers,
}

async fn rounds(args: &Args, backends: &Backends, samples: &mut Vec<Sample>) -> Result<()> {
    for round in 1..=args.rounds {
        for service in order(&Service::ALL, round) {
            tracing::info!(round, of = args.rounds, %service, "measuring students");
            let place = || format!("round {round}, {service}");
            let turn = turn(service, round, backends, args).await.with_context(place)?;
            samples.extend(turn.into_iter().map(|(case, figures)| Sample {
                round,
                contender: service.to_string(),
                case,
                figures,
            }));
        }
    }
    Ok(())
}

/// The turn of a service: each place in the list, one after the other.
async fn turn(
    service: Service,
    round: u32,
    backends: &Backends,
    args: &Args,
) -> Result<Vec<(Case, Figures)>> {
    let address = free_address()?;
    let mut deployment = Deployment::new(Some(address));
    let command = command(service, round, backends, address)?;
    deployment.add("service", &format!("students-{service}"), command, Some(address))?;
    deployment.listens().await?;
    let authorization = match service {
        Service::Guarded | Service::Cached => {
            Some(format!("Bearer {}", tokens(&["token", "bench"])?))
        }
        Service::Native | Service::Doorbuster => None,
    };
    let mut turn = Vec::new();
    for place in Place::ALL {
        let pages = Pages {
            address,
            authorization: authorization.clone(),
            place,
            students: args.students,
            clients: CLIENTS,
        };
        let pages = Arc::new(pages);
        pages.clone().read(WARM_UP_SECONDS.min(args.seconds)).await?;
        let before = cpu_of(&deployment)?;
        let answers = pages.read(args.seconds).await?;
        let mut figures = answers.figures();
        let used = (cpu_of(&deployment)? - before) * 100_000.0 / answers.count() as f64;
        figures.insert("contender_cpu_s".into(), used);
        figures.insert("memory_mib".into(), deployment.memory_mib()?);
        turn.push((Case::named(place.to_string()), figures));
    }
    deployment.stop().await?;
    Ok(turn)
}

fn cpu_of(deployment: &Deployment) -> Result<f64> {
    deployment.pids()?.into_iter().map(|(_, pid)| cpu::of_process(pid)).sum()
}

fn command(
    service: Service,
    round: u32,
    Backends { postgres, servers }: &Backends,
    listen: SocketAddr,
) -> Result<Command> {
    let url = postgres.url();
    let manifest = Path::new(MANIFEST);
    let mut command = match service {
        Service::Native => {
            let mut command = Command::new(program("native-bench")?);
            command.args(["students", "--listen", &listen.to_string(), "--database", &url]);
            command.args(["--connections", &DATABASE_CONNECTIONS.to_string()]);
            return Ok(command);
        }
        Service::Doorbuster => alone(Path::new(SERVICE), listen)?,
        Service::Guarded => alone(&without_one(manifest, "cache")?, listen)?,
        Service::Cached => {
            let mut command = alone(manifest, listen)?;
            command.args(["--variable", "cache_control=s-maxage=2, max-age=0"]);
            command
        }
    };
    let mut variables = vec![
        format!("database_url={url}"),
        format!("database_address=127.0.0.1:{}", postgres.port()),
    ];
    if let Service::Guarded | Service::Cached = service {
        command.args(["--kafka", &servers.brokers(), "--valkey", &servers.valkey.url()]);
        variables.extend([
            format!("jwt_keys={}", tokens(&["keys"])?),
            "tasks_secret=not a secret, because no request is a task".into(),
            // More than can be answered.
            "rate_limit_average=1000000".into(),
            "rate_limit_burst=1000000".into(),
            // Each turn counts its own requests only.
            format!("requests_topic=requests-{service:?}-{round}"),
        ]);
    }
    command.args(variables.iter().flat_map(|variable| ["--variable", variable]));
    Ok(command)
}

/// What a call of the script for tokens prints.
fn tokens(arguments: &[&str]) -> Result<String> {
    let output = std::process::Command::new("python3").arg(TOKENS).args(arguments).output();
    let output = output.context("cannot run python3")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{TOKENS} failed: {errors}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
