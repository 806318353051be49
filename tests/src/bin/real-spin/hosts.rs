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
    /// The profile of its components, which only Spin knows.
    pub profile: Option<&'a str>,
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
pub struct Answers {
    named: Vec<(String, String)>,
    /// The Valkey of the host.
    pub valkey_url: String,
}

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
        self.note_text(name, shown(client, answer));
    }

    /// Adds another result.
    pub fn note_text(&mut self, name: String, text: String) {
        self.named.push((name, text));
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
    let spin = in_spin(spin, kafka, app, &requests).await?;
    let doorbuster = in_doorbuster(kafka, app, &requests).await?;
    require_same(app.name, &spin, &doorbuster)
}

/// Checks that both hosts gave the same answers.
pub fn require_same(name: &str, in_spin: &Answers, in_doorbuster: &Answers) -> Result<()> {
    let (in_spin, in_doorbuster) = (&in_spin.named, &in_doorbuster.named);
    let mut differences = String::new();
    ensure!(in_spin.len() == in_doorbuster.len(), "{name}: the hosts got other requests");
    for ((request, spin), (_, doorbuster)) in in_spin.iter().zip(in_doorbuster) {
        if spin != doorbuster {
            writeln!(differences, "{request}:\nSpin\n{spin}\ndoorbuster up\n{doorbuster}\n")?;
        }
    }
    ensure!(differences.is_empty(), "{name}: the hosts answer differently\n{differences}");
    println!("{name}: {} answers as in doorbuster up", in_spin.len());
    Ok(())
}

/// Runs the application in Spin, and sends the requests.
pub async fn in_spin(
    spin: &Spin,
    kafka: &Kafka,
    app: &Application<'_>,
    requests: &impl AsyncFn(&Client, &mut Answers) -> Result<()>,
) -> Result<Answers> {
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    let port = free_port()?;
    let up = spin.up(app, port, kafka, &valkey)?;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    eventually("spin up serves", async || client.post("/nowhere", "").await.ok()).await;
    let mut answers = Answers { named: Vec::new(), valkey_url: valkey.url() };
    let sent = requests(&client, &mut answers).await;
    sent.with_context(|| format!("{} in Spin", app.name))?;
    up.interrupt().await?;
    Ok(answers)
}

/// Runs the application in `doorbuster up`, and sends the requests.
pub async fn in_doorbuster(
    kafka: &Kafka,
    app: &Application<'_>,
    requests: &impl AsyncFn(&Client, &mut Answers) -> Result<()>,
) -> Result<Answers> {
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    let mut launch = Launch::new(app.manifest, kafka.bootstrap(), valkey.url(), "");
    for (name, value) in app.variables {
        launch = launch.variable(name, value);
    }
    let running = Pipeline::launch(&launch).await?;
    let mut answers = Answers { named: Vec::new(), valkey_url: valkey.url() };
    let sent = requests(&running.client(), &mut answers).await;
    sent.with_context(|| format!("{} in doorbuster up: {}", app.name, running.log()))?;
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
