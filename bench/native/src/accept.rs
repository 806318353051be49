//! `POST /purchase`: the response is sent after the broker has acknowledged the sale.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::serve::ListenerExt as _;
use host_producer::{Acks, Header, OutgoingRecord, ProduceError, Producer, ProducerConfig};
use intake::request::{
    BODY_BYTES_MAX, Context, IDEMPOTENCY_KEY, TRACEPARENT, body_too_large, check,
};
use intake::{IntakeError, PROBLEM_CONTENT_TYPE, Problem, RETRY_AFTER_SECONDS};
use sale::{Sale, Violation};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::key_claim::KeyClaims;

/// Maximum time at the end for the acknowledgement of records in flight.
const FLUSH_LIMIT: Duration = Duration::from_secs(15);

/// Requests at once; more get 503 with `Retry-After`. Like the host's default.
const REQUESTS_AT_ONCE_MAX: usize = 4_096;

/// The answer to an accepted sale.
pub const ACCEPTED: &str = r#"{"status":"Procesado"}"#;

/// Accept sales over HTTP and write them to Kafka.
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Bootstrap brokers of Kafka.
    #[arg(long, value_name = "HOST:PORT[,…]")]
    kafka: String,
    /// The topic; it must exist.
    #[arg(long, value_name = "NAME", default_value = "sales-topic")]
    topic: String,
    /// Valkey in which idempotency keys are claimed.
    #[arg(long, value_name = "redis://HOST:PORT")]
    valkey: String,
    /// Replicas whose acknowledgement is required. With `leader`, the loss of the leader loses
    /// sales; use it only to show that the fault suite detects this.
    #[arg(long, value_name = "WHO", default_value = "all", value_parser = ["all", "leader"])]
    acks: String,
}

struct Writer {
    key_claims: KeyClaims,
    producer: Producer,
    topic: String,
    /// One for each request that may be added.
    permits: Semaphore,
}

/// Accepts sales until SIGTERM or SIGINT.
#[tokio::main]
pub async fn run(args: Args) -> Result<()> {
    let acks = if args.acks == "leader" { Acks::Leader } else { Acks::All };
    let producer = Producer::new(ProducerConfig { acks, ..ProducerConfig::new(args.kafka) })?;
    let key_claims = KeyClaims::open(&args.valkey).await?;
    let writer = Arc::new(Writer {
        key_claims,
        producer: producer.clone(),
        topic: args.topic,
        permits: Semaphore::new(REQUESTS_AT_ONCE_MAX),
    });
    let router = Router::new().route("/purchase", any(purchase)).with_state(writer);
    serve(args.listen, router).await?;
    Ok(producer.flush(FLUSH_LIMIT).await?)
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(address: SocketAddr, router: Router) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?
        .tap_io(|stream| {
            // Best effort: without TCP_NODELAY, responses are slower but correct.
            let _ = stream.set_nodelay(true);
        });
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(shutdown).await?)
}

async fn purchase(State(writer): State<Arc<Writer>>, request: Request) -> Response {
    let Ok(_permit) = writer.permits.try_acquire() else {
        return refusal(&busy());
    };
    match accept(&writer, request).await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], ACCEPTED).into_response(),
        Err(failure) => refusal(&failure),
    }
}

async fn accept(writer: &Writer, request: Request) -> Result<(), Problem> {
    let (head, body) = request.into_parts();
    let context = check(&head.method, &head.headers, &["application/json"], BODY_BYTES_MAX)?;
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| body_too_large(BODY_BYTES_MAX))?;
    let sale = Sale::from_request_json(&body)?;
    writer.publish(sale, context).await?;
    Ok(())
}

fn busy() -> Problem {
    let detail = format!("{REQUESTS_AT_ONCE_MAX} requests are in progress; send it again later");
    Problem::new("urn:doorbuster:problem:busy", StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn refusal(failure: &Problem) -> Response {
    let headers = [(header::CONTENT_TYPE, PROBLEM_CONTENT_TYPE)];
    let mut response = (failure.status(), headers, failure.to_json()).into_response();
    if failure.is_temporary() {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    response
}

impl Writer {
    async fn publish(&self, sale: Sale, context: Context) -> Result<(), IntakeError> {
        let value = sale.to_json();
        if let Some(key) = &context.idempotency_key {
            self.key_claims.claim(&self.topic, key, &value).await?;
        }
        let record = OutgoingRecord {
            topic: self.topic.clone(),
            value: Some(value),
            key: Some(sale.product_id.into_bytes()),
            headers: headers(context),
            ..OutgoingRecord::default()
        };
        self.producer.send(vec![record]).await.map(drop).map_err(failure)
    }
}

fn headers(context: Context) -> Vec<Header> {
    [(IDEMPOTENCY_KEY, context.idempotency_key), (TRACEPARENT, context.traceparent)]
        .into_iter()
        .filter_map(|(name, value)| {
            Some(Header { name: name.into(), value: Some(value?.into_bytes()) })
        })
        .collect()
}

fn failure(error: ProduceError) -> IntakeError {
    match error {
        ProduceError::QueueFull => IntakeError::Overloaded(error.to_string()),
        ProduceError::TimedOut(text) => IntakeError::TimedOut(text),
        ProduceError::Unavailable(text) => IntakeError::Unavailable(text),
        ProduceError::TooLarge(text) => Violation::new("body", text).into(),
        ProduceError::Refused(text) | ProduceError::Other(text) => IntakeError::Other(text),
    }
}
