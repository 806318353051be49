//! `jwt` and `rate-limit` in Spin and in `doorbuster up`: `examples/guarded-orders` on both hosts.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use axum::Router;
use axum::routing::get;
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::Method;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pipeline_tests::{Answer, Client, doorbuster, root};
use serde_json::{Value, json};
use test_servers::Kafka;

use crate::hosts::{self, Application, Case, Version};
use crate::spin::Spin;

const EXAMPLE: &str = "examples/guarded-orders/spin.toml";
const ISSUER: &str = "https://id.example.com/realms/shop";
const KEY_ID: &str = "published";
const TOPIC: &str = "orders";
const ORDER: &str = r#"{"customer": "c-1", "quantity": 2}"#;

/// What replaces the rate of the example. The bucket of a subject does not fill up in the time of
/// this check.
const RATE: [(&str, &str); 2] = [
    ("rate_limit_average = \"100\"", "rate_limit_average = \"1\"\nrate_limit_period_s = \"3600\""),
    ("rate_limit_burst = \"200\"", "rate_limit_burst = \"2\""),
];

/// The most requests of one subject until one is refused. Each instance of the middleware has its
/// own bucket of two, and a busy host may start several.
const UNTIL_REFUSED_MAX: usize = 100;

/// Checks that both hosts answer all requests with the same status, fields and body, and write the
/// same records.
pub async fn compare(spin: &Spin, kafka: &Kafka) -> Result<()> {
    ensure_topic(&ProducerConfig::new(kafka.bootstrap()), NewTopic::new(TOPIC, 1)).await?;
    let issuer = Issuer::start().await?;
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, with_low_rate()?)?;

    let app = Application {
        name: "examples/guarded-orders",
        manifest: &manifest,
        variables: &issuer.variables(),
        profile: None,
    };
    hosts::compare(spin, kafka, &app, async |client, answers| {
        for version in Version::ALL {
            for case in issuer.cases(version.name())? {
                answers.add(client, version, case).await?;
            }
        }
        answers.note(client, "above the rate".into(), &refused(client, &issuer).await?);
        Ok(())
    })
    .await?;
    // The records that Spin wrote are before those of doorbuster up.
    let records = written(kafka).await?;
    let (in_spin, in_doorbuster) = records.split_at(records.len() / 2);
    ensure!(!in_spin.is_empty(), "no order was written");
    ensure!(in_spin == in_doorbuster, "Spin wrote {in_spin:#?}, doorbuster up {in_doorbuster:#?}");
    println!("{} records as in doorbuster up", in_spin.len());
    Ok(())
}

/// The manifest of the example with absolute paths and a low rate.
fn with_low_rate() -> Result<String> {
    let mut text = std::fs::read_to_string(root().join(EXAMPLE))?;
    let target = root().join("target").display().to_string();
    for (old, new) in RATE.iter().copied().chain([("../../target", &*target)]) {
        ensure!(text.contains(old), "{EXAMPLE} does not contain {old}");
        text = text.replace(old, new);
    }
    Ok(text)
}

/// The first answer to a subject that has sent too many requests.
async fn refused(client: &Client, issuer: &Issuer) -> Result<Answer> {
    let authorization = issuer.authorization(json!({"sub": "often"}))?;
    let fields = [("authorization", &*authorization)];
    for _ in 0..UNTIL_REFUSED_MAX {
        let answer = client.send(Method::GET, "/nowhere", &fields, "").await?;
        if answer.status == 429 {
            return Ok(answer);
        }
    }
    anyhow::bail!("none of {UNTIL_REFUSED_MAX} requests of a subject was refused")
}

/// The key, the value and the header of each record of the topic.
async fn written(kafka: &Kafka) -> Result<Vec<Value>> {
    let capture = ["capture", "--kafka", &kafka.bootstrap(), "--topic", TOPIC];
    let output = doorbuster().args(capture).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    let records = lines.lines().map(|line| {
        let record: Value = serde_json::from_str(line)?;
        Ok(json!([record["key"], record["value"], record["headers"]]))
    });
    records.collect()
}

/// An issuer of tokens that publishes its key.
struct Issuer {
    address: String,
    keys_url: String,
    key: EncodingKey,
}

