//! The responses to requests: those of the contract, and problem details that name the cause.

use http::Method;
use intake::grpc;
use pipeline_tests::{Answer, Client, Pipeline, Wiring};
use product_sale::{Message as _, ProductSaleRequest, ProductSaleResponse};
use serde_json::{Value, json};
use test_servers::shared_kafka;

use crate::event_ingest::captured;
use crate::idempotency::{retries, settles_at};

const SALE: &str = r#"{"categoria":4,"producto_id":"crema","precio":12.5,"cantidad_vendida":3}"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
const KEY: &str = "of-the-record";
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_and_bad_input_in_all_wirings() {
    let kafka = shared_kafka();
    for wiring in Wiring::ALL {
        let pipeline = Pipeline::start(wiring, &kafka.bootstrap()).await.unwrap();
        let client = pipeline.client();
        let mut counted = purchase(&client).await + purchases(&client).await;
        counted += streamed(&client).await + same_answers(&client).await + retries(&client).await;
        bad_input(&client).await;
        counted += hop_times(&client, wiring).await;
        if wiring == Wiring::Chained {
            counted += forward(&client).await + grpc_call(&client).await;
            grpc_failures(&client).await;
        }
        settles_at(&pipeline, counted).await;
        check_record(&captured(&kafka.bootstrap(), &pipeline.topic).await);
        let store = pipeline.store().await.unwrap();
        assert_eq!(store.get("precio_max_global").await.as_deref(), Some("12.5"));
        pipeline.stop().await.unwrap();
    }
}

async fn purchase(client: &Client) -> u64 {
    let answer = client.post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text(), r#"{"status":"Procesado"}"#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("content-length"), "22");
    let trace = format!("00-{TRACE}-00");
    let headers = [JSON, ("traceparent", &*trace), ("idempotency-key", KEY), ("x-other", "no")];
    let spaced = r#" {"precio": 1.25e1, "cantidad_vendida": 3, "producto_id": "cr\u0065ma",
        "categoria": 4}"#;
    let answer = client.send(Method::POST, "/purchase", &headers, spaced).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    2
}

/// The record of the sale with the key is byte for byte that of the contract.
fn check_record(captured: &str) {
    let records = captured.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let headers = json!([
        {"name": "idempotency-key", "value": KEY},
        {"name": "traceparent", "value": format!("00-{TRACE}-00")},
    ]);
    let found: Vec<_> = records.filter(|record| record["headers"] == headers).collect();
    assert_eq!(found.len(), 1, "{captured}");
    assert_eq!((&found[0]["key"], &found[0]["value"]), (&json!("crema"), &json!(SALE)));
}

/// The name and the milliseconds of each time in `Server-Timing`.
fn times(answer: &Answer) -> Vec<(String, f64)> {
    let entries = answer.header("server-timing").split(", ").filter_map(|entry| {
        let (hop, ms) = entry.split_once(";dur=")?;
        Some((hop.to_owned(), ms.parse().unwrap()))
    });
    entries.collect()
}

/// The answer to a sampled sale has the time of each hop, which includes those of the later ones.
async fn hop_times(client: &Client, wiring: Wiring) -> u64 {
    let context = |flags: &str| format!("00-{TRACE}-{flags}");
    let (sampled, other) = (context("01"), context("00"));
    let json = "application/json";
    let grpc = "application/grpc";
    let of_purchase = match wiring {
        Wiring::Chained | Wiring::Fused => &["ingest", "bridge", "writer", "kafka"][..],
        Wiring::ByConfiguration => &["ingest", "kafka"],
    };
    let all = [
        ("/purchase", json, SALE.into(), of_purchase),
        ("/forward", json, SALE.into(), &["bridge", "writer", "kafka"]),
        (grpc::METHOD_PATH, grpc, message(12.5), &["writer", "kafka"]),
    ];
    let served = if wiring == Wiring::Chained { &all[..] } else { &all[..1] };
    for (path, media_type, body, hops) in served {
        let send = async |body: &[u8], traceparent: &str| {
            let headers = [("content-type", *media_type), ("traceparent", traceparent)];
            client.send2(Method::POST, path, &headers, body.to_vec()).await.unwrap()
        };
        let answer = send(body, &sampled).await;
        let found = times(&answer);
        assert_eq!(found.iter().map(|(hop, _)| hop.as_str()).collect::<Vec<_>>(), *hops, "{path}");
        assert!(found.is_sorted_by(|(_, earlier), (_, later)| earlier >= later), "{found:?}");
        assert!(found.iter().all(|(_, ms)| *ms > 0.0), "{path}: {found:?}");
        let invalid = send(b"{}", &sampled).await;
        for answer in [send(body, &other).await, invalid] {
            assert_eq!(answer.headers.get("server-timing"), None, "{path}: {answer:?}");
        }
    }
    2 * served.len() as u64
}

