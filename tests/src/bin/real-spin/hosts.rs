//! The same requests to an application in Spin and in `doorbuster up`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use http::{Method, header};
use pipeline_tests::{Answer, Client, Launch, Pipeline, eventually};
use test_servers::{Kafka, ValkeyConfig, free_port, start_valkey};

use crate::spin::Spin;

/// Header fields whose values depend on the time.
const TIMES: [&str; 3] = ["date", "ratelimit-reset", "retry-after"];

/// An application that both hosts run.
pub struct Application<'a> {
    /// Its name in messages.
    pub name: &'a str,
    pub manifest: &'a Path,
    /// Variables in addition to those of the servers.
    pub variables: &'a [(&'a str, &'a str)],
}

/// A request. Both hosts must answer it with this status.
pub struct Case {
    pub name: String,
    pub method: Method,
    pub path: String,
    pub fields: Vec<(&'static str, String)>,
    pub body: String,
    pub status: u16,
}

impl Case {
    /// A request without fields and body.
    pub fn new(method: Method, path: &str, status: u16) -> Self {
        let name = format!("{method} {path}");
        Self { name, method, path: path.into(), fields: Vec::new(), body: String::new(), status }
    }

    pub fn field(mut self, name: &'static str, value: &str) -> Self {
        self.name = format!("{} with {name}: {value}", self.name);
        self.fields.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }
}

/// A version of HTTP. Each is a different way through the hosts.
#[derive(Debug, Clone, Copy)]
pub enum Version {
    Http1,
    Http2,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// The answers of a host as text, each with a name.
#[derive(Default)]
pub struct Answers(Vec<(String, String)>);

impl Answers {
    /// Sends a request and adds the answer to it.
    pub async fn add(&mut self, client: &Client, version: Version, case: Case) -> Result<Answer> {
        let Case { name, method, path, fields, body, status } = case;
        let name = format!("{name} over {}", version.name());
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let answer = match version {
            Version::Http1 => client.send(method, &path, &fields, body).await,
            Version::Http2 => client.send2(method, &path, &fields, body).await,
        };
        let answer = answer.with_context(|| name.clone())?;
        ensure!(answer.status == status, "{name}: {}", shown(client, &answer));
        self.note(client, name, &answer);
        Ok(answer)
    }

    /// Adds an answer.
    pub fn note(&mut self, client: &Client, name: String, answer: &Answer) {
        self.0.push((name, shown(client, answer)));
    }
}

/// Runs the application in both hosts, each with a Valkey of its own, sends the requests, and compares
/// the answers.
pub async fn compare(
    spin: &Spin,
    kafka: &Kafka,
    app: &Application<'_>,
    requests: impl AsyncFn(&Client, &mut Answers) -> Result<()>,
) -> Result<()> {
    let answers = async |client: &Client| {
        let mut answers = Answers::default();
        requests(client, &mut answers).await?;
        anyhow::Ok(answers.0)
    };
    let in_spin = in_spin(spin, kafka, app, &answers).await;
    let in_spin = in_spin.with_context(|| format!("{} in Spin", app.name))?;
    let in_doorbuster = in_doorbuster(kafka, app, &answers).await;
    let in_doorbuster = in_doorbuster.with_context(|| format!("{} in doorbuster up", app.name))?;
    let mut differences = String::new();
    ensure!(in_spin.len() == in_doorbuster.len(), "{}: the hosts got other requests", app.name);
    for ((name, spin), (_, doorbuster)) in in_spin.iter().zip(&in_doorbuster) {
        if spin != doorbuster {
            writeln!(differences, "{name}:\nSpin\n{spin}\ndoorbuster up\n{doorbuster}\n")?;
        }
    }
    ensure!(differences.is_empty(), "{}: the hosts answer differently\n{differences}", app.name);
    println!("{}: {} answers as in doorbuster up", app.name, in_spin.len());
    Ok(())
}

type Named = Vec<(String, String)>;

async fn in_spin(
    spin: &Spin,
    kafka: &Kafka,
    app: &Application<'_>,
    answers: &impl AsyncFn(&Client) -> Result<Named>,
) -> Result<Named> {
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    let port = free_port()?;
    let up = spin.up(app.manifest, port, kafka, &valkey, app.variables)?;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    eventually("spin up serves", async || client.post("/nowhere", "").await.ok()).await;
    let answers = answers(&client).await?;
    up.interrupt().await?;
    Ok(answers)
}

async fn in_doorbuster(
    kafka: &Kafka,
    app: &Application<'_>,
    answers: &impl AsyncFn(&Client) -> Result<Named>,
) -> Result<Named> {
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    let mut launch = Launch::new(app.manifest, kafka.bootstrap(), valkey.url(), "");
    for (name, value) in app.variables {
        launch = launch.variable(name, value);
    }
    let running = Pipeline::launch(&launch).await?;
    let answers = answers(&running.client()).await;
    let answers = answers.with_context(|| running.log())?;
    running.stop().await?;
    Ok(answers)
}

/// The status, the header fields in alphabetical order, and the body. The address of the host is
/// replaced, because each has its own.
fn shown(client: &Client, answer: &Answer) -> String {
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        // Whether a connection is closed after an answer is up to each host.
        .filter(|(name, _)| *name != header::CONNECTION)
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            match name.as_str() {
                name if TIMES.contains(&name) => format!("{name}: (a time)"),
                "age" => "age: (seconds)".into(),
                "cache-status" => format!("cache-status: {}", without_ttl(&value)),
                name => format!("{name}: {value}"),
            }
        })
        .collect();
    fields.sort();
    let text = format!("{}\n{}\n\n{}", answer.status, fields.join("\n"), answer.text());
    text.replace(client.address(), "(the address)")
}

/// The value of `Cache-Status` without the seconds that a response is still fresh.
fn without_ttl(value: &str) -> String {
    let parts = value.split("; ").map(|part| match part.strip_prefix("ttl=") {
        Some(_) => "ttl=(seconds)",
        None => part,
    });
    parts.collect::<Vec<_>>().join("; ")
}
