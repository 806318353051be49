//! `examples/university` in Spin and in `doorbuster up`: all middleware before `balance` and a service with
//! PostgreSQL. Background tasks are handled and requests are counted by components of the Kafka trigger.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::Method;
use pipeline_tests::{Answer, Client, Store, eventually, in_time, root};
use serde_json::{Value, json};
use test_servers::{Kafka, Postgres, ValkeyConfig, free_port, start_valkey};

use crate::hosts::{self, Answers, Application, Case, Version};
use crate::spin::Spin;

const MANIFEST: &str = "examples/university/spin.toml";

/// The service alone, which Spin runs in a process of its own.
const SERVICE: &str = "examples/university/service.toml";

const STUDENTS: &str = "1000";
const REPORT: &str = "/reports/enrolment";

/// Polls of a task: their number depends on the time.
const POLLS: &str = "GET /tasks/:id 200";

/// The series of the request that finds out whether Spin serves.
const FIRST: &str = "POST other 401";

/// Checks that both hosts answer all requests with the same status, fields and body, and count the same
/// requests.
pub async fn compare(spin: &Spin, kafka: &Kafka) -> Result<()> {
    let in_spin = in_spin(spin, kafka).await?;
    let in_doorbuster = in_doorbuster(kafka).await?;
    hosts::require_same("examples/university", &in_spin, &in_doorbuster)
}

/// As the README of the example describes.
async fn in_spin(spin: &Spin, kafka: &Kafka) -> Result<Answers> {
    let postgres = students().await?;
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    let database = database(&postgres);
    let port = free_port()?;
    let service = root().join(SERVICE);
    let variables = borrowed(&database);
    let service =
        Application { name: SERVICE, manifest: &service, variables: &variables, profile: None };
    let up = spin.up(&service, port, kafka, &valkey)?;
    let url = format!("http://127.0.0.1:{port}");
    let client = Client::new(&url);
    eventually("the service is healthy", async || {
        let answer = client.send(Method::GET, "/health", &[], "").await.ok()?;
        (answer.status == 204).then_some(())
    })
    .await;

    let topics = [("requests_topic", "spin-requests"), ("tasks_topic", "spin-tasks")];
    for (_, topic) in topics {
        for (topic, partitions) in [(topic.to_owned(), 3), (format!("{topic}.dead-letter"), 1)] {
            let topic = NewTopic::new(&topic, partitions);
            ensure_topic(&ProducerConfig::new(kafka.bootstrap()), topic).await?;
        }
    }
    let mut variables = common()?;
    variables.extend(topics.map(|(name, value)| (name, value.to_owned())));
    variables
        .extend(["upstreams", "upstream_hosts", "service_url"].map(|name| (name, url.clone())));
    let (manifest, variables) = (root().join(MANIFEST), borrowed(&variables));
    let app = Application {
        name: "examples/university",
        manifest: &manifest,
        variables: &variables,
        profile: Some("spin"),
    };
    let answers = hosts::in_spin(spin, kafka, &app, &send).await?;
    up.interrupt().await?;
    Ok(answers)
}

async fn in_doorbuster(kafka: &Kafka) -> Result<Answers> {
    let postgres = students().await?;
    let variables = [common()?, database(&postgres)].concat();
    let (manifest, variables) = (root().join(MANIFEST), borrowed(&variables));
    let app = Application {
        name: "examples/university",
        manifest: &manifest,
        variables: &variables,
        profile: None,
    };
    hosts::in_doorbuster(kafka, &app, &send).await
}

type Variables = Vec<(&'static str, String)>;

fn borrowed(variables: &Variables) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (*name, &**value)).collect()
}

/// A server with the students. Each host changes its own.
async fn students() -> Result<Postgres> {
    let postgres = Postgres::start().await?;
    let scripts = root().join("examples/university/db");
    postgres.run_script(&scripts.join("1-schema.sql"), &[]).await?;
    postgres.run_script(&scripts.join("2-students.sql"), &[("rows", STUDENTS)]).await?;
    Ok(postgres)
}

fn database(postgres: &Postgres) -> Variables {
    vec![
        ("database_url", format!("{}?sslmode=disable", postgres.url())),
        ("database_address", format!("127.0.0.1:{}", postgres.port())),
    ]
}

