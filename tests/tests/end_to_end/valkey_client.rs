//! The providers of `doorbuster:valkey/client`: the host, and the component `valkey`. The tests of
//! the interface run with both.

use std::sync::Arc;
use std::time::Duration;

use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Host, Limits};
use futures::future::join_all;
use native_tls::Identity;
use pipeline_tests::{Client, Store, eventually, root};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use spin_app::manifest;
use spin_app::variables::Variables;
use test_servers::{Sentinel, SentinelConfig, Valkey, ValkeyConfig, start_valkey};
use tokio::net::{TcpListener, TcpStream};
use tokio_native_tls::TlsAcceptor;
use valkey_codec::encode;
use valkey_provider::ValkeyProvider;

use crate::guests::serve_app;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "calls-valkey"
[variables]
url = { required = true }
authorities = { required = true }
[[trigger.http]]
route = "/..."
component = "calls-valkey"
[component.calls-valkey]
source = "components/calls_valkey.wasm"
allowed_outbound_hosts = [ALLOWED]
variables = { valkey_url = "{{ url }}", valkey_ca = "{{ authorities }}" }
[component.calls-valkey.dependencies]
"doorbuster:valkey/client" = { path = "components/valkey.wasm", inherit_configuration = true }
[component.calls-valkey.tool.doorbuster]
provide = [PROVIDE]
"#;

const ANY_PORT: &str = "\"tcp://127.0.0.1:*\"";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Host,
    Component,
}

impl Provider {
    const ALL: [Self; 2] = [Self::Host, Self::Component];

    /// Serves the guest with this URL.
    async fn serve(self, url: &str) -> Guest {
        self.serve_with(url, "", ANY_PORT).await
    }

    async fn serve_with(self, url: &str, authorities: &str, allowed: &str) -> Guest {
        let provide = match self {
            Self::Host => "\"doorbuster:valkey/client\"",
            Self::Component => "",
        };
        let text = MANIFEST.replace("ALLOWED", allowed).replace("PROVIDE", provide);
        let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target"));
        let file = file.unwrap();
        std::fs::write(file.path(), text).unwrap();
        let app = manifest::read(file.path()).unwrap();
        let variables = Variables::resolve(&app.variables, |name| match name {
            "url" => Some(url.into()),
            _ => Some(authorities.into()),
        });
        let provider: Arc<dyn Capability> = Arc::new(ValkeyProvider::default());
        // Few, because the memory of all instances is reserved, and a test loads several hosts.
        let limits = Limits { instances_max: 20, ..Limits::default() };
        let (outputs, cache) = (Outputs::default(), CompileCache::UserFolder);
        let loading = Host::load(&app, &variables, limits.clone(), outputs, &cache, &[provider]);
        Guest(serve_app(loading.unwrap(), limits).await)
    }
}

/// The guest `calls-valkey`, and what it returns.
struct Guest(Client);

impl Guest {
    /// Sends commands, whose words are separated by spaces.
    async fn run(&self, commands: &[&str]) -> String {
        self.send(commands, commands.len(), 30_000).await
    }

    async fn send(&self, commands: &[&str], replies: usize, limit_ms: u32) -> String {
        let words = |command: &&str| command.split(' ').map(|word| word.into()).collect();
        let commands = encode(&commands.iter().map(words).collect::<Vec<_>>());
        let answer = self.0.post(&format!("/{replies}/{limit_ms}"), commands).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }
}

async fn start(replica_of: Option<u16>) -> Valkey {
    start_valkey(ValkeyConfig { replica_of, ..ValkeyConfig::default() }).await.unwrap()
}

async fn start_with(arguments: &[&str]) -> Valkey {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    start_valkey(ValkeyConfig { arguments, ..ValkeyConfig::default() }).await.unwrap()
}

async fn store(server: &Valkey) -> Store {
    Store::connect(&server.url()).await.unwrap()
}

