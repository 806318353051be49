//! A test guest that uses the databases and stores of the host. A request says what to do: the path
//! names the store, the field `x-address` where it is, and each part of the body is a command. The
//! response has the results as text. Each record of Kafka is inserted into a table.

mod key_value;
mod older;
mod postgres;
mod redis;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use spin_kafka_sdk::{self as kafka, Batch, Failure, Rejection};
use spin_sdk::http::Request;
use spin_sdk::http_service;

/// The separator of commands.
const SEPARATOR: &str = "\n\n";

#[http_service]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let address = field(&head.headers, "x-address");
    let commands: Vec<&str> = body.split(SEPARATOR).collect();
    let results = match head.uri.path() {
        "/postgres" => postgres::run(&address, None, &commands).await,
        "/postgres-with-authority" => {
            let (authority, commands) = commands.split_first().unwrap_or((&"", &[]));
            postgres::run(&address, Some((*authority).into()), commands).await
        }
        "/key-value" => key_value::run(&address, &commands).await,
        "/wasi-keyvalue" => key_value::run_wasi(&address, &commands),
        "/older-postgres" => older::postgres(&address, &commands),
        "/older-redis" => older::redis(&address),
        "/older-key-value" => older::key_value(&address),
        "/redis" => redis::run(&address, &commands).await,
        other => vec![format!("no store {other}")],
    };
    Response::new(Full::from(results.join("\n")))
}

fn field(fields: &HeaderMap, name: &str) -> String {
    fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().into()
}

#[kafka::batch]
async fn store(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let values = batch.records().iter().map(|record| record.value().unwrap_or_default());
    let values = values.map(|value| String::from_utf8_lossy(value).into_owned());
    postgres::insert(values.collect()).await.map_err(Failure::retry)?;
    Ok(Vec::new())
}
