//! An application with the components and the fields of Spin's templates, and requests to it. This host
//! and a real Spin run it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use http::Method;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{Client, eventually, root};

/// `http-rust` and `http-rust-p2` with variables, Redis and requests to each other, `redis-rust` with the
/// SDKs for both of its interfaces, and static files, whose component is at a URL.
const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "templates"
version = "0.1.0"
authors = ["A user <user@example.com>"]
description = "Components as Spin's templates make them"

[application.trigger.redis]
address = "{{ valkey_url }}"

[variables]
valkey_url = { required = true }
valkey_address = { required = true }
greeting = { default = "good morning" }

[[trigger.http]]
route = "/sdk6/..."
component = "http-rust"

[component.http-rust]
source = "COMPONENTS/uses_sdk_6.wasm"
allowed_outbound_hosts = ["http://http-rust-older.spin.internal", "redis://{{ valkey_address }}"]
[component.http-rust.variables]
greeting = "{{ greeting }}"
next = "http-rust-older"
redis_address = "{{ valkey_url }}"
[component.http-rust.build]
command = "cargo build --target wasm32-wasip2 --release"
watch = ["src/**/*.rs", "Cargo.toml"]

[[trigger.http]]
route = "/sdk5/..."
component = "http-rust-older"

[component.http-rust-older]
source = "COMPONENTS/uses_sdk_5.wasm"
allowed_outbound_hosts = ["http://*.spin.internal", "redis://{{ valkey_address }}"]
[component.http-rust-older.variables]
greeting = "{{ greeting }}"
next = "http-rust"
redis_address = "{{ valkey_url }}"

[[trigger.redis]]
channel = "greetings"
component = "redis-rust"

[component.redis-rust]
source = "COMPONENTS/receives_sdk_6.wasm"
allowed_outbound_hosts = ["redis://{{ valkey_address }}"]
variables = { redis_address = "{{ valkey_url }}", list = "received-6" }

[[trigger.redis]]
channel = "greetings"
component = "redis-rust-older"

[component.redis-rust-older]
source = "COMPONENTS/receives_sdk_5.wasm"
allowed_outbound_hosts = ["redis://{{ valkey_address }}"]
variables = { redis_address = "{{ valkey_url }}", list = "received-5" }

[[trigger.http]]
route = "/p2/..."
component = "static-files"

[component.static-files]
source = { url = "URL", digest = "DIGEST" }
files = [{ source = "assets", destination = "/" }]
"#;

/// The component that reads the files.
const STATIC_FILES: &str = "reads_files.wasm";

/// A path whose request publishes a message, and one whose response says what was received.
const PUBLISH: &str = "/sdk6/redis";
const RECEIVED: &str = "/sdk6/received";

const PAGE: &str = "<p>a page</p>\n";

/// A path, the status of the response, and a part of its body.
const REQUESTS: [(&str, u16, &str); 13] = [
    ("/sdk6", 200, "hello from "),
    ("/sdk6/a%20b?c=d", 200, "hello from /a%20b"),
    ("/sdk6/variable", 200, "good morning"),
    ("/sdk6/undefined", 200, "undefined"),
    ("/sdk6/next", 200, "hello from /chained"),
    ("/sdk6/redis", 200, "hello 1 None Ok(())"),
    ("/sdk5", 200, "hello from "),
    ("/sdk5/variable", 200, "good morning"),
    ("/sdk5/undefined", 200, "undefined"),
    ("/sdk5/next", 200, "hello from /chained"),
    ("/sdk5/redis", 200, "hello 1 None Ok(())"),
    ("/p2/page.html", 200, PAGE),
    ("/p2/missing.html", 403, "NotFound"),
];

/// The application in a folder of its own, and a server for one of its components.
pub struct Templates {
    folder: TempDir,
}

impl Templates {
    /// Writes the application, and serves a component at a URL.
    pub async fn start() -> Result<Self> {
        let components = root().join("target/components");
        let files = components.join(STATIC_FILES);
        let files = std::fs::read(&files).with_context(|| format!("{}", files.display()))?;
        let digest = format!("sha256:{:x}", Sha256::digest(&files));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/{STATIC_FILES}", listener.local_addr()?);
        let router = Router::new().route(&format!("/{STATIC_FILES}"), get(async || files));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("assets"))?;
        std::fs::write(folder.path().join("assets/page.html"), PAGE)?;
        let text = MANIFEST.replace("COMPONENTS", &components.to_string_lossy());
        let text = text.replace("URL", &url).replace("DIGEST", &digest);
        std::fs::write(folder.path().join("spin.toml"), text)?;
        Ok(Self { folder })
    }

    /// The manifest, which requires the variables of Valkey.
    pub fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    /// Publishes messages until both components have received one. Earlier ones are lost: a host may
    /// serve requests before it has subscribed to the channel.
    pub async fn messages_are_received(client: &Client) {
        eventually("the messages are received", async || {
            client.send(Method::GET, PUBLISH, &[], "").await.ok()?;
            let answer = client.send(Method::GET, RECEIVED, &[], "").await.ok()?;
            (answer.text() == "hello hello").then_some(())
        })
        .await;
    }

    /// A path of each request, the status of the response, and a part of its body.
    pub fn requests() -> &'static [(&'static str, u16, &'static str)] {
        &REQUESTS
    }
}
