//! The databases and stores of the host, through spin-sdk, with real servers.

use std::sync::Arc;
use std::time::Duration;

use component_host::Limits;
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::Method;
use pipeline_tests::{Client, Pipeline, Store, eventually, root};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use stores::limits::REDIS_CLIENTS_MAX;
use stores::{StoresConfig, capabilities};
use tempfile::TempDir;
use test_servers::{
    Postgres, PostgresTls, ValkeyConfig, WAIT_LIMIT, free_port, shared_kafka, start_valkey,
};

use crate::functions::logged;
use crate::guests::{load_with, serve_app};
use crate::letters::write;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "uses-stores"
[[trigger.http]]
route = "/..."
component = "uses-stores"
[component.uses-stores]
source = "components/uses_stores.wasm"
allowed_outbound_hosts = [ALLOWED]
key_value_stores = ["default"]
"#;

/// Serves the guest, which may connect to these addresses.
async fn serve(allowed: &[String], mut config: StoresConfig) -> Guest {
    // Nothing connects to it, unless the test configures a server.
    let nowhere = || Ok("redis://127.0.0.1:1".to_owned());
    config.key_value.entry("default".into()).or_insert_with(nowhere);
    let allowed: Vec<String> = allowed.iter().map(|address| format!("{address:?}")).collect();
    let manifest = MANIFEST.replace("ALLOWED", &allowed.join(", "));
    // Only the limits of the stores are tested.
    let request_timeout = WAIT_LIMIT;
    let limits = Limits { instances_max: 20, request_timeout, ..Limits::default() };
    let host = load_with(&manifest, &limits, &capabilities(&config), &[]).unwrap();
    Guest(Arc::new(serve_app(host, limits).await))
}

/// The guest `uses-stores`.
#[derive(Clone)]
struct Guest(Arc<Client>);

impl Guest {
    /// Lets it execute commands on the store at this address, and returns their results.
    async fn run(&self, store: &str, address: &str, commands: &[&str]) -> String {
        let fields = [("x-address", address)];
        let body = commands.join("\n\n");
        let answer = self.0.send(Method::POST, store, &fields, body).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        assert!(!text.contains(Postgres::PASSWORD), "a password: {text}");
        text
    }
}

fn allowed(server: &Postgres) -> Vec<String> {
    vec![format!("postgres://127.0.0.1:{}", server.port())]
}

