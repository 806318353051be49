//! Complete requests that a component sends: through the host's `doorbuster:http/client`, and through
//! the component `http-client`, which calls `wasi:http/client`. The results are the same.

use std::time::Duration;

use bytes::Bytes;
use component_host::{ClientTls, Limits};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use native_tls::Identity;
use pipeline_tests::Client;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use test_servers::free_port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio_native_tls::TlsAcceptor;

use crate::guests::{limits, load, load_with, serve, serve_app};

/// `sends-requests` with the component `http-client`, and `exports-both` as another component.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "sends-requests"
[[trigger.http]]
route = "/..."
component = "sends-requests"
[component.sends-requests]
source = "components/sends_requests.wasm"
allowed_outbound_hosts = ["http://*.spin.internal", "*://127.0.0.1:*"]
[component.sends-requests.dependencies]
"doorbuster:http/client" = { path = "components/http_client.wasm", inherit_configuration = INHERIT }
[component.sends-requests.tool.doorbuster]
provide = PROVIDE
[[trigger.http]]
route = { private = true }
component = "target"
[component.target]
source = "components/exports_both.wasm"
"#;

const PROVIDE: &str = "[\"doorbuster:http/client\"]";

/// One application whose client is the host's, and one with the component.
async fn both(limits: Limits) -> [(&'static str, Client); 2] {
    both_with(limits, &[]).await
}

/// The same, with settings for TLS.
async fn both_with(limits: Limits, client_tls: &[ClientTls]) -> [(&'static str, Client); 2] {
    let mut clients = Vec::new();
    for (name, provide) in [("the host", PROVIDE), ("http-client", "[]")] {
        let manifest = MANIFEST.replace("INHERIT", "true").replace("PROVIDE", provide);
        let host = load_with(&manifest, &limits, &[], client_tls).unwrap();
        clients.push((name, serve_app(host, limits.clone()).await));
    }
    clients.try_into().unwrap_or_else(|_| panic!("two clients"))
}

/// What the component gets if it sends this request.
async fn result(sender: &Client, fields: &[(&str, &str)], body: &str) -> String {
    let answer = sender.send(Method::POST, "/", fields, body.to_owned()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Checks that the result contains the text, and that it is the same through both clients.
async fn is_same(
    senders: &[(&str, Client); 2],
    fields: &[(&str, &str)],
    body: &str,
    expected: &str,
) -> String {
    let mut results = Vec::new();
    for (name, sender) in senders {
        let result = result(sender, fields, body).await;
        assert!(result.contains(expected), "{fields:?} through {name}: {result}");
        // Its port differs between two connections.
        results.push(result.replace(peer(&result), ""));
    }
    assert_eq!(results[0], results[1], "{fields:?}");
    results.remove(0)
}

/// The client address that a host has added to a request.
fn peer(result: &str) -> &str {
    let (_, peer) = result.split_once("spin-client-addr: ").unwrap_or_default();
    peer.split("\r\n").next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_gets_the_same_request_and_its_response_arrives() {
    let senders = both(limits()).await;
    let request = [
        ("x-url", "http://target.spin.internal/request?a=%20b"),
        ("x-method", "PUT"),
        ("x-fields", "x-two: 1|x-three: a:b|traceparent: 00-0-0-01"),
    ];
    let received = is_same(&senders, &request, "\0\r\nñ", "200\n").await;
    for part in [
        "PUT /request?a=%20b Some(\"http\") Some(\"target.spin.internal\")\n",
        "x-two: 1\r\n",
        "x-three: a:b\r\n",
        "traceparent: 00-0-0-01\r\n",
        "content-length: 5\r\n",
        "\n\0\r\nñ",
    ] {
        assert!(received.contains(part), "{part}: {received}");
    }
    for (path, expected) in [
        ("/", "200\ncontent-type: text/plain\r\n"),
        ("/trailers", "a: b\r\n"),
        ("/trap", "500\n"),
        ("/short", "500\n"),
    ] {
        let url = format!("http://target.spin.internal{path}");
        is_same(&senders, &[("x-url", &url)], "", expected).await;
    }
    // The bodies of the request and of the response are too long to be gathered.
    let long = "x".repeat(100_000);
    is_same(&senders, &[("x-url", "http://target.spin.internal/")], &long, "streamed").await;
    let longest = [("x-url", "http://target.spin.internal/longest")];
    let received = is_same(&senders, &longest, "", "200\n").await;
    assert!(received.len() > 1 << 20, "{}", received.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_the_same_request_and_its_response_arrives() {
    let server = serve("exports-both", limits()).await;
    let senders = both(limits()).await;
    let url = |path: &str| format!("http://{}{path}", server.address());
    let fields = "x-fields";
    let request = is_same(
        &senders,
        &[("x-url", &url("/request")), (fields, "x-two: 1|x-three: a:b")],
        "body",
        "200\n",
    )
    .await;
    for part in ["POST /request", "x-two: 1\r\n", "content-length: 4\r\n", "\nbody"] {
        assert!(request.contains(part), "{part}: {request}");
    }
    // gRPC is sent over HTTP/2, which has trailers.
    let grpc = [("x-url", &*url("/trailers")), (fields, "content-type: application/grpc")];
    let received = is_same(&senders, &grpc, "", "200\n").await;
    assert!(received.ends_with("\na: b\r\n"), "{received}");
    let head = [("x-url", &*url("/head")), ("x-method", "HEAD")];
    is_same(&senders, &head, "", "content-length: 100\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_has_the_same_class() {
    let senders = both(limits()).await;
    let broken = answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let garbage = answering("no HTTP\r\n\r\n").await;
    let closed = free_port().unwrap();
    let (broken, garbage) = (format!("http://{broken}/"), format!("http://{garbage}/"));
    let closed = format!("http://127.0.0.1:{closed}/");
    let hang = ("x-url", "http://target.spin.internal/hang");
    let longest = ("x-url", "http://target.spin.internal/longest");
    let chosen = ("x-url", "http://sends-requests.spin.internal/broken");
    let any = ("x-url", "http://target.spin.internal/");
    for (fields, expected) in [
        (&[("x-url", "http://127.0.0.2:1/")][..], "SendError::Denied"),
        (&[("x-url", "http://missing.spin.internal/")], "SendError::Unreachable"),
        (&[("x-url", &closed)], "SendError::ConnectionRefused"),
        (&[("x-url", &broken)], "SendError::Interrupted"),
        (&[("x-url", &garbage)], "SendError::Interrupted"),
        (&[chosen], "SendError::Interrupted"),
        (&[hang, ("x-timeout-ms", "100")], "SendError::ResponseTimeout"),
        (&[longest, ("x-bytes-max", "1048575")], "SendError::ResponseTooLarge"),
        (&[any, ("x-fields", "content-length: 1")], "SendError::InvalidRequest"),
        (&[any, ("x-fields", "no field")], "SendError::InvalidRequest"),
        (&[any, ("x-method", "P OST")], "SendError::InvalidRequest"),
        (&[("x-url", "/without-authority")], "SendError::InvalidRequest"),
        (&[("x-url", "https://127.0.0.1:1/")], "SendError::ConnectionRefused"),
    ] {
        is_same(&senders, fields, "", expected).await;
    }
    for (_, sender) in &senders {
        let reserved = result(sender, &[any, ("x-fields", "connection: close")], "").await;
        assert!(reserved.contains("SendError::InvalidRequest"), "{reserved}");
        let long = "x".repeat((1 << 20) + 1);
        let long = result(sender, &[any], &long).await;
        assert!(long.contains("SendError::InvalidRequest"), "{long}");
    }
    let senders = both(Limits { outbound_requests_at_once_max: 0, ..limits() }).await;
    is_same(&senders, &[("x-url", &closed)], "", "SendError::ConnectionLimit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_trusted_certificate_gets_requests_over_tls() {
    let request_timeout = Duration::from_secs(30);
    // Few, because the memory of all instances is reserved, and this test loads several hosts.
    let limits = Limits { instances_max: 20, request_timeout, ..limits() };
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let answer =
        |request: &Request<Incoming>| format!("{:?} {}", request.version(), request.method());
    let newer = encrypted(&certificate, &key, &["h2", "http/1.1"], answer).await;
    let older = encrypted(&certificate, &key, &["http/1.1"], answer).await;
    let trusted = ClientTls {
        components: vec!["sends-requests".into()],
        hosts: vec!["127.0.0.1".into()],
        use_platform_roots: false,
        roots: certificate.into(),
        identity: None,
    };
    let senders = both_with(limits.clone(), &[trusted]).await;
    let (newer, older) = (format!("https://{newer}/"), format!("https://{older}/"));
    is_same(&senders, &[("x-url", &newer)], "", "\nHTTP/2.0 POST\n").await;
    is_same(&senders, &[("x-url", &older)], "", "\nHTTP/1.1 POST\n").await;
    let plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let plain = format!("https://{plain}/");
    is_same(&senders, &[("x-url", &plain)], "", "SendError::TlsFailed").await;
    // Other components do not trust it.
    let senders = both(limits).await;
    is_same(&senders, &[("x-url", &newer)], "", "SendError::CertificateNotTrusted").await;
}

/// A server with TLS and these versions of HTTP, which answers each request with this body.
pub(super) async fn encrypted(
    certificate: &str,
    key: &str,
    protocols: &[&str],
    body: impl Fn(&Request<Incoming>) -> String + Clone + Send + Sync + 'static,
) -> std::net::SocketAddr {
    let identity = Identity::from_pkcs8(certificate.as_bytes(), key.as_bytes()).unwrap();
    let mut tls = native_tls::TlsAcceptor::builder(identity);
    let acceptor = TlsAcceptor::from(tls.accept_alpn(protocols).build().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, body) = (acceptor.clone(), body.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(move |request: Request<Incoming>| {
                    let body = Full::<Bytes>::from(body(&request));
                    std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(body)))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                // The client closes the connection at its end.
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_complete_requests_is_limited() {
    let limits = Limits { outbound_whole_bytes_max: 1 << 20, ..limits() };
    let [(_, sender), _] = &both(limits).await;
    let url = ("x-url", "http://target.spin.internal/");
    for _ in 0..3 {
        let refused = result(sender, &[url], "x").await;
        assert!(refused.contains("SendError::ConnectionLimit"), "{refused}");
        let sent = result(sender, &[url, ("x-bytes-max", "1048575")], "x").await;
        assert!(sent.starts_with("200\n"), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_completely_though_the_server_answers_first() {
    let socket = TcpSocket::new_v4().unwrap();
    // Less than the request, which therefore cannot be sent before it is read.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1 << 20];
            assert_ne!(stream.read(&mut request[..1]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"done").await.unwrap();
        }
    });
    let senders = both(limits()).await;
    is_same(&senders, &[("x-url", &url)], &"x".repeat(1 << 20), "\ndone\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_inherits_no_permission_is_denied() {
    let manifest = MANIFEST.replace("INHERIT", "false").replace("PROVIDE", "[]");
    let sender = serve_app(load(&manifest, &limits()).unwrap(), limits()).await;
    let denied = result(&sender, &[("x-url", "http://target.spin.internal/")], "").await;
    assert!(denied.contains("SendError::Denied"), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_its_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (closed, mut closes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let closed = closed.clone();
            tokio::spawn(async move {
                // The end of the stream, or a reset.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {}
                closed.send(()).unwrap();
            });
        }
    });
    for (name, sender) in &both(limits()).await {
        let cancelled = result(sender, &[("x-url", &url), ("x-cancel-ms", "200")], "").await;
        assert_eq!(cancelled, "cancelled", "{name}");
        // Sooner than the time limit of the call, 30 s, which also ends the request.
        let closes = tokio::time::timeout(Duration::from_secs(20), closes.recv()).await;
        assert_eq!(closes, Ok(Some(())), "the connection stays open: {name}");
    }
}

/// A server that answers each connection with these bytes and closes it.
async fn answering(bytes: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(bytes.as_bytes()).await.unwrap();
        }
    });
    address
}
