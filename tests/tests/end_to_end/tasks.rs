//! Background tasks: `examples/tasks` with a service of the test, and then with its own; with complete requests,
//! and with streams.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::{Method, StatusCode};
use pipeline_tests::{Answer, Client, Launch, Pipeline, eventually, root};
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

use crate::event_ingest::captured;
use crate::middleware::{authorization, key_set};

/// What the service says in `Retry-After`.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A service that fails at `/reports/500`, is not available for the first request to `/reports/503`, and does
/// not answer other requests. It notes all of them, and when they came.
#[derive(Clone)]
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<(Request, Instant)>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self { url, requests: Arc::default() };
        let own = service.clone();
        let answer = move |request: Request| async move { own.answer(request).await };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    async fn answer(self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        self.requests.lock().unwrap().push((request, Instant::now()));
        let is_first = self.times(&path).len() == 1;
        match &*path {
            "/reports/500" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "/reports/503" if is_first => {
                let after = [("retry-after", RETRY_AFTER.as_secs().to_string())];
                (StatusCode::SERVICE_UNAVAILABLE, after).into_response()
            }
            "/reports/503" => StatusCode::OK.into_response(),
            _ => std::future::pending().await,
        }
    }

    /// When the requests for this path came.
    fn times(&self, path: &str) -> Vec<Instant> {
        let requests = self.requests.lock().unwrap();
        let of_path = requests.iter().filter(|(request, _)| request.uri().path() == path);
        of_path.map(|(_, time)| *time).collect()
    }

    /// This header of each request for this path.
    fn headers(&self, path: &str, name: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let of_path = requests.iter().filter(|(request, _)| request.uri().path() == path);
        of_path.map(|(one, _)| one.headers()[name].to_str().unwrap().to_owned()).collect()
    }
}

/// The header of a client that accepts events.
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

/// A client with a token, whose requests are complete or streams.
struct User {
    client: Client,
    authorization: String,
    streamed: bool,
}

impl User {
    fn new(running: &Pipeline, subject: &str) -> Self {
        let claims = json!({"iss": "university", "aud": "students", "sub": subject});
        let authorization = authorization(claims);
        Self { client: running.client(), authorization, streamed: false }
    }

    /// The same client, whose requests are streams.
    fn streamed(running: &Pipeline, subject: &str) -> Self {
        Self { streamed: true, ..Self::new(running, subject) }
    }

    /// Sends a request. The outermost middleware says how the host has passed it on.
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("authorization", self.authorization.as_str())];
        all.extend_from_slice(headers);
        all.extend(self.streamed.then_some(("expect", "100-continue")));
        let answer = self.client.send(method, path, &all, "").await.unwrap();
        // Events are sent at once to a client that accepts them.
        let streamed = self.streamed || headers.contains(&EVENTS);
        assert_eq!(answer.header("x-request"), mark(streamed), "{path}: {}", answer.text());
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    /// Requests a report as a task. Returns the path of the task.
    async fn order(&self, year: &str, key: &str) -> Answer {
        let headers = [("prefer", "respond-async"), ("idempotency-key", key)];
        self.send(Method::POST, &format!("/reports/{year}"), &headers).await
    }

    /// Waits until a task has this state, and returns its status.
    async fn wait(&self, task: &str, state: &str) -> Value {
        eventually(state, async || {
            let status = self.get(task).await.json();
            (status["state"] == state).then_some(status)
        })
        .await
    }
}

fn mark(streamed: bool) -> &'static str {
    if streamed { "streamed" } else { "complete" }
}