impl Issuer {
    async fn start() -> Result<Self> {
        let key = std::fs::read(root().join("crates/sales/access-token/tests/keys/ec.der"))?;
        let key = EncodingKey::from_ec_der(&key);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(KEY_ID.into());
        let keys = json!({ "keys": [jwk] }).to_string();
        let router = Router::new().route("/keys", get(async || keys));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { keys_url: format!("http://{address}/keys"), address, key })
    }

    /// The variables of the application.
    fn variables(&self) -> [(&str, &str); 3] {
        [("issuer", ISSUER), ("keys_url", &self.keys_url), ("keys_address", &self.address)]
    }

    /// The value of `Authorization` with a token that is valid unless these claims make it invalid.
    fn authorization(&self, claims: Value) -> Result<String> {
        bearer(&self.key, Algorithm::ES256, KEY_ID, claims)
    }

    /// The requests. Each has its own subject, so that each finds a full bucket.
    fn cases(&self, version: &str) -> Result<Vec<Case>> {
        let subject = |name: &str| format!("{name} over {version}");
        let refused = |name: &str, status, authorization: Vec<String>| Case {
            name: name.into(),
            method: Method::POST,
            path: "/orders".into(),
            fields: authorization.into_iter().map(|value| ("authorization", value)).collect(),
            body: ORDER.into(),
            status,
        };
        let mut cases = vec![
            refused("no token", 401, vec![]),
            refused("another scheme", 400, vec!["Basic YTpi".into()]),
            refused("not a token", 401, vec!["Bearer e30.e30.".into()]),
            refused("a long token", 401, vec![format!("Bearer {}", "e".repeat(9_000))]),
        ];
        let valid = self.authorization(json!({"sub": "a"}))?;
        cases.push(refused("two tokens", 400, vec![valid.clone(), valid]));
        let secret = EncodingKey::from_secret(b"a secret that is not published..")?;
        let other = bearer(&secret, Algorithm::HS256, KEY_ID, json!({"sub": "a"}))?;
        cases.push(refused("another algorithm", 401, vec![other]));
        let other = bearer(&self.key, Algorithm::ES256, "unknown", json!({"sub": "a"}))?;
        cases.push(refused("an unknown key", 401, vec![other]));
        for (name, claims) in [
            ("an expired token", json!({"exp": 1})),
            ("a token for later", json!({"nbf": 4_000_000_000_u64})),
            ("another issuer", json!({"iss": "https://id.example.com/realms/other"})),
            ("another audience", json!({"aud": "stock"})),
            ("a claim with a line break", json!({"sub": "a\nb"})),
        ] {
            cases.push(refused(name, 401, vec![self.authorization(claims)?]));
        }
        for (name, method, path, body, status) in [
            ("an order", Method::POST, "/orders", ORDER.into(), 200),
            ("a query", Method::POST, "/orders?a=%20b", ORDER.into(), 200),
            ("a long order", Method::POST, "/orders", " ".repeat(70_000), 413),
            ("another method", Method::GET, "/orders", String::new(), 405),
            ("another path", Method::POST, "/nowhere", ORDER.into(), 404),
        ] {
            // The header of the claim is the key of the record.
            let fields = vec![
                ("authorization", self.authorization(json!({"sub": subject(name)}))?),
                ("content-type", "application/json".into()),
                ("x-token-subject", "forged".into()),
                ("x_token-subject", "forged".into()),
            ];
            let (name, path) = (name.into(), path.into());
            cases.push(Case { name, method, path, fields, body, status });
        }
        Ok(cases)
    }
}

/// The value of `Authorization` with a token that is signed with this key.
fn bearer(key: &EncodingKey, algorithm: Algorithm, key_id: &str, claims: Value) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut all = json!({"iss": ISSUER, "aud": TOPIC, "exp": now + 3_600});
    if let (Some(all), Value::Object(claims)) = (all.as_object_mut(), claims) {
        all.extend(claims);
    }
    let header = Header { kid: Some(key_id.into()), ..Header::new(algorithm) };
    Ok(format!("Bearer {}", encode(&header, &all, key)?))
}
