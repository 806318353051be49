//! `examples/university` with a real PostgreSQL, Kafka and Valkey: everything that it has in front of the
//! service.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;

use futures::future::join_all;
use http::{Method, StatusCode};
use pipeline_tests::{Answer, Client, Launch, Pipeline, Store, eventually, root};
use serde_json::{Value, json};
use test_servers::{Postgres, ValkeyConfig, shared_kafka, start_valkey};

const MANIFEST: &str = "examples/university/spin.toml";

/// The service without a gateway.
const SERVICE: &str = "examples/university/service.toml";

/// More students than two blocks of ids have.
const STUDENTS: i64 = 5_000;

/// Some students who are deleted before the pages are read: at the borders of blocks and of the list.
const GONE: [i64; 6] = [1, 2, 2_047, 2_048, 4_096, 5_000];

/// Creates the students on a server with a limit of time, which does not hold for the script.
const FILL: &str = "
SET statement_timeout = '1h';
\\i :script
SELECT 1 / (current_setting('statement_timeout') = '0')::integer;
";

/// What the schema refuses, and blocks that are missing.
const SPOIL: &str = "
DO $$ BEGIN
    BEGIN
        UPDATE students SET id = DEFAULT WHERE id = 3;
        RAISE 'the id was changed';
    EXCEPTION WHEN integrity_constraint_violation THEN NULL;
    END;
    BEGIN
        UPDATE students SET fecha_ingreso = '2100-01-01' WHERE id = 3;
        RAISE 'the date was changed';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
    BEGIN
        UPDATE students SET fecha_ingreso = fecha_nacimiento WHERE id = 3;
        RAISE 'the date was changed';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
END $$;
TRUNCATE student_blocks;
";

/// Prints what a call of `tokens.py` prints.
fn tokens(arguments: &[&str]) -> String {
    let script = root().join("examples/university/tokens.py");
    let output = Command::new("python3").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Service {
    client: Client,
    authorization: String,
}

impl Service {
    async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        more: &[(&str, &str)],
    ) -> Answer {
        let mut headers = vec![("authorization", self.authorization.as_str())];
        headers.extend(body.map(|_| ("content-type", "application/json")));
        headers.extend(more);
        let body = body.map(Value::to_string).unwrap_or_default();
        self.client.send(method, path, &headers, body).await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// The ids of a page.
    async fn ids(&self, path: &str) -> Vec<i64> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        ids(&answer)
    }
}

fn ids(page: &Answer) -> Vec<i64> {
    page.json().as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

fn student(number: i64) -> Value {
    json!({
        "apellido": "Núñez", "nombre": "Inés", "nro_documento": number, "tipo_documento": "LC",
        "fecha_nacimiento": "2001-02-03", "sexo": "F", "nro_legajo": number,
        "fecha_ingreso": "2020-03-01",
    })
}

/// Pages and changes, hostile values, and an outage: one test, because the servers are started once.
#[tokio::test(flavor = "multi_thread")]
async fn students_in_postgresql() {
    let mut postgres = Postgres::start().await.unwrap();
    let script = |name: &str| root().join("examples/university/db").join(name);
    postgres.run_script(&script("1-schema.sql"), &[]).await.unwrap();
    let (rows, fill) = (STUDENTS.to_string(), script("2-students.sql"));
    run(&postgres, FILL, &[("rows", &rows), ("script", fill.to_str().unwrap())]).await;
    run(&postgres, SPOIL, &[]).await;
    // Once more, as an operator might: the blocks are counted again, and nothing else changes.
    postgres.run_script(&script("1-schema.sql"), &[]).await.unwrap();
    let kafka = shared_kafka();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let address = format!("127.0.0.1:{}", postgres.port());
    let launch = Launch::new(root().join(MANIFEST), kafka.bootstrap(), valkey.url(), "")
        .variable("database_url", &postgres.url())
        .variable("database_address", &address)
        .variable("jwt_keys", &tokens(&["keys"]))
        .variable("tasks_secret", "a secret of this test of 40 bytes ......")
        // Other tests use the same Kafka.
        .variable("requests_topic", "requests-of-students")
        .variable("tasks_topic", "tasks-of-students")
        // No limit is reached on a busy machine, either.
        .variable("valkey_timeout_ms", "10000")
        .variable("rate_limit_average", "1000000")
        .variable("rate_limit_burst", "1000000");
    let running = Pipeline::launch(&launch).await.unwrap();
    let authorization = format!("Bearer {}", tokens(&["token", "ada", "registrar"]));
    let service = Service { client: running.client(), authorization };

    only_registrars_change_students(&running).await;
    the_service_is_private(&running).await;
    pages_by_offset_and_by_position_agree(&service).await;
    a_student_is_created_changed_and_deleted(&service).await;
    statements_in_requests_are_data(&service).await;
    a_report_is_a_task(&running, &service).await;
    let store = Store::connect(&valkey.url()).await.unwrap();
    requests_are_counted(&store).await;
    let variables = [
        format!("database_url={}", postgres.url()),
        format!("database_address={address}"),
        "cache_control=s-maxage=600, max-age=0".into(),
    ];
    let more: Vec<&str> = variables.iter().flat_map(|one| ["--variable", one]).collect();
    let manifest = root().join(SERVICE);
    let start = || Pipeline::of_manifest(&manifest, "127.0.0.1:1", &more);
    let (first, second) = tokio::try_join!(start(), start()).unwrap();
    let upstreams = [&first, &second].map(|one| format!("http://{}", one.client().address()));
    let launch = launch
        .variable("upstreams", &upstreams.join(", "))
        .variable("upstream_hosts", "http://127.0.0.1:*");
    let other = Pipeline::launch(&launch).await.unwrap();
    pages_are_stored_for_clients_with_a_token(&service, &other).await;
    a_server_that_dies_is_ejected(&service, &other, second).await;
    other.stop().await.unwrap();
    first.stop().await.unwrap();
    an_outage_is_reported_and_passes(&service, &mut postgres).await;
    running.stop().await.unwrap();
}

async fn run(postgres: &Postgres, statements: &str, variables: &[(&str, &str)]) {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&script, statements).unwrap();
    postgres.run_script(script.path(), variables).await.unwrap();
}

