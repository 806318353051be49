//! Databases and stores in Spin and in `doorbuster up`: the guest `uses-stores` on both hosts, through the
//! interfaces of all SDKs.

use anyhow::Result;
use http::Method;
use pipeline_tests::root;
use test_servers::{Kafka, Postgres, ValkeyConfig, start_valkey};

use crate::hosts::{self, Application, Case, Version};
use crate::spin::Spin;

/// The store is a file in Spin, and on Valkey in `doorbuster up`, because the component has the variable
/// `valkey_url`.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "stores"
[variables]
valkey_url = { required = true }
[[trigger.http]]
route = "/..."
component = "uses-stores"
[component.uses-stores]
source = "COMPONENTS/uses_stores.wasm"
allowed_outbound_hosts = ["redis://127.0.0.1:REDIS", "postgres://127.0.0.1:POSTGRES"]
key_value_stores = ["default"]
variables = { valkey_url = "{{ valkey_url }}" }
"#;

/// Checks that both hosts return the same results.
pub async fn compare(spin: &Spin, kafka: &Kafka) -> Result<()> {
    let postgres = Postgres::start().await?;
    let redis = start_valkey(ValkeyConfig::default()).await?;
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("spin.toml");
    let components = root().join("target/components").display().to_string();
    let text = MANIFEST
        .replace("COMPONENTS", &components)
        .replace("REDIS", &redis.port().to_string())
        .replace("POSTGRES", &postgres.port().to_string());
    std::fs::write(&manifest, text)?;
    let app = Application { name: "stores", manifest: &manifest, variables: &[], profile: None };
    let database = format!("{}?sslmode=disable", postgres.url());
    let addresses = Addresses { redis: redis.url(), database };
    hosts::compare(spin, kafka, &app, async |client, answers| {
        for (path, store, commands) in COMMANDS {
            let address = addresses.of(*store).to_owned();
            let case = Case {
                fields: vec![("x-address", address)],
                ..Case::new(Method::POST, path, 200).body(&commands.join("\n\n"))
            };
            answers.add(client, Version::Http1, case).await?;
        }
        Ok(())
    })
    .await
}

/// The servers, which both hosts use.
struct Addresses {
    redis: String,
    database: String,
}

impl Addresses {
    fn of(&self, store: Store) -> &str {
        match store {
            Store::Label(label) => label,
            Store::Redis => &self.redis,
            Store::Postgres => &self.database,
            Store::Elsewhere(address) => address,
        }
    }
}

/// What a component connects to.
#[derive(Clone, Copy)]
enum Store {
    /// A key-value store.
    Label(&'static str),
    Redis,
    Postgres,
    /// An address that the manifest does not permit.
    Elsewhere(&'static str),
}

/// The path, which names the interface, the store, and the commands. The last ones remove what the others
/// have written. The texts of errors differ (docs/guide/stores.md), and so does `swap`.
const COMMANDS: &[(&str, Store, &[&str])] = &[
    (
        "/key-value",
        Store::Label("default"),
        &[
            "get a", "exists a", "set a 1", "set b 2", "get a", "exists a", "keys", "delete b",
            "delete b", "get b", "keys", "delete a",
        ],
    ),
    (
        "/wasi-keyvalue",
        Store::Label("default"),
        &[
            "get a",
            "set c 3",
            "exists c",
            "get c",
            "increment number",
            "increment number",
            "set-many d e",
            "get-many d e",
            "delete-many d e",
            "exists d",
            "delete c",
            "delete number",
        ],
    ),
    ("/older-key-value", Store::Label("default"), &[]),
    ("/key-value", Store::Label("other"), &["get a"]),
    ("/wasi-keyvalue", Store::Label("other"), &["get a"]),
    (
        "/redis",
        Store::Redis,
        &[
            "get missing",
            "set key value",
            "get key",
            "incr number",
            "sadd set a b",
            "sadd set b c",
            "srem set a",
            "smembers set",
            "publish channel text",
            "SET status x EX #100",
            "MGET status missing",
            "HSET hash a 1",
            "HGETALL hash",
            "del key number set status hash nothing",
        ],
    ),
    ("/older-redis", Store::Redis, &[]),
    ("/redis", Store::Elsewhere("redis://127.0.0.1:1"), &["get a"]),
    (
        "/postgres",
        Store::Postgres,
        &[
            "query SELECT $1::bool AS v\nbool:true",
            "query SELECT $1::int2 AS v\nint16:-2",
            "query SELECT $1::int4 AS v\nint32:7",
            "query SELECT $1::int8 AS v\nint64:-9000000000",
            "query SELECT $1::float4 AS v\nfloat32:1.5",
            "query SELECT $1::float8 AS v\nfloat64:-0.25",
            "query SELECT $1::text AS v\nstr:ñ",
            "query SELECT $1::varchar AS v\nstr:v",
            "query SELECT $1::bytea AS v\nbytes:ab",
            "query SELECT $1::date AS v\ndate",
            "query SELECT $1::time AS v\ntime",
            "query SELECT $1::timestamp AS v\ndatetime",
            "query SELECT $1::uuid AS v\nuuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "query SELECT $1::jsonb AS v\njsonb:[1]",
            "query SELECT $1::numeric AS v\ndecimal:-12.340",
            "query SELECT $1::int4range AS v\nrange32:1,5",
            "query SELECT $1::int8[] AS v\nints:1,,3",
            "query SELECT $1::text[] AS v\ntexts:a,",
            "query SELECT $1::interval AS v\ninterval",
            "query SELECT $1::int4 AS v\nnull",
            "execute CREATE TABLE numbers (number int PRIMARY KEY)",
            "execute INSERT INTO numbers SELECT generate_series(1, 5)",
            "query SELECT * FROM numbers ORDER BY number",
            "first SELECT * FROM numbers ORDER BY number DESC",
            "execute BEGIN",
            "execute DELETE FROM numbers",
            "execute ROLLBACK",
            "query SELECT count(*) FROM numbers",
            "execute DROP TABLE numbers",
        ],
    ),
    ("/older-postgres", Store::Postgres, &["SELECT 7 AS number, 'text' AS word"]),
];