/// Bodies without a length are chunked. Incomplete ones are not sales.
async fn streamed(client: &Client) -> u64 {
    let head = "POST /purchase HTTP/1.1\r\nhost: sales\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let send = async |body: String, breaks_off: bool| {
        let request = format!("{head}transfer-encoding: chunked\r\n\r\n{body}");
        client.raw(request.as_bytes(), breaks_off).await.unwrap()
    };
    let (first, second) = SALE.split_at(SALE.len() / 2);
    let whole = format!("{}{}{}", chunk(first), chunk(second), "0\r\n\r\n");
    let answer = send(whole, false).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let long = chunk(&" ".repeat(40 << 10)).repeat(2);
    let answer = send(format!("{long}{}0\r\n\r\n", chunk(SALE)), false).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    for broken in [chunk(SALE), format!("{}ff\r\nshort", chunk(SALE))] {
        let answer = send(broken, true).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let request = format!("{head}content-length: {}\r\n\r\n{first}", SALE.len());
    let answer = client.raw(request.as_bytes(), true).await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    1
}

/// A request with an announced length and a chunked one reach a component through different
/// interfaces. The answers are the same.
async fn same_answers(client: &Client) -> u64 {
    for (path, kind, body) in [
        ("/purchase", "application/json", SALE),
        ("/purchases", "application/x-ndjson", SALE),
        ("/purchase", "application/json", "{}"),
        ("/purchase", "text/plain", SALE),
        ("/nothing", "application/json", SALE),
    ] {
        let mut answers = Vec::new();
        let length = body.len();
        for rest in [
            format!("content-length: {length}\r\n\r\n{body}"),
            format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: sales\r\nconnection: close");
            let request = format!("{head}\r\ncontent-type: {kind}\r\n{rest}");
            let answer = client.raw(request.as_bytes(), false).await.unwrap();
            let mut lines: Vec<_> = answer.lines().map(str::to_owned).collect();
            lines.retain(|line| !line.starts_with("date: "));
            answers.push(lines);
        }
        assert_eq!(answers[0], answers[1], "{path} {kind}");
    }
    4
}

async fn purchases(client: &Client) -> u64 {
    let answer = client.post("/purchases", format!("[{SALE},{SALE}]")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["accepted"], 2);
    let lines = [("content-type", "application/x-ndjson")];
    let body = format!("{SALE}\n{{\"categoria\":1}}\n");
    let answer = client.send(Method::POST, "/purchases", &lines, body).await.unwrap();
    assert_eq!(answer.status, 207, "a failure among them is never 200");
    assert_eq!(answer.json()["results"][1]["status"], 400);
    3
}

async fn forward(client: &Client) -> u64 {
    let answer = client.post("/forward", SALE).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, r#"{"estado":"Procesado"}"#)
    );
    1
}

async fn bad_input(client: &Client) {
    let swap = |from: &str, to: &str| SALE.replace(from, to);
    for (body, field) in [
        (swap(r#""categoria":4,"#, ""), "categoria"),
        (swap("12.5", "\"12.5\""), "precio"),
        (swap("12.5", "-1"), "precio"),
        (swap("12.5", "1e300"), "precio"),
        (swap("12.5", "NaN"), "body"),
        (swap(":3", ":0"), "cantidad_vendida"),
        (swap("crema", ""), "producto_id"),
        (swap(":3", ":3,\"otro\":1"), "otro"),
        (String::new(), "body"),
    ] {
        let answer = client.post("/purchase", body.clone()).await.unwrap();
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.text());
    }
    let mut wrong_utf8 = SALE.as_bytes().to_vec();
    wrong_utf8[30] = 0xff;
    assert_eq!(client.post("/purchase", wrong_utf8).await.unwrap().status, 400);
    let long = format!("{SALE}{}", " ".repeat(64 << 10));
    for (method, path, headers, body, status) in [
        (Method::GET, "/purchase", vec![JSON], String::new(), 405),
        (Method::POST, "/purchase", vec![("content-type", "text/plain")], SALE.into(), 415),
        (Method::POST, "/purchase", vec![JSON], long, 413),
        (Method::POST, "/nothing", vec![JSON], SALE.into(), 404),
        (Method::POST, "/purchase", vec![JSON, ("idempotency-key", "a b")], SALE.into(), 400),
        (Method::POST, "/purchases", vec![JSON], "[]".into(), 400),
    ] {
        let answer = client.send(method.clone(), path, &headers, body).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
}

fn message(precio: f64) -> Vec<u8> {
    let request = ProductSaleRequest {
        categoria: 4,
        producto_id: "crema".into(),
        precio,
        cantidad_vendida: 3,
    };
    grpc::frame(&request.encode_to_vec())
}

async fn grpc_call(client: &Client) -> u64 {
    let answer = client.grpc(grpc::METHOD_PATH, message(12.5)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers.get("grpc-status").map(|s| s.as_bytes()), Some(b"0".as_slice()));
    let response = ProductSaleResponse::decode(grpc::unframe(&answer.body).unwrap()).unwrap();
    assert_eq!(response, ProductSaleResponse { estado: "Procesado".into(), exito: true });
    1
}

async fn grpc_failures(client: &Client) {
    let answer = client.grpc(grpc::METHOD_PATH, message(-1.0)).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "3"));
    assert!(answer.header("grpc-message").starts_with("precio: "), "{answer:?}");
    let answer = client.grpc(grpc::METHOD_PATH, "nonsense").await.unwrap();
    assert_ne!(answer.header("grpc-status"), "0");
    let other = "/blackfriday.ProductSaleService/Otro";
    let answer = client.grpc(other, message(1.0)).await.unwrap();
    assert_eq!(answer.header("grpc-status"), "12");
}