/// A server whose certificate an unknown authority has issued.
async fn encrypted() -> (Postgres, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let tls = PostgresTls { certificate: certificate.clone(), key };
    (Postgres::start_with(Some(tls)).await.unwrap(), certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_the_types_errors_and_limits_of_the_interface() {
    let (mut server, authority) = encrypted().await;
    let config = StoresConfig { postgres_connections_max: 2, ..StoresConfig::default() };
    let guest = serve(&allowed(&server), config).await;
    let plain = format!("{}?sslmode=disable", server.url());
    let run = |commands: &'static [&'static str]| guest.run("/postgres", &plain, commands);

    every_type_is_converted(&guest, &plain).await;

    // An error of the server has its code; the connection remains usable.
    let failed = run(&["query SELECT 1/0", "execute SELEC", "query SELECT 1 AS one"]).await;
    for part in ["code: \"22012\"", "division by zero", "code: \"42601\"", "[[Int32(1)]]"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    let wrong = run(&["query SELECT $1::int4\nuuid:no", "query SELECT $1::int4\nstr:1"]).await;
    assert!(wrong.contains("BadParameter(\"parameter $1:"), "{wrong}");
    assert!(wrong.contains("cannot convert"), "{wrong}");

    // A transaction spans statements. One that is not committed is rolled back.
    let changed = run(&[
        "execute CREATE TABLE numbers (number int PRIMARY KEY)",
        "execute INSERT INTO numbers SELECT generate_series(1, 1000)",
        "execute BEGIN",
        "execute DELETE FROM numbers",
        "query SELECT count(*) FROM numbers",
        "execute SET application_name = 'left'",
    ])
    .await;
    assert!(changed.contains("Ok(1000)\nOk(0)\nOk(1000)\n"), "{changed}");
    let kept = run(&["query SELECT count(*), current_setting('application_name') FROM numbers"]);
    let kept = kept.await;
    assert!(kept.contains("[[Int64(1000), Str(\"\")]]"), "{kept}");

    // Rows are a stream. The connection remains usable if it is dropped early, and after a change of
    // the table.
    let streamed = run(&[
        "query SELECT * FROM numbers ORDER BY number",
        "first SELECT * FROM numbers ORDER BY number",
        "execute ALTER TABLE numbers ADD COLUMN name text",
        "first SELECT * FROM numbers ORDER BY number",
        "query SELECT * FROM numbers WHERE number > 1000",
    ])
    .await;
    let lines: Vec<&str> = streamed.lines().collect();
    assert_eq!(lines[0], "1000 rows");
    assert!(lines[1].ends_with(" [[Int32(1)]]"), "{streamed}");
    assert!(lines[3].ends_with(" [[Int32(1), DbNull]]"), "{streamed}");
    assert!(lines[4].contains("\"name\"") && lines[4].ends_with(" []"), "{streamed}");

    // The interfaces of older SDKs have the same connection. A type that they lack is unsupported.
    let statements = ["SELECT 7 AS number, DATE '2024-02-29' AS day", "SELECT 1/0"];
    let older = guest.run("/older-postgres", &plain, &statements).await;
    let lines: Vec<&str> = older.lines().collect();
    assert!(lines[0].contains("DbValue::Int32(7), DbValue::Date((2024, 2, 29))"), "{older}");
    assert!(lines[1].contains("DbValue::Int32(7), DbValue::Unsupported"), "{older}");
    for failed in &lines[2..] {
        assert!(failed.contains("Error::QueryFailed(\"") && failed.contains("zero"), "{older}");
    }

    // A row that is too large ends the stream with an error.
    let large = run(&["query SELECT repeat('x', 40000000)"]).await;
    assert!(large.contains("more than 33554432 bytes"), "{large}");

    sessions_leave_nothing_behind(&allowed(&server), &plain, &guest).await;

    // Neither another address nor the certificate of an unknown authority is accepted.
    let closed = free_port().unwrap();
    let other = format!("postgres://test:{}@127.0.0.1:{closed}/test", Postgres::PASSWORD);
    let denied = guest.run("/postgres", &other, &["query SELECT 1"]).await;
    assert!(denied.contains("is not permitted; add"), "{denied}");
    let required = format!("{}?sslmode=require", server.url());
    let unknown = guest.run("/postgres", &required, &["query SELECT 1"]).await;
    assert!(unknown.contains("certificate verify failed"), "{unknown}");
    let commands =
        [authority.trim(), "query SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"];
    let known = guest.run("/postgres-with-authority", &required, &commands).await;
    assert!(known.contains("[[Boolean(true)]]"), "{known}");

    // Both connections are in use.
    let blocking = ["execute SELECT pg_sleep(1000)"];
    let blocked = [(); 2].map(|()| {
        let (guest, plain) = (guest.clone(), plain.clone());
        tokio::spawn(async move { guest.run("/postgres", &plain, &blocking).await })
    });
    eventually("no connection is free", async || {
        let refused = run(&["query SELECT 1"]).await;
        refused.contains("all 2 connections to 127.0.0.1").then_some(())
    })
    .await;

    // After a crash of the server, its calls fail, and later ones connect again.
    server.kill().await.unwrap();
    for blocked in blocked {
        let ended = blocked.await.unwrap();
        assert!(ended.contains("QueryFailed") || ended.contains("ConnectionFailed"), "{ended}");
    }
    let refused = run(&["query SELECT 1"]).await;
    assert!(refused.contains("Failed"), "{refused}");
    server.restart().await.unwrap();
    eventually("it connects again", async || {
        run(&["query SELECT 1"]).await.contains("[[Int32(1)]]").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_has_the_commands_and_errors_of_the_interface() {
    let valkey = |password: &str| {
        let arguments = ["--requirepass", password].map(str::to_owned).into();
        start_valkey(ValkeyConfig { arguments, ..ValkeyConfig::default() })
    };
    let server = valkey(Postgres::PASSWORD).await.unwrap();
    let address = format!("redis://:{}@127.0.0.1:{}/1", Postgres::PASSWORD, server.port());
    let allowed = vec![format!("redis://127.0.0.1:{}", server.port())];
    let guest = serve(&allowed, StoresConfig::default()).await;
    let run = |commands: &'static [&'static str]| guest.run("/redis", &address, commands);

    let results = run(&[
        "get missing",
        "set key value",
        "get key",
        "incr number",
        "sadd set a b",
        "sadd set b c",
        "srem set a",
        "smembers set",
        "publish channel text",
        "del key number nothing",
        "SET status x EX #100",
        "MGET status missing",
        "HSET hash a 1",
        "HGETALL hash",
        "incr status",
        "MULTI",
        "xread BLOCK 0 STREAMS s $",
    ])
    .await;
    let lines: Vec<&str> = results.lines().collect();
    let expected = [
        "Ok(None)",
        "Ok(())",
        "Ok(Some([118, 97, 108, 117, 101]))",
        "Ok(1)",
        "Ok(2)",
        "Ok(1)",
        "Ok(1)",
        "Ok([\"b\", \"c\"])",
        "Ok(())",
        "Ok(2)",
        "Ok([RedisResult::Status(\"OK\")])",
        "Ok([RedisResult::Binary([120]), RedisResult::Nil])",
        "Ok([RedisResult::Int64(1)])",
        "Ok([RedisResult::Binary([97]), RedisResult::Binary([49])])",
        "Err(Error::Other(\"ERR: value is not an integer or out of range\"))",
    ];
    assert_eq!(lines[..expected.len()], expected, "{results}");
    for refused in &lines[expected.len()..] {
        assert!(refused.contains("not supported by this host"), "{results}");
    }

    let older = guest.run("/older-redis", &address, &[]).await;
    assert_eq!(older, "Ok(())\nOk([RedisResult::Binary([49])])\nOk(1)");

    let closed = free_port().unwrap();
    let denied = guest.run("/redis", &format!("redis://127.0.0.1:{closed}"), &["get key"]).await;
    assert_eq!(denied, "Error::InvalidAddress");

    drop(server);
    let down = run(&["get key"]).await;
    assert!(down.starts_with("Error::Other("), "{down}");
    // Connections that could not be opened do not count.
    for database in 0..=REDIS_CLIENTS_MAX {
        let down = format!("{}/{database}", allowed[0]);
        let down = guest.run("/redis", &down, &["get key"]).await;
        assert!(down.starts_with("Error::Other("), "{down}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_stores_keep_values_under_names_of_their_own() {
    let mut server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let key_value = [("default".to_owned(), Ok(server.url()))].into();
    let guest = serve(&[], StoresConfig { key_value, ..StoresConfig::default() }).await;

    let results = guest.run(
        "/key-value",
        "default",
        &[
            "get a", "set a 1", "get a", "exists a", "set b 2", "keys", "delete a", "exists a",
            "get ",
        ],
    );
    let results = results.await;
    let expected = "Ok(None)\nOk(())\nOk(Some([49]))\nOk(true)\nOk(())\nOk([\"a\", \"b\"])\nOk(())\n\
                    Ok(false)\nErr(Error::Other(\"a key must have 1 to 1024 bytes\"))";
    assert_eq!(results, expected);
    let results = guest.run(
        "/wasi-keyvalue",
        "default",
        &[
            "get b",
            "increment n",
            "increment n",
            "set-many x y",
            "get-many x y z",
            "delete-many x y",
            "exists x",
            "swap s",
            "get s",
        ],
    );
    let results = results.await;
    let many = "Some([109, 97, 110, 121])";
    let between = "Ok(Some([98, 101, 116, 119, 101, 101, 110]))";
    let expected = [
        "Ok(Some([50]))",
        "Ok(2)",
        "Ok(4)",
        "Ok(())",
        &format!("Ok([(\"x\", {many}), (\"y\", {many}), (\"z\", None)])"),
        "Ok(())",
        "Ok(false)",
        &format!("{between} true"),
        "Ok(Some([115, 119, 97, 112, 112, 101, 100]))",
    ];
    assert_eq!(results.lines().collect::<Vec<_>>(), expected);

    let older = guest.run("/older-key-value", "default", &[]).await;
    assert!(older.starts_with("Ok(())\nOk([") && older.contains("\"older\""), "{older}");

    for store in ["/key-value", "/wasi-keyvalue", "/older-key-value"] {
        let denied = guest.run(store, "other", &["get a"]).await;
        assert!(denied.contains("AccessDenied"), "{denied}");
    }
    let valkey = Store::connect(&server.url()).await.unwrap();
    let names = valkey.keys().await.unwrap();
    assert!(names.iter().all(|name| name.starts_with("spin-kv:default:")), "{names:?}");

    // Values that are too long together are not read; the connection remains usable.
    for key in ["l1", "l2", "l3"] {
        let name = format!("spin-kv:default:{key}");
        valkey.command(&["SETRANGE", &name, "6000000", "x"]).await.unwrap();
    }
    let many = guest.run("/wasi-keyvalue", "default", &["get-many l1 l2 l3", "exists l3"]).await;
    assert!(many.contains("18000003 bytes") && many.ends_with("Ok(true)"), "{many}");

    server.kill().await.unwrap();
    let down = guest.run("/key-value", "default", &["get b"]).await;
    assert!(down.contains("Err(Error::Other("), "{down}");
}

/// The guest with both kinds of triggers. Its key-value store is on the server in `valkey_url`.
const BOTH_TRIGGERS: &str = r#"
spin_manifest_version = 2
[application]
name = "stores-records"
[variables]
kafka_brokers = { default = "" }
database = { required = true, secret = true }
valkey_url = { required = true }
[[trigger.http]]
route = "/..."
component = "uses-stores"
[[trigger.kafka]]
component = "uses-stores"
brokers = "{{ kafka_brokers }}"
topic = "arrivals"
group = "arrivals"
[component.uses-stores]
source = "uses_stores.wasm"
allowed_outbound_hosts = ["postgres://127.0.0.1:PORT"]
key_value_stores = ["default"]
variables = { database = "{{ database }}", valkey_url = "{{ valkey_url }}" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn records_of_kafka_are_stored_though_the_database_was_down() {
    let folder = TempDir::new().unwrap();
    let wasm = "uses_stores.wasm";
    std::fs::copy(root().join("target/components").join(wasm), folder.path().join(wasm)).unwrap();
    let mut server = Postgres::start().await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let manifest = folder.path().join("spin.toml");
    let text = BOTH_TRIGGERS.replace("PORT", &server.port().to_string());
    std::fs::write(&manifest, text).unwrap();
    let brokers = shared_kafka().bootstrap();
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new("arrivals", 1)).await.unwrap();
    let address = format!("{}?sslmode=disable", server.url());
    let variables = [format!("database={address}"), format!("valkey_url={}", valkey.url())];
    let more = ["--variable", &*variables[0], "--variable", &variables[1]];
    let running = Pipeline::of_manifest(&manifest, &brokers, &more).await.unwrap();
    let guest = Guest(Arc::new(running.client()));
    let created = ["execute CREATE TABLE arrivals (value text PRIMARY KEY)"];
    assert_eq!(guest.run("/postgres", &address, &created).await, "Ok(0)");
    assert_eq!(guest.run("/key-value", "default", &["set a b"]).await, "Ok(())");

    server.kill().await.unwrap();
    for value in ["1", "2", "3"] {
        write(&brokers, "arrivals", value, &[]).await;
    }
    logged(&running, &["batch failed; it is handed over again", "arrivals"]).await;
    server.restart().await.unwrap();
    eventually("the records are stored", async || {
        let count =
            guest.run("/postgres", &address, &["query SELECT count(*) FROM arrivals"]).await;
        count.contains("[[Int64(3)]]").then_some(())
    })
    .await;
    assert!(!running.log().contains(Postgres::PASSWORD), "a password in the log");
    running.stop().await.unwrap();
}

/// What a component leaves on its connection does not reach the next user, and a statement that takes
/// too long is cancelled. `other` is another guest.
async fn sessions_leave_nothing_behind(allowed: &[String], address: &str, other: &Guest) {
    let config = StoresConfig {
        postgres_connections_max: 1,
        postgres_statement_limit: Duration::from_secs(2),
        ..StoresConfig::default()
    };
    let guest = serve(allowed, config).await;

    // The connection is used again after a failed transaction.
    let pid = "query SELECT pg_backend_pid()";
    eventually("the connection is used again", async || {
        let failed = [pid, "execute BEGIN", "query SELECT 1/0"];
        let failed = guest.run("/postgres", address, &failed).await;
        let next = guest.run("/postgres", address, &[pid]).await;
        (next.contains("Int32") && failed.lines().next() == Some(&*next)).then_some(())
    })
    .await;

    let prepared = ["execute PREPARE left_behind AS SELECT 1", "query EXECUTE left_behind"];
    eventually("the prepared statement is removed", async || {
        let left = guest.run("/postgres", address, &prepared).await;
        let gone = guest.run("/postgres", address, &prepared[1..]).await;
        (left.ends_with("[[Int32(1)]]") && gone.contains("26000")).then_some(())
    })
    .await;

    // The reset is the last thing that the server has executed for the connection, unless nothing was
    // left behind.
    let backend = guest.run("/postgres", address, &[pid]).await;
    let backend = backend.split(['(', ')']).nth(1).unwrap();
    let last = format!("query SELECT query FROM pg_stat_activity WHERE pid = {backend}");
    let is_reset = async || other.run("/postgres", address, &[&last]).await.contains("DISCARD");
    let read_all = "query SELECT number FROM numbers ORDER BY number";
    let read_some = "first SELECT number FROM numbers ORDER BY number";
    for left in [
        &["execute SET application_name = 'left'", read_all][..],
        &["execute BEGIN", read_all, read_all],
        &["query SELECT pg_advisory_lock_shared(1)", read_all],
        &[read_some],
        &[read_all, "query SELECT 1/0"],
    ] {
        for _ in 0..5 {
            guest.run("/postgres", address, left).await;
            let reset = async || is_reset().await.then_some(());
            eventually("the connection is reset", reset).await;
        }
    }
    for _ in 0..10 {
        let read = guest.run("/postgres", address, &[read_all, read_all]).await;
        assert_eq!(read, "1000 rows\n1000 rows");
        assert!(!is_reset().await, "nothing was left behind");
    }

    let slow = ["execute SELECT pg_sleep(1001)", "query SELECT 1"];
    let slow = guest.run("/postgres", address, &slow).await;
    assert!(slow.contains("cancelled after 2s") && slow.contains("open another one"), "{slow}");
    eventually("the server has cancelled it", async || {
        let active = "query SELECT count(*) FROM pg_stat_activity \
                      WHERE state = 'active' AND query LIKE '%sleep(1001)' AND pid <> pg_backend_pid()";
        other.run("/postgres", address, &[active]).await.contains("[[Int64(0)]]").then_some(())
    })
    .await;
}

/// Sends a value of each type to the server and back.
async fn every_type_is_converted(guest: &Guest, address: &str) {
    let cases = [
        ("bool", "bool:true", "Boolean(true)"),
        ("int2", "int16:-2", "Int16(-2)"),
        ("int4", "int32:7", "Int32(7)"),
        ("int8", "int64:-9000000000", "Int64(-9000000000)"),
        ("float4", "float32:1.5", "Floating32(1.5)"),
        ("float8", "float64:-0.25", "Floating64(-0.25)"),
        ("text", "str:ñ", "Str(\"ñ\")"),
        ("varchar", "str:v", "Str(\"v\")"),
        ("bytea", "bytes:ab", "Binary([97, 98])"),
        ("date", "date", "Date((2024, 2, 29))"),
        ("time", "time", "Time((23, 59, 58, 123456000))"),
        ("timestamp", "datetime", "Datetime((1969, 12, 31, 23, 59, 58, 1000))"),
        ("timestamptz", "datetime", "Datetime((1969, 12, 31, 23, 59, 58, 1000))"),
        ("timestamptz", "timestamp:86401", "Datetime((1970, 1, 2, 0, 0, 1, 0))"),
        (
            "uuid",
            "uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "Uuid(\"67e55044-10b1-426f-9247-bb680e5fe0c8\")",
        ),
        ("jsonb", "jsonb:[1]", "Jsonb([91, 49, 93])"),
        ("numeric", "decimal:-12.340", "Decimal(\"-12.340\")"),
        (
            "int4range",
            "range32:1,5",
            "RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((5, RangeBoundKind::Exclusive))))",
        ),
        (
            "numrange",
            "range-decimal:0.5",
            "RangeDecimal((Some((\"0.5\", RangeBoundKind::Exclusive)), None))",
        ),
        ("int8[]", "ints:1,,3", "ArrayInt64([Some(1), None, Some(3)])"),
        ("text[]", "texts:a,", "ArrayStr([Some(\"a\"), None])"),
        ("interval", "interval", "Interval(Interval { micros: 3, days: 2, months: 1 })"),
        ("int4", "null", "DbNull"),
    ];
    let commands =
        cases.map(|(kind, value, _)| format!("query SELECT $1::{kind} AS value\n{value}"));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let results = guest.run("/postgres", address, &commands).await;
    for ((kind, value, expected), result) in cases.into_iter().zip(results.lines()) {
        let expected = format!(" [[{expected}]]");
        assert!(result.ends_with(&expected), "{kind} {value}: {result}");
        assert!(result.contains("name: \"value\""), "{result}");
    }
    assert_eq!(results.lines().count(), cases.len(), "{results}");
    // A type without a case of its own.
    let other = guest.run("/postgres", address, &["query SELECT inet '10.0.0.1'"]).await;
    assert!(other.contains("Other(\"inet\")") && other.contains("Unsupported([2,"), "{other}");
}
