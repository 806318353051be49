//! The same components across a network: HTTP/1.1 to the bridge of another process, and gRPC over
//! HTTP/2 to the writer of another process.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use intake::grpc;
use pipeline_tests::chaos::{LinkState, Proxy};
use pipeline_tests::{Pipeline, Wiring, eventually};
use product_sale::{Message as _, ProductSaleResponse};
use test_servers::shared_kafka;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SALE: &str = r#"{"categoria":2,"producto_id":"abrigo","precio":80,"cantidad_vendida":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn hops_in_other_processes() {
    let kafka = shared_kafka();
    let far = Pipeline::start(Wiring::Chained, &kafka.bootstrap()).await.unwrap();
    let base = far.purchase_url().replace("/purchase", "");
    let mut sent = 0;
    for hop in ["bridge_url", "writer_url"] {
        let near = Pipeline::with_variables(&kafka.bootstrap(), &[(hop, &base)]).await.unwrap();
        let client = near.client();
        for _ in 0..20 {
            let answer = client.post("/purchase", SALE).await.unwrap();
            assert_eq!(answer.status, 200, "{hop}: {}\n{}", answer.text(), near.log());
            sent += 1;
        }
        let wrong = SALE.replace("80", "-80");
        let answer = client.post("/purchase", wrong).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.json()["field"].as_str()),
            (400, Some("precio"))
        );
        near.stop().await.unwrap();
    }
    let store = far.store().await.unwrap();
    eventually("the other side counts all sales", async || {
        (store.total().await >= sent).then_some(())
    })
    .await;
    assert_eq!(store.total().await, sent);

    let gone = base.replace("127.0.0.1", "127.0.0.2");
    let near =
        Pipeline::with_variables(&kafka.bootstrap(), &[("writer_url", &gone)]).await.unwrap();
    let answer = near.client().post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.text().contains(&gone), "clients get no addresses: {}", answer.text());
    eventually("the log names the other host", async || near.log().contains(&gone).then_some(()))
        .await;
    near.stop().await.unwrap();
    far.stop().await.unwrap();
}

/// Accepts connections, and answers each with a head and half of its body.
async fn stalling_hop() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_024]).await.unwrap();
            let half = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 10\r\n\r\nhalf";
            stream.write_all(half).await.unwrap();
            kept.push(stream);
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_stalls_within_its_answer_is_timed_out() {
    let kafka = shared_kafka();
    let hop = stalling_hop().await;
    let near = Pipeline::with_variables(&kafka.bootstrap(), &[("bridge_url", &hop)]).await.unwrap();
    let answer = near.client().post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 504, "{}\n{}", answer.text(), near.log());
    assert!(!answer.text().contains(&hop), "{}", answer.text());
    eventually("the log names it", async || near.log().contains(&hop).then_some(())).await;
    near.stop().await.unwrap();
}

/// A deadline of the bridge ends a sale before the other limits do.
#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_the_bridge_ends_a_sale() {
    let kafka = shared_kafka();
    // Connections wait in the kernel's queue, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let writer = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("writer_url", writer.as_str()), ("request_timeout_ms", "300")];
    let near = Pipeline::with_variables(&kafka.bootstrap(), &variables).await.unwrap();
    let answer = near.client().post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 504, "{}", answer.text());
    eventually("the log names the limit", async || {
        near.log().contains("no acknowledgement within 300 ms").then_some(())
    })
    .await;
    near.stop().await.unwrap();
}

/// A peer that disappears does not close its connections, for example if its node or the network
/// fails. The requests in progress fail, and those after the time limit use a new connection.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_peer_vanished_a_new_connection_is_used() {
    let kafka = shared_kafka();
    let far = Pipeline::start(Wiring::Chained, &kafka.bootstrap()).await.unwrap();
    let mut accepted = 0;
    for hop in ["bridge_url", "writer_url"] {
        let relay = Proxy::start().await.unwrap();
        relay.aim(vec![far.port().unwrap()]);
        let url = format!("http://127.0.0.1:{}", relay.port());
        let near = Pipeline::with_variables(&kafka.bootstrap(), &[(hop, &url)]).await.unwrap();
        let client = near.client();
        for _ in 0..3 {
            let answer = client.post("/purchase", SALE).await.unwrap();
            assert_eq!(answer.status, 200, "{hop}: {}", answer.text());
            accepted += 1;
        }
        relay.set(LinkState::Vanished);
        // Twice, because one response could arrive over a connection that is closed afterwards.
        for _ in 0..2 {
            eventually("sales are accepted again", async || {
                let answer = client.post("/purchase", SALE).await.unwrap();
                (answer.status == 200).then_some(())
            })
            .await;
            accepted += 1;
        }
        near.stop().await.unwrap();
    }
    let store = far.store().await.unwrap();
    eventually("the other side counts all sales", async || {
        (store.total().await >= accepted).then_some(())
    })
    .await;
    assert_eq!(store.total().await, accepted, "what was refused was not written");
    far.stop().await.unwrap();
}

/// A writer that answers every call like the original one: `exito` is never set, and failures have
/// status 0, too. If `estado` is empty, the answer has the status in its headers and no message.
async fn original_writer(estado: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async move |_: Request<Incoming>| {
        let response = ProductSaleResponse { estado: estado.into(), exito: false };
        let data = Full::<Bytes>::from(grpc::frame(&response.encode_to_vec()));
        let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
        let builder = Response::builder().header("content-type", "application/grpc");
        if estado.is_empty() {
            let body = Full::default().with_trailers(std::future::ready(None));
            return builder.header(status.0, status.1).body(body);
        }
        let trailers = HeaderMap::from_iter([status]);
        builder.body(data.with_trailers(std::future::ready(Some(Ok(trailers)))))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_writer_is_understood() {
    let kafka = shared_kafka();
    let answers = [("Procesado", 200), ("Error Kafka", 502), ("Error marshaling", 502), ("", 502)];
    for (estado, status) in answers {
        let writer = original_writer(estado).await;
        let near =
            Pipeline::with_variables(&kafka.bootstrap(), &[("writer_url", &writer)]).await.unwrap();
        for path in ["/purchase", "/forward"] {
            let headers = [("content-type", "application/json"), ("traceparent", TRACEPARENT)];
            let answer = near.client().send(Method::POST, path, &headers, SALE).await.unwrap();
            assert_eq!(answer.status, status, "{estado} {path}: {}", answer.text());
            // The writer sends no times, so there are only those of the hops before it.
            let times = answer.header("server-timing");
            assert_eq!(times.contains("bridge;dur="), status == 200, "{estado} {path}: {times}");
            assert!(!times.contains("writer"), "{estado} {path}: {times}");
        }
        near.stop().await.unwrap();
    }
}