/// The variables that are the same in both hosts.
fn common() -> Result<Variables> {
    Ok(vec![
        ("jwt_keys", tokens(&["keys"])?),
        ("tasks_secret", "a secret of this check of 40 bytes .....".into()),
        // No limit is reached on a busy machine, either.
        ("valkey_timeout_ms", "10000".into()),
        ("rate_limit_average", "1000000".into()),
        ("rate_limit_burst", "1000000".into()),
    ])
}

/// What a call of `tokens.py` prints.
fn tokens(arguments: &[&str]) -> Result<String> {
    let script = root().join("examples/university/tokens.py");
    let output = Command::new("python3").arg(script).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Sends all requests over each version of HTTP, and waits until they are counted.
async fn send(client: &Client, answers: &mut Answers) -> Result<()> {
    let registrar = format!("Bearer {}", tokens(&["token", "ada", "registrar"])?);
    let student = format!("Bearer {}", tokens(&["token", "eve"])?);
    let mut sent = 0;
    for version in Version::ALL {
        let mut requests = Requests { client, answers, version, registrar: &registrar, sent };
        requests.read().await?;
        requests.without_permission(&student).await?;
        requests.change().await?;
        requests.report(&student).await?;
        sent = requests.sent;
    }
    let counts = counted(&answers.valkey_url, sent).await?;
    answers.note_text("the counts of the requests".into(), format!("{counts:#?}"));
    Ok(())
}

/// The numbers of requests by method, route and status, as soon as this many have been counted.
async fn counted(valkey_url: &str, sent: u64) -> Result<BTreeMap<String, u64>> {
    let store = Store::connect(valkey_url).await?;
    let counts = async || {
        let mut counts = store.request_sums("requests").await?;
        counts.retain(|series, _| series != POLLS && series != FIRST);
        anyhow::Ok(counts)
    };
    let all = in_time("all requests are counted", async || {
        let counts = counts().await.ok()?;
        (counts.values().sum::<u64>() >= sent).then_some(())
    })
    .await;
    let counts = counts().await?;
    let context = || format!("{sent} requests were sent, and counted: {counts:#?}");
    all.with_context(context)?;
    ensure!(counts.values().sum::<u64>() == sent, context());
    Ok(counts)
}

/// Requests over one version of HTTP, most of them of a registrar.
struct Requests<'a> {
    client: &'a Client,
    answers: &'a mut Answers,
    version: Version,
    registrar: &'a str,
    /// The requests without those that poll.
    sent: u64,
}