async fn only_registrars_change_students(running: &Pipeline) {
    let client = running.client();
    let path = "/students/3";
    assert_eq!(client.send(Method::GET, path, &[], "").await.unwrap().status, 401);
    let token = format!("Bearer {}", tokens(&["token", "eve"]));
    let service = Service { client, authorization: token };
    for path in [path, "/api/v1/alumno/alumno/3"] {
        assert_eq!(service.send(Method::DELETE, path, None).await.status, 403, "{path}");
        assert_eq!(service.get(path).await.json()["id"], 3, "{path}");
    }
}

/// The name of the private service does not lead clients past the middleware.
async fn the_service_is_private(running: &Pipeline) {
    for host in ["students.spin.internal", "STUDENTS.spin.internal:80"] {
        let headers = [("host", host)];
        let answer = running.client().send(Method::GET, "/students/3", &headers, "").await.unwrap();
        assert_eq!(answer.status, 401, "{host}: {}", answer.text());
    }
}

async fn pages_by_offset_and_by_position_agree(service: &Service) {
    for id in GONE {
        let answer = service.send(Method::DELETE, &format!("/students/{id}"), None).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let mut all = Vec::new();
    let mut path = "/students?limit=500".to_owned();
    loop {
        let page = service.get(&path).await;
        all.extend(ids(&page));
        let link = page.header("link");
        let Some((next, _)) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        path = format!("/students{next}");
    }
    let expected: Vec<i64> = (1..=STUDENTS).filter(|id| !GONE.contains(id)).collect();
    assert_eq!(all, expected);
    let total = all.len();
    for offset in [0, 1, 2, 2_043, 2_044, 2_045, 4_090, 4_091, total - 3, total - 1, total, 9_999] {
        let path = format!("/students?limit=3&offset={offset}");
        let expected: Vec<i64> = all.iter().skip(offset).take(3).copied().collect();
        assert_eq!(service.ids(&path).await, expected, "{path}");
    }
    assert_eq!(service.ids("/api/v1/alumno/alumno?limit=100&offset=0").await, all[..100]);
    // The numbers of students in the blocks remain exact while several requests change them: fewer than
    // there are connections, so that none of them waits for one.
    let numbers: Vec<i64> = (0..20).map(|number| 800_000_000 + number).collect();
    let life = async |number: &i64| {
        let created = service.send(Method::POST, "/students", Some(&student(*number))).await;
        assert_eq!(created.status, 201, "{}", created.text());
        if number % 2 == 0 {
            let place = created.header("location");
            assert_eq!(service.send(Method::DELETE, place, None).await.status, 204);
        }
    };
    join_all(numbers.iter().map(life)).await;
    let last = total + numbers.len() / 2 - 1;
    assert_eq!(service.ids(&format!("/students?offset={last}")).await.len(), 1);
    assert_eq!(service.ids(&format!("/students?offset={}", last + 1)).await.len(), 0);
}

async fn a_student_is_created_changed_and_deleted(service: &Service) {
    let created = service.send(Method::POST, "/students", Some(&student(700_000_001))).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let path = created.header("location").to_owned();
    assert_eq!(path, format!("/students/{}", created.json()["id"]));
    let read = service.get(&path).await;
    assert_eq!((read.status, read.json()), (StatusCode::OK, created.json()));
    let first = read.header("etag").to_owned();
    assert_eq!(first, created.header("etag"));
    assert_eq!(read.header("cache-control"), "private, no-cache");
    let known = service.send_with(Method::GET, &path, None, &[("if-none-match", &first)]).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    // The repeated request finds that it was performed.
    let again = service.send(Method::POST, "/students", Some(&student(700_000_001))).await;
    assert_eq!(again.status, 409, "{}", again.text());

    let mut other = student(700_000_002);
    other["nombre"] = json!("Lucía");
    let condition = [("if-match", first.as_str())];
    let replaced = service.send_with(Method::PUT, &path, Some(&other), &condition).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    for method in [Method::PUT, Method::DELETE] {
        let late = service.send_with(method, &path, Some(&other), &condition).await;
        assert_eq!(late.status, 412, "{}", late.text());
    }
    // Without a condition, a repetition has the same result.
    let repeated = service.send(Method::PUT, &path, Some(&other)).await;
    assert_eq!((repeated.status, repeated.json()), (StatusCode::OK, replaced.json()));
    assert_eq!(service.get(&path).await.json()["nombre"], "Lucía");
    let taken = service.send(Method::PUT, "/students/3", Some(&other)).await;
    assert_eq!(taken.status, 409, "{}", taken.text());
    for _ in 0..2 {
        assert_eq!(service.send(Method::DELETE, &path, None).await.status, 204);
    }
    assert_eq!(service.get(&path).await.status, 404);
    assert_eq!(service.send(Method::PUT, &path, Some(&other)).await.status, 404);
    let patch = service.send(Method::PATCH, &path, None).await;
    assert_eq!((patch.status.as_u16(), patch.header("allow")), (405, "GET, HEAD, PUT, DELETE"));
}

/// The students of each year of enrolment and sex, from the list.
async fn enrolment(service: &Service) -> Value {
    let mut counts = BTreeMap::<(i64, String), i64>::new();
    let mut after = 0;
    loop {
        let page = service.get(&format!("/students?limit=500&after={after}")).await.json();
        let Some(last) = page.as_array().unwrap().last() else { break };
        after = last["id"].as_i64().unwrap();
        for one in page.as_array().unwrap() {
            let year = one["fecha_ingreso"].as_str().unwrap()[..4].parse().unwrap();
            *counts.entry((year, one["sexo"].as_str().unwrap().into())).or_default() += 1;
        }
    }
    let row = |((year, sex), students): (&(i64, String), &i64)| json!({"anio_ingreso": year, "sexo": sex, "alumnos": students});
    counts.iter().map(row).collect()
}

async fn a_report_is_a_task(running: &Pipeline, service: &Service) {
    const PATH: &str = "/reports/enrolment";
    let student = Service {
        client: running.client(),
        authorization: format!("Bearer {}", tokens(&["token", "eve"])),
    };
    let expected = enrolment(service).await;
    assert_eq!(student.get(PATH).await.status, 403);
    // Nothing but the worker reads all students: neither a client without `Prefer`, nor another method.
    assert_eq!(service.send(Method::HEAD, PATH, None).await.status, 405);
    let accepted = service.get(PATH).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let place = accepted.header("location").to_owned();
    eventually("the report is written", async || {
        let status = service.get(&place).await.json();
        assert_ne!(status["state"], "failed", "{status}\n{}", running.log());
        (status["state"] == "succeeded").then_some(())
    })
    .await;
    let result = service.get(&format!("{place}/result")).await;
    assert_eq!((result.status, result.json()), (StatusCode::OK, expected));
    assert_eq!(student.get(&place).await.status, 404, "only who has requested it gets the report");
}

/// The event of a request is there soon after the answer, whichever component has given it.
async fn requests_are_counted(store: &Store) {
    let expected = [
        ("HEAD /reports/enrolment 405", 1),
        ("GET /reports/enrolment 202", 1),
        ("GET /reports/enrolment 403", 1),
        ("GET /students/:id 401", 3),
        ("PATCH /students/:id 405", 1),
        ("POST /students 409", 1),
        ("GET /tasks/:id/result 200", 1),
    ];
    eventually("the requests are counted", async || {
        let counts = store.request_sums("requests").await.unwrap();
        expected.iter().all(|(series, _)| counts.contains_key(*series)).then_some(())
    })
    .await;
    let counts = store.request_sums("requests").await.unwrap();
    for (series, count) in expected {
        assert_eq!(counts[series], count, "{series}");
    }
}

async fn statements_in_requests_are_data(service: &Service) {
    let names = [
        "'; DROP TABLE students; --",
        "\\'; DELETE FROM students WHERE 'a' = 'a",
        "$1); TRUNCATE students; --",
        "O\"Higgins' OR '1'='1",
    ];
    for (number, name) in (600_000_000..).zip(names) {
        let mut hostile = student(number);
        hostile["apellido"] = json!(name);
        let created = service.send(Method::POST, "/students", Some(&hostile)).await;
        assert_eq!(created.status, 201, "{name}: {}", created.text());
        assert_eq!(service.get(created.header("location")).await.json()["apellido"], name);
    }
    for (path, status) in [
        ("/students/3%20OR%201=1", 404),
        ("/students/3'--", 404),
        ("/students?after=3%20OR%201=1", 400),
        ("/students?offset=1;DROP%20TABLE%20students", 400),
        ("/students?limit=1%20UNION%20SELECT%201", 400),
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
    }
    let mut hostile = student(600_000_100);
    hostile["nro_legajo"] = json!("1); DROP TABLE students; --");
    let refused = service.send(Method::POST, "/students", Some(&hostile)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("nro_legajo")));
    assert_eq!(service.ids("/students?limit=1&after=2").await, [3]);
}

