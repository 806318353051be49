//! The rules of HTTP and gRPC that hold for every server.

use http::Method;
use intake::grpc;
use pipeline_tests::{Client, Pipeline, Wiring, eventually, root};
use product_sale::{Message as _, ProductSaleRequest};
use test_servers::shared_kafka;

use crate::guests::{limits, serve};

const SALE: &str = r#"{"categoria":4,"producto_id":"crema","precio":12.5,"cantidad_vendida":3}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a head and an optional body on a connection that ends with the response.
async fn raw(client: &Client, head: &str, body: &str) -> String {
    let request = format!("{head}\r\nconnection: close\r\n\r\n{body}");
    client.raw(request.as_bytes(), false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_must_have_no_content_have_none() {
    let client = serve("misbehaves", limits()).await;
    let health = "/.well-known/spin/health";
    for (method, path, status) in [
        (Method::HEAD, "/good", 200),
        (Method::HEAD, health, 200),
        (Method::HEAD, "/trap", 500),
        (Method::GET, "/no-content", 204),
    ] {
        for answer in [
            client.send(method.clone(), path, &[], "").await.unwrap(),
            client.send2(method.clone(), path, &[], "").await.unwrap(),
        ] {
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, ""), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_must_contain_one_host() {
    let client = serve("misbehaves", limits()).await;
    for (head, status) in [
        ("GET /good HTTP/1.1\r\nhost: a", "200"),
        ("GET /good HTTP/1.1\r\nx: y", "400"),
        ("GET /good HTTP/1.1\r\nhost: a b/c?", "400"),
        ("GET /good HTTP/1.1\r\nhost:", "400"),
        ("GET /good HTTP/1.1\r\nhost: a\r\nhost: a", "400"),
        ("GET /good HTTP/1.0\r\nx: y", "200"),
        ("GET /.well-known/spin/health HTTP/1.1\r\nx: y", "400"),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80", "405"),
        ("POST /good HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked", "501"),
    ] {
        let body = if status == "501" { "0\r\n\r\n" } else { "" };
        let answer = raw(&client, head, body).await;
        let version = if head.contains("/1.0") { "HTTP/1.0" } else { "HTTP/1.1" };
        assert!(answer.starts_with(&format!("{version} {status}")), "{head}: {answer}");
        let problem = answer.contains("application/problem+json");
        assert_eq!(problem, status != "200", "{head}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_what_it_sees_on_spin() {
    let client = serve("misbehaves", limits()).await;
    let path = "GET /head?a=b HTTP/1.1\r\nhost: sales.example:81\r\nspin-client-addr: 1.1.1.1:1";
    let answer = raw(&client, path, "").await;
    for part in [
        "http://sales.example:81/head?a=b\n",
        r#""host": "sales.example:81""#,
        r#""spin-full-url": "http://sales.example:81/head?a=b""#,
        r#""spin-path-info": "/head""#,
        r#""spin-matched-route": "/...""#,
        r#""spin-component-route": """#,
        r#""spin-client-addr": "127.0.0.1:"#,
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(!answer.contains("1.1.1.1"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fields_are_refused_over_both_protocols() {
    let client = serve("misbehaves", limits()).await;
    let names: Vec<String> = (0..101).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
    assert_eq!(client.send(Method::GET, "/good", &many, "").await.unwrap().status, 431);
    let answer = client.send2(Method::GET, "/good", &many, "").await.unwrap();
    assert_eq!(answer.status, 431);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

fn message(length: usize) -> Vec<u8> {
    let request = ProductSaleRequest {
        categoria: 4,
        producto_id: "x".repeat(length),
        precio: 1.0,
        cantidad_vendida: 3,
    };
    request.encode_to_vec()
}

/// A client that waits for `100 Continue` sends no body before.
async fn expectations(client: &Client) {
    for (head, status) in [
        ("content-type: text/plain\r\ncontent-length: 10", "415"),
        ("content-type: application/json\r\ncontent-length: 4294967296", "413"),
        ("content-type: application/json\r\ncontent-length: 9223372036854775807", "413"),
    ] {
        let head = format!("POST /purchase HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n{head}");
        let answer = raw(client, &head, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
    }
    let head = format!(
        "POST /purchase HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}",
        SALE.len()
    );
    let answer = raw(client, &head, SALE).await;
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}

async fn codings(client: &Client) {
    for path in ["/purchase", "/purchases", "/forward"] {
        for (coding, status) in [("gzip", 415), ("identity, br", 415), ("identity", 200)] {
            let body = if path == "/purchases" { format!("[{SALE}]") } else { SALE.into() };
            let headers = [JSON, ("content-encoding", coding)];
            let answer = client.send(Method::POST, path, &headers, body).await.unwrap();
            assert_eq!(answer.status, status, "{path} {coding}: {}", answer.text());
            if status == 415 {
                assert_eq!(answer.header("accept-encoding"), "identity");
            }
        }
    }
}

async fn grpc_contract(client: &Client) {
    let compressed = |bytes: Vec<u8>| {
        let mut frame = grpc::frame(&bytes);
        frame[0] = 1;
        frame
    };
    let grpc = ("content-type", "application/grpc");
    let late = ("grpc-timeout", "1n");
    for (headers, body, code) in [
        (vec![grpc, ("grpc-encoding", "gzip")], compressed(message(1)), "12"),
        (vec![grpc], compressed(message(1)), "13"),
        (vec![grpc, ("grpc-encoding", "identity")], compressed(message(1)), "13"),
        (vec![grpc], grpc::frame(&message(5_000)), "8"),
        (vec![grpc], grpc::frame(&message(200)), "3"),
        (vec![grpc, ("grpc-timeout", "soon")], grpc::frame(&message(1)), "3"),
        (vec![grpc, late], grpc::frame(&message(1)), "4"),
    ] {
        let answer = client.send2(Method::POST, grpc::METHOD_PATH, &headers, body).await.unwrap();
        assert_eq!(answer.header("grpc-status"), code, "{headers:?}: {answer:?}");
        if code == "12" {
            assert_eq!(answer.header("grpc-accept-encoding"), "identity");
        }
    }
    let answer = client.send2(Method::POST, grpc::METHOD_PATH, &[JSON], SALE).await.unwrap();
    assert_eq!(answer.status, 415);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_by_their_heads_before_the_body_is_read() {
    let kafka = shared_kafka();
    let pipeline = Pipeline::start(Wiring::Chained, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    expectations(&client).await;
    codings(&client).await;
    grpc_contract(&client).await;
    assert_eq!(client.post("//purchase/", SALE).await.unwrap().status, 200, "as on Spin");
    pipeline.stop().await.unwrap();
}

const MISBEHAVING: &str = r#"
spin_manifest_version = 2
[application]
name = "misbehaves"
[variables]
kafka_brokers = { default = "" }
[[trigger.http]]
route = "/..."
component = "misbehaves"
[component.misbehaves]
source = "components/misbehaves.wasm"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_contains_the_error_of_a_component() {
    let folder = root().join("target");
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(folder).unwrap();
    std::fs::write(file.path(), MISBEHAVING).unwrap();
    let running = Pipeline::of_manifest(file.path(), "127.0.0.1:1", &[]).await.unwrap();
    assert_eq!(running.client().post("/error", "").await.unwrap().status, 500);
    eventually("the error is in the log", async || {
        let log = running.log();
        log.lines()
            .any(|line| line.contains("as requested") && line.contains("misbehaves"))
            .then_some(())
    })
    .await;
    running.stop().await.unwrap();
}