impl Requests<'_> {
    async fn add(&mut self, case: Case) -> Result<Answer> {
        self.sent += 1;
        self.answers.add(self.client, self.version, case).await
    }

    /// A request with a token, which is not part of its name.
    async fn add_with(&mut self, token: &str, case: Case) -> Result<Answer> {
        let name = case.name.clone();
        self.add(Case { name, ..case.field("authorization", token) }).await
    }

    async fn get(&mut self, path: &str, status: u16) -> Result<Answer> {
        self.add_with(self.registrar, Case::new(Method::GET, path, status)).await
    }

    async fn read(&mut self) -> Result<()> {
        for path in [
            "/students?limit=2&offset=997",
            "/students?limit=2&after=10",
            "/students?limit=1&offset=2000",
            "/api/v1/alumno/alumno?limit=1&offset=0",
            "/api/v1/alumno/alumno/4",
        ] {
            self.get(path, 200).await?;
        }
        let etag = self.get("/students/3", 200).await?.header("etag").to_owned();
        let known = Case::new(Method::GET, "/students/3", 304).field("if-none-match", &etag);
        self.add_with(self.registrar, known).await?;
        self.add_with(self.registrar, Case::new(Method::HEAD, "/students/3", 200)).await?;
        for path in ["/students?limit=0", "/students?offset=-1"] {
            self.get(path, 400).await?;
        }
        for path in ["/students/2000", "/nowhere"] {
            self.get(path, 404).await?;
        }
        Ok(())
    }

    async fn without_permission(&mut self, student: &str) -> Result<()> {
        self.add(Case::new(Method::GET, "/students/3", 401)).await?;
        self.add_with("Bearer x", Case::new(Method::GET, "/students/3", 401)).await?;
        self.add_with(student, Case::new(Method::GET, "/students/3", 200)).await?;
        self.add_with(student, Case::new(Method::DELETE, "/students/3", 403)).await?;
        self.add_with(student, Case::new(Method::GET, REPORT, 403)).await?;
        Ok(())
    }

    /// Creates, changes and deletes a student.
    async fn change(&mut self) -> Result<()> {
        let created = self.with_body(Method::POST, "/students", 201, &pupil("Inés"), None).await?;
        self.with_body(Method::POST, "/students", 409, &pupil("Inés"), None).await?;
        let invalid = json!({"apellido": "Núñez"});
        self.with_body(Method::POST, "/students", 400, &invalid, None).await?;
        let (path, first) = (created.header("location"), created.header("etag"));
        for status in [200, 412] {
            self.with_body(Method::PUT, path, status, &pupil("Lucía"), Some(first)).await?;
        }
        self.get(path, 200).await?;
        self.with_body(Method::PATCH, path, 405, &json!({}), None).await?;
        for _ in 0..2 {
            self.add_with(self.registrar, Case::new(Method::DELETE, path, 204)).await?;
        }
        self.get(path, 404).await?;
        Ok(())
    }

    async fn with_body(
        &mut self,
        method: Method,
        path: &str,
        status: u16,
        body: &Value,
        only_if: Option<&str>,
    ) -> Result<Answer> {
        let mut case = Case::new(method, path, status).body(&body.to_string());
        case = case.field("content-type", "application/json");
        if let Some(etag) = only_if {
            case = case.field("if-match", etag);
        }
        self.add_with(self.registrar, case).await
    }

    /// Requests the report as a task.
    async fn order(&mut self, key: &str) -> Result<Answer> {
        let case = Case::new(Method::GET, REPORT, 202)
            .field("prefer", "respond-async")
            .field("idempotency-key", key);
        self.add_with(self.registrar, case).await
    }

    /// Waits until a task has succeeded, and adds its last state.
    async fn wait(&mut self, task: &str) -> Result<()> {
        let token = [("authorization", self.registrar)];
        let last = in_time("the task has ended", async || {
            let status = self.client.send(Method::GET, task, &token, "").await.ok()?;
            let state = status.json();
            matches!(state["state"].as_str(), Some("succeeded" | "failed")).then_some(status)
        })
        .await?;
        ensure!(last.json()["state"] == "succeeded", "{}", last.text());
        self.note(format!("the state of {task}"), last);
        Ok(())
    }

    /// The events of a task that has ended.
    async fn events(&mut self, task: &str) -> Result<()> {
        self.sent += 1;
        let path = format!("{task}/events");
        let fields = [("authorization", self.registrar), ("accept", "text/event-stream")];
        let answer = match self.version {
            Version::Http1 => self.client.send(Method::GET, &path, &fields, "").await?,
            Version::Http2 => self.client.send2(Method::GET, &path, &fields, "").await?,
        };
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        self.note(path, answer);
        Ok(())
    }

    /// Adds an answer, without its times and the version of the task.
    fn note(&mut self, name: String, answer: Answer) {
        let body = comparable(&answer.text()).into();
        self.answers.note(self.client, name, &Answer { body, ..answer });
    }

    /// A report, which is always a task.
    async fn report(&mut self, student: &str) -> Result<()> {
        let key = format!("report-{:?}", self.version);
        let accepted = self.order(&key).await?;
        let task = accepted.header("location").to_owned();
        self.wait(&task).await?;
        let result = self.get(&format!("{task}/result"), 200).await?.json();
        let rows = result.as_array().is_some_and(|rows| !rows.is_empty());
        ensure!(rows, "a report without students: {result}");
        self.events(&task).await?;
        // The task has ended, also for a repeated request.
        self.order(&key).await?;
        self.add_with(self.registrar, Case::new(Method::DELETE, &task, 409)).await?;
        for path in [task.clone(), format!("{task}/result"), format!("{task}/events")] {
            self.add_with(student, Case::new(Method::GET, &path, 404)).await?;
        }
        Ok(())
    }
}

/// The text without the numbers of members whose names end with `_ms`, and without the ids of events, which
/// are versions of the task: the worker may start before the request is answered.
fn comparable(text: &str) -> String {
    let mut parts = text.split("_ms\":");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |text, part| {
        text + "_ms\":(a time)" + part.trim_start_matches(|digit: char| digit.is_ascii_digit())
    });
    let lines = text.split_inclusive('\n');
    lines.map(|line| if line.starts_with("id: ") { "id: (a version)\n" } else { line }).collect()
}

/// A student with this first name.
fn pupil(name: &str) -> Value {
    json!({
        "apellido": "Núñez", "nombre": name, "nro_documento": 700_000_001, "tipo_documento": "LC",
        "fecha_nacimiento": "2001-02-03", "sexo": "F", "nro_legajo": 700_000_001,
        "fecha_ingreso": "2020-03-01",
    })
}