/// Only where the operator permits it, and not before the check of the token.
async fn pages_are_stored_for_clients_with_a_token(service: &Service, other: &Pipeline) {
    let path = "/students?limit=3&after=2";
    for _ in 0..3 {
        let page = service.get(path).await;
        assert!(!page.header("cache-status").contains("hit"), "{}", page.header("cache-status"));
    }
    let caching = Service { client: other.client(), authorization: service.authorization.clone() };
    // Each instance stores its own pages.
    let stored = eventually("a page of the cache", async || {
        let page = caching.get(path).await;
        page.header("cache-status").contains("hit").then_some(page)
    })
    .await;
    assert_eq!(ids(&stored), [3, 4, 5]);
    assert_eq!(caching.client.send(Method::GET, path, &[], "").await.unwrap().status, 401);
}

/// No client notices it, because `retry` sends its request to the other server.
async fn a_server_that_dies_is_ejected(service: &Service, other: &Pipeline, second: Pipeline) {
    let client = other.client();
    let service = Service { client, authorization: service.authorization.clone() };
    second.kill().await.unwrap();
    let id = Cell::new(3);
    eventually("the server is ejected", async || {
        // None of them is in the cache.
        let answer = service.get(&format!("/students/{}", id.replace(id.get() + 1))).await;
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), other.log());
        other.log().contains("gets no requests until it is healthy").then_some(())
    })
    .await;
    // Each instance ejects it for itself. After that, requests do not reach it.
    eventually("ten requests in succession reach only the other server", async || {
        let lines = other.log().lines().count();
        for _ in 0..10 {
            let answer = service.get(&format!("/students/{}", id.replace(id.get() + 1))).await;
            assert_eq!(answer.status, 200, "{}\n{}", answer.text(), other.log());
        }
        (other.log().lines().count() == lines).then_some(())
    })
    .await;
}

async fn an_outage_is_reported_and_passes(service: &Service, postgres: &mut Postgres) {
    postgres.kill().await.unwrap();
    for _ in 0..3 {
        let failed = service.get("/students/3").await;
        assert_eq!(failed.status, 503, "{}", failed.text());
        assert_eq!(
            (failed.header("retry-after"), failed.header("cache-control")),
            ("1", "no-store")
        );
        assert!(!failed.text().contains("127.0.0.1"), "for the log only: {}", failed.text());
    }
    let failed = service.send(Method::POST, "/students", Some(&student(1))).await;
    assert_eq!(failed.status, 503, "{}", failed.text());
    postgres.restart().await.unwrap();
    eventually("the database is used again", async || {
        (service.get("/students/3").await.status == 200).then_some(())
    })
    .await;
}

/// The manifest has its own copy, because a manifest cannot include another one.
#[test]
fn requests_are_counted_as_in_the_example_of_analytics() {
    let counts = |path: &str| {
        let app = spin_app::manifest::read(&root().join(path)).unwrap();
        app.variables["counts"].default.clone().unwrap()
    };
    assert_eq!(counts(MANIFEST), counts("examples/request-counts/spin.toml"));
}
