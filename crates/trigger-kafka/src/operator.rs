//! What operators ask: `/metrics`, `/healthz`, `/readyz`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use component_host::Limits;
use component_host::http::{Answer, HEALTH_PATH, RequestBody, serve, text};
use http::{HeaderValue, Method, Request, StatusCode, header};
use prometheus_client::encoding;
use prometheus_client::registry::Registry;
use spin_kafka_trigger::Progress;
use tokio::net::TcpListener;

use crate::{KafkaTrigger, ProducerCapability};

/// OpenMetrics, as Prometheus reads it.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the other answers are.
const TEXT: &str = "text/plain; charset=utf-8";

/// Connections at once; past it new ones wait. Few ask: probes and Prometheus.
const CONNECTIONS_MAX: usize = 256;

/// The operators' view of the Kafka triggers and of the producer of a process. Cheap to clone.
#[derive(Clone)]
pub struct Operator(Arc<View>);

struct View {
    registry: Registry,
    triggers: Vec<(String, Arc<Progress>)>,
}

impl Operator {
    /// The view of these triggers, and of the host's producer.
    pub fn new(triggers: &[KafkaTrigger], producer: Option<&ProducerCapability>) -> Self {
        let mut registry = Registry::default();
        if let Some(producer) = producer {
            producer.register(&mut registry);
        }
        triggers.iter().for_each(|trigger| trigger.register(&mut registry));
        let named = |trigger: &KafkaTrigger| (trigger.handler().component(), trigger.progress());
        Self(Arc::new(View { registry, triggers: triggers.iter().map(named).collect() }))
    }

    /// Serves these paths until `shutdown`.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let handler = Arc::new(move |request: Request<RequestBody>, _peer: SocketAddr| {
            let answer = self.0.answer(request.method(), request.uri().path());
            Box::pin(std::future::ready(answer)) as _
        });
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        serve(listener, &limits, handler, Box::pin(shutdown), Duration::ZERO).await;
        Ok(())
    }

    /// Listens on this address.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|error| format!("cannot listen on {address} for operators: {error}"))
    }
}

impl View {
    fn answer(&self, method: &Method, path: &str) -> Answer {
        match path {
            "/metrics" | "/healthz" | "/readyz" | HEALTH_PATH
                if !matches!(*method, Method::GET | Method::HEAD) =>
            {
                method_not_allowed()
            }
            "/metrics" => self.metrics(),
            // Alive: every partition moves, or has nothing left.
            "/healthz" => verdict(self.stalled()),
            // Ready: alive, and a member of each group.
            "/readyz" => verdict(self.stalled() + &self.outside() + &self.unread()),
            HEALTH_PATH => text(StatusCode::OK, TEXT, "OK".into()),
            _ => text(StatusCode::NOT_FOUND, TEXT, "nothing is served here\n".into()),
        }
    }

    fn metrics(&self) -> Answer {
        let mut body = String::new();
        match encoding::text::encode(&mut body, &self.registry) {
            Ok(()) => text(StatusCode::OK, METRICS, body.into()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no metrics\n".into()),
        }
    }

    /// A line for each partition that does not move.
    fn stalled(&self) -> String {
        let mut lines = String::new();
        for (component, progress) in &self.triggers {
            for partition in progress.stalled() {
                let since = partition.stalled_for.unwrap_or_default().as_secs();
                // Writing to a string cannot fail.
                let _ = writeln!(
                    lines,
                    "{component}: {}/{} has a lag of {} and did not move for {since} s",
                    partition.topic, partition.partition, partition.lag
                );
            }
        }
        lines
    }

    /// A line for each trigger that has not joined its group.
    fn outside(&self) -> String {
        let outside = self.triggers.iter().filter(|(_, progress)| !progress.is_member());
        outside.map(|(component, _)| format!("{component}: not in its group yet\n")).collect()
    }

    /// A line for each trigger whose brokers do not answer, and for each topic and each partition
    /// that nobody in its group reads.
    fn unread(&self) -> String {
        let mut lines = String::new();
        for (component, progress) in &self.triggers {
            if !progress.is_answered() {
                let _ = writeln!(lines, "{component}: the brokers do not answer");
            }
            for topic in progress.missing_topics() {
                let _ = writeln!(lines, "{component}: topic {topic} does not exist");
            }
            for (topic, partition) in progress.unread_partitions() {
                let _ = writeln!(lines, "{component}: no member reads {topic}/{partition}");
            }
        }
        lines
    }
}

fn verdict(complaints: String) -> Answer {
    if complaints.is_empty() {
        return text(StatusCode::OK, TEXT, "ok\n".into());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, complaints.into())
}

fn method_not_allowed() -> Answer {
    let body = "only GET and HEAD are allowed here\n".into();
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, body);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}