/// A URL with several servers.
fn url_of(servers: &[&Valkey]) -> String {
    let hosts: Vec<String> = servers.iter().map(|s| format!("127.0.0.1:{}", s.port())).collect();
    format!("redis://{}", hosts.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_limit_and_the_next_one_succeeds() {
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        let blocked = guest.send(&["BLPOP nothing 0"], 1, 200).await;
        assert!(
            blocked.starts_with("interrupted: no reply within 200ms"),
            "{provider:?}: {blocked}"
        );
        assert_eq!(guest.run(&["PING"]).await, "\"PONG\"", "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_while_connecting_does_not_delay_later_ones() {
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        server.pause().unwrap();
        let error = guest.send(&["PING"], 1, 100).await;
        let expected = match provider {
            Provider::Host => "connect: not connected within 100ms",
            // It does not know whether another call, which leads the round trip, has sent something.
            Provider::Component => "interrupted: no reply within 100ms",
        };
        assert!(error.starts_with(expected), "{provider:?}: {error}");
        server.resume().unwrap();
        assert_eq!(guest.run(&["PING"]).await, "\"PONG\"", "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_reply_is_returned() {
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        let commands = [
            ("SET a x", "\"OK\""),
            ("GET a", "\"x\""),
            ("GET none", "nil"),
            ("INCR n", "1"),
            ("ZADD z 1.5 m", "1"),
            ("ZSCORE z m", "1.5"),
            ("RPUSH l a b", "2"),
            ("LRANGE l 0 -1", "[\"a\", \"b\"]"),
            ("SADD s a", "1"),
            ("SMEMBERS s", "[\"a\"]"),
            ("HSET h f v", "1"),
            ("HGETALL h", "{\"f\": \"v\"}"),
            ("INCR a", "error ERR value is not an integer or out of range"),
            ("CLIENT GETNAME", "\"doorbuster\""),
        ];
        let replies = guest.run(&commands.map(|(command, _)| command)).await;
        assert_eq!(replies, commands.map(|(_, reply)| reply).join("\n"), "{provider:?}");
        let unknown = guest.run(&["EVALSHA 0123456789012345678901234567890123456789 0"]).await;
        assert!(unknown.starts_with("error NOSCRIPT "), "{provider:?}: {unknown}");
        guest.run(&["XADD x * f v"]).await;
        let nested = guest.run(&["XRANGE x - +", "GET a"]).await;
        assert!(nested.starts_with("protocol: "), "{provider:?}: {nested}");
        assert_eq!(guest.run(&["GET a"]).await, "\"x\"", "{provider:?}");
        assert_eq!(guest.run(&[]).await, "", "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_get_their_own_replies() {
    const CALLS: usize = 200;
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        let commands: Vec<String> = (0..CALLS).map(|call| format!("ECHO {call}")).collect();
        let pipelines = commands.iter().map(|echo| vec![echo.as_str(); 3]).collect::<Vec<_>>();
        let replies = join_all(pipelines.iter().map(|commands| guest.run(commands))).await;
        for (call, replies) in replies.iter().enumerate() {
            let expected = [format!("\"{call}\""), format!("\"{call}\""), format!("\"{call}\"")];
            assert_eq!(*replies, expected.join("\n"), "{provider:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_case_and_contain_no_password() {
    let protected = start_with(&["--requirepass", "s3cret"]).await;
    let plain = start(None).await;
    let (auth, denied) = (protected.port(), plain.port());
    for provider in Provider::ALL {
        for (url, expected) in [
            ("valkey:6379".to_owned(), "config: Spin variable `valkey_url`: "),
            ("redis://127.0.0.1:1".into(), "connect: "),
            (format!("redis://127.0.0.1:{auth}"), "auth: 127.0.0.1:"),
            (format!("redis://:wr0ng@127.0.0.1:{auth}"), "auth: 127.0.0.1:"),
            (format!("redis://:s3cret@127.0.0.1:{auth}/99"), "auth: 127.0.0.1:"),
        ] {
            let error = provider.serve(&url).await.run(&["SET a b"]).await;
            assert!(error.starts_with(expected), "{provider:?}, {url}: {error}");
            assert!(!error.contains("wr0ng") && !error.contains("s3cret"), "{error}");
        }
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("redis://:s3cret@{host}:{denied}");
            let error = provider.serve_with(&url, "", "").await.run(&["SET a b"]).await;
            assert!(error.starts_with("connect: "), "{provider:?}, {url}: {error}");
            let entry = format!("\"tcp://{host}:{denied}\"");
            assert!(error.contains(&entry), "{provider:?}, {url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let guest = provider.serve(&plain.url()).await;
        let error = guest.send(&["GET a"], 10_001, 30_000).await;
        assert!(error.starts_with("protocol: 10001 commands"), "{provider:?}: {error}");
        assert_eq!(guest.run(&["GET a"]).await, "nil", "{provider:?}: nothing was executed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_and_left_when_it_refuses_writes() {
    for provider in Provider::ALL {
        let silent = start(None).await;
        silent.pause().unwrap();
        let first = start(None).await;
        let second = start(Some(first.port())).await;
        let guest = provider.serve(&url_of(&[&silent, &second, &first])).await;
        assert_eq!(guest.run(&["SET a first"]).await, "\"OK\"", "{provider:?}");
        store(&second).await.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
        let primary = second.port().to_string();
        store(&first).await.command(&["REPLICAOF", "127.0.0.1", &primary]).await.unwrap();
        let refused = guest.run(&["SET a second"]).await;
        assert!(refused.starts_with("error READONLY "), "{provider:?}: {refused}");
        assert_eq!(guest.run(&["SET a second"]).await, "\"OK\"", "{provider:?}");
        assert_eq!(store(&second).await.get("a").await.as_deref(), Some("second"));
        let error = provider.serve(&first.url()).await.run(&["GET a"]).await;
        assert!(error.starts_with("connect: "), "{provider:?}: {error}");
        assert!(error.contains("is not the primary"), "{provider:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_hello_is_used() {
    for provider in Provider::ALL {
        let server =
            start_with(&["--requirepass", "s3cret&word", "--rename-command", "HELLO", ""]).await;
        let url = server.url().replace("//", "//:s3cret&word@");
        let guest = provider.serve(&url).await;
        let replies = guest.run(&["SET a x", "GET a", "GET none", "RPUSH l a", "LRANGE l 0 -1"]);
        assert_eq!(replies.await, "\"OK\"\n\"x\"\nnil\n1\n[\"a\"]", "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_too_long_interrupt_the_call() {
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        let length = 12 << 20;
        guest.run(&[&format!("SETRANGE long {length} x")]).await;
        let error = guest.run(&["GET long", "GET long"]).await;
        assert!(
            error.starts_with("interrupted: the replies are longer than "),
            "{provider:?}: {error}"
        );
        assert_eq!(guest.run(&["STRLEN long"]).await, (length + 1).to_string(), "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_interrupts_calls_and_is_replaced() {
    for provider in Provider::ALL {
        let mut server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        assert_eq!(guest.run(&["SET a x"]).await, "\"OK\"");
        let (error, ()) = tokio::join!(guest.run(&["BLPOP none 0"]), async {
            let own = store(&server).await;
            eventually("the call is in progress", async || {
                own.info("clients").await.unwrap().contains("blocked_clients:1").then_some(())
            })
            .await;
            server.kill().await.unwrap();
        });
        assert!(error.starts_with("interrupted: "), "{provider:?}: {error}");
        let error = guest.run(&["GET a"]).await;
        assert!(error.starts_with("connect: "), "{provider:?}: {error}");
        let _server = server.restart().await.unwrap();
        assert_eq!(guest.run(&["GET a"]).await, "nil", "{provider:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_does_not_mix_up_replies() {
    for provider in Provider::ALL {
        let server = start(None).await;
        let guest = provider.serve(&server.url()).await;
        assert_eq!(guest.run(&["SET a x"]).await, "\"OK\"");
        let limit = Duration::from_millis(300);
        let cancelled = tokio::time::timeout(limit, guest.run(&["BLPOP none 1", "ECHO no"])).await;
        assert!(cancelled.is_err(), "{provider:?}: {cancelled:?}");
        for _ in 0..3 {
            assert_eq!(guest.run(&["GET a"]).await, "\"x\"", "{provider:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_refuses_a_wrong_number_of_replies() {
    let server = start(None).await;
    let guest = Provider::Host.serve(&server.url()).await;
    for replies in [0, 2] {
        let error = guest.send(&["SET a b"], replies, 30_000).await;
        assert!(error.starts_with("protocol: "), "{error}");
    }
    assert_eq!(guest.run(&["GET a"]).await, "nil", "nothing was executed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_refuses_urls_that_only_the_host_supports() {
    for url in ["rediss://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/shop"] {
        let error = Provider::Component.serve(url).await.run(&["GET a"]).await;
        assert!(error.starts_with("config: Spin variable `valkey_url`: "), "{error}");
    }
}

/// Terminates TLS in front of a server, because the Valkey of the tests is built without it. Returns
/// its port and its certificate.
async fn terminate_tls(server: &Valkey) -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let identity = Identity::from_pkcs8(certificate.as_bytes(), key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).unwrap());
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_requires_a_certificate_that_the_authorities_signed() {
    let server = start(None).await;
    let (port, certificate) = terminate_tls(&server).await;
    let serve = async |url: String, authorities: &str| {
        Provider::Host.serve_with(&url, authorities, "\"tcp://*:*\"").await
    };
    let url = format!("rediss://127.0.0.1:{port}");
    let guest = serve(url.clone(), &certificate).await;
    assert_eq!(guest.run(&["SET a x", "GET a"]).await, "\"OK\"\n\"x\"");
    let untrusted = serve(url.clone(), "").await.run(&["GET a"]).await;
    assert!(untrusted.starts_with("connect: 127.0.0.1:"), "{untrusted}");
    assert!(untrusted.contains("certificate verify failed"), "{untrusted}");
    let other_name = serve(format!("rediss://localhost:{port}"), &certificate).await;
    let other_name = other_name.run(&["GET a"]).await;
    assert!(other_name.starts_with("connect: localhost:"), "{other_name}");
    assert!(other_name.contains("certificate verify failed"), "{other_name}");
    assert!(other_name.to_lowercase().contains("hostname mismatch"), "{other_name}");
    let invalid = serve(url, "no certificate").await.run(&["GET a"]).await;
    assert!(invalid.starts_with("config: Spin variable `valkey_ca`: "), "{invalid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_the_primary_before_and_after_a_failover() {
    let (primary, down) = (start(None).await, 1);
    let replica = start(Some(primary.port())).await;
    let sentinel = Sentinel::start(SentinelConfig::new(primary.port())).await.unwrap();
    let service = SentinelConfig::NAME;
    let at = sentinel.port();
    let url = format!("redis+sentinel://127.0.0.1:{down},127.0.0.1:{at}/{service}");
    let guest = Provider::Host.serve(&url).await;
    assert_eq!(guest.run(&["SET a x"]).await, "\"OK\"");

    let unknown = Provider::Host.serve(&url.replace(service, "other")).await.run(&["GET a"]).await;
    assert!(unknown.starts_with("connect: "), "{unknown}");
    assert!(unknown.contains("knows no primary of `other`"), "{unknown}");
    let only_sentinels = format!("\"tcp://127.0.0.1:{at}\"");
    let denied = Provider::Host.serve_with(&url, "", &only_sentinels).await.run(&["GET a"]).await;
    assert!(denied.starts_with("connect: "), "{denied}");
    assert!(denied.contains(&format!("\"tcp://127.0.0.1:{}\"", primary.port())), "{denied}");

    let sentinel = ledger::connect(&format!("redis://127.0.0.1:{at}")).await.unwrap();
    eventually("the failover begins", async || {
        let failover = redis::cmd("SENTINEL").arg(&["FAILOVER", service]).to_owned();
        failover.exec_async(&mut sentinel.clone()).await.ok()
    })
    .await;
    eventually("the new primary is used", async || {
        (guest.run(&["SET a y"]).await == "\"OK\"").then_some(())?;
        // Over a new connection, because Sentinel closes open ones.
        let own = Store::connect(&replica.url()).await.ok()?;
        (own.get("a").await.as_deref() == Some("y")).then_some(())
    })
    .await;
}