/// `examples/tasks` behind middleware that says how requests are passed on.
fn manifest(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(root().join("examples/tasks/spin.toml")).unwrap();
    let mark = "dependencies.middleware = [\n    { component = \"marks-requests\", \
                inherit_configuration = [\"variables\"] },";
    let marked = text.replace("dependencies.middleware = [", mark);
    assert_ne!(marked, text);
    let component = "\n[component.marks-requests]\n\
                     source = \"../../target/components/marks_requests.wasm\"\n";
    let path = folder.join("spin.toml");
    std::fs::write(&path, marked + component).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_handled_once_although_the_host_is_killed() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    // With one partition, a task that is not answered delays the next one.
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new("tasks", 1)).await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let service = Service::start().await;
    let folder = tempfile::tempdir_in(root().join("examples")).unwrap();
    let launch = Launch::new(manifest(folder.path()), &brokers, valkey.url(), "")
        .variable("jwt_keys", &key_set().to_string())
        .variable("tasks_secret", "a secret of this test of 40 bytes ......")
        // No limit is reached on a busy machine, either.
        .variable("valkey_timeout_ms", "10000")
        .variable("attempts_max", "5")
        .variable("timeout_ms", "120000");
    let with_own_service = launch.clone().variable("service_url", &service.url);
    let running = Pipeline::launch(&with_own_service).await.unwrap();
    let (ada, bob) = (User::new(&running, "ada"), User::new(&running, "bob"));

    // A service that fails: a dead letter, and the state says why.
    let ordered = ada.order("500", "fails").await;
    assert_eq!(ordered.status, 202, "{}", ordered.text());
    assert_eq!(ordered.header("preference-applied"), "respond-async");
    let failing = ordered.header("location").to_owned();
    let status = ada.wait(&failing, "failed").await;
    assert_eq!(status["reason"], "the service answered 500", "{}", running.log());
    let id = failing.trim_start_matches("/tasks/");
    assert_eq!(service.headers("/reports/500", "idempotency-key"), [id; 5]);
    assert_eq!(service.headers("/reports/500", "task-attempt"), ["1", "2", "3", "4", "5"]);
    assert_eq!(ada.get(&format!("{failing}/result")).await.status, 409);

    // A service that is not available names the time for the next attempt.
    let later = User::streamed(&running, "ada").order("503", "later").await;
    assert_eq!(later.status, 202, "{}", later.text());
    ada.wait(later.header("location"), "succeeded").await;
    let times = service.times("/reports/503");
    assert!(times.len() == 2 && times[1] - times[0] >= RETRY_AFTER, "{times:?}");

    // A task in progress, which only its subject sees.
    let slow = ada.order("2024", "slow").await.header("location").to_owned();
    let token = eventually("the request of the task", async || {
        service.headers("/reports/2024", "task-token").pop()
    })
    .await;
    let headers = [("content-type", "application/json"), ("task-token", &*token)];
    let path = format!("{slow}/progress");
    let report = async |headers: &[(&str, &str)], body: &str, streamed: bool| {
        let expect = streamed.then_some(("expect", "100-continue"));
        let headers: Vec<_> = headers.iter().copied().chain(expect).collect();
        let body = body.to_owned();
        let answer = running.client().send(Method::PUT, &path, &headers, body).await.unwrap();
        assert_eq!(answer.header("x-request"), mark(streamed), "{}", answer.text());
        answer
    };
    let half = r#"{"progress": 0.5, "message": "half"}"#;
    for streamed in [false, true] {
        let reported = report(&headers, half, streamed).await;
        assert_eq!(reported.json(), json!({"cancel_requested": false}), "{}", reported.text());
        let forged = report(&[("task-token", &*format!("x{token}"))], half, streamed).await;
        assert_eq!(forged.status, 403);
        let long = report(&headers, &half.replace("half", &"x".repeat(5_000)), streamed).await;
        assert_eq!(long.status, 413, "{}", long.text());
    }
    let status = ada.get(&slow).await.json();
    assert_eq!((&status["state"], &status["progress"]), (&"running".into(), &0.5.into()));
    for (method, path) in [
        (Method::GET, slow.clone()),
        (Method::DELETE, slow.clone()),
        (Method::GET, format!("{slow}/result")),
        (Method::GET, format!("{slow}/events")),
    ] {
        for bob in [&bob, &User::streamed(&running, "bob")] {
            assert_eq!(bob.send(method.clone(), &path, &[]).await.status, 404, "{path}");
        }
    }

    // A task that is cancelled before its turn.
    let unwanted = ada.order("2025", "unwanted").await.header("location").to_owned();
    assert_eq!(ada.get(&unwanted).await.json()["state"], "queued");
    let cancelled = ada.send(Method::DELETE, &unwanted, &[]).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["state"]), (200, &"cancelled".into()));
    running.kill().await.unwrap();

    // The worker has the record of the interrupted task again.
    let running = Pipeline::launch(&launch).await.unwrap();
    let ada = User::new(&running, "ada");
    let id = failing.trim_start_matches("/tasks/");
    eventually("the dead letter", async || {
        let letters = captured(&brokers, "tasks.dead-letter").await;
        (letters.contains(id) && letters.contains("the service answered 500")).then_some(())
    })
    .await;
    ada.wait(&slow, "succeeded").await;
    for ada in [&ada, &User::streamed(&running, "ada")] {
        let result = ada.get(&format!("{slow}/result")).await;
        let id = slow.trim_start_matches("/tasks/");
        let expected = json!({"year": 2024, "parts": 4, "idempotency_key": id, "attempt": "2"});
        assert_eq!((result.status.as_u16(), result.json()), (200, expected), "{}", running.log());
        assert_eq!(result.header("content-type"), "application/json");
        assert_eq!(service.headers("/reports/2024", "idempotency-key"), [id]);
        let events = ada.get(&format!("{slow}/events")).await;
        assert_eq!(events.header("content-type"), "text/event-stream");
        let last = events.text();
        assert!(
            last.contains("event: status") && last.contains(r#""state":"succeeded""#),
            "{last}"
        );
        let seen = last.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let events =
            ada.send(Method::GET, &format!("{slow}/events"), &[("last-event-id", seen)]).await;
        assert_eq!(events.status, 204);

        // The same key is the same task; without the preference, the service answers.
        let again = ada.order("2024", "slow").await;
        assert_eq!((again.status.as_u16(), again.header("location")), (202, &*slow));
        assert_eq!(ada.order("2023", "slow").await.status, 422);
        assert_eq!(ada.get(&unwanted).await.json()["attempt"], Value::Null);
        let direct = ada.send(Method::POST, "/reports/2022", &[("task-id", "forged")]).await;
        assert_eq!((direct.status.as_u16(), &direct.json()["year"]), (200, &2022.into()));
        let late = ada.send(Method::DELETE, &slow, &[]).await;
        assert_eq!(late.status, 409);
        assert_eq!(ada.send(Method::PUT, &slow, &[]).await.header("allow"), "GET, HEAD, DELETE");
        let encoded = slow.replace("/tasks/", "/%74asks/");
        assert_eq!(ada.get(&encoded).await.status, 200);
        // The public rule for `PUT` applies to this path, so nothing behind `tasks` may get the request.
        let unauthenticated = running.client().send(Method::PUT, &encoded, &[], "").await.unwrap();
        assert_eq!(unauthenticated.status, 405);
        let nobody = User { streamed: ada.streamed, ..User::new(&running, "") };
        assert_eq!(nobody.order("2020", "slow").await.status, 403);
    }

    // The service reports its progress through the gateway, and stops when it is told to.
    let stopped = ada.order("2021?parts=100", "stopped").await.header("location").to_owned();
    let path = format!("{stopped}/events");
    let stream = ada.send(Method::GET, &path, &[EVENTS]);
    let cancel = async {
        eventually("progress", async || {
            let status = ada.get(&stopped).await.json();
            status["message"].as_str().map(|_| ())
        })
        .await;
        ada.send(Method::DELETE, &stopped, &[]).await
    };
    let (events, _) = tokio::join!(stream, cancel);
    assert!(events.text().contains("event: status"), "{}", events.text());
    ada.wait(&stopped, "cancelled").await;
    let events = ada.get(&path).await.text();
    assert!(events.contains(r#""state":"cancelled""#), "{events}");
    running.stop().await.unwrap();
}
