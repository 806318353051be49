//! The operator port: `/metrics`, `/healthz`, `/readyz`, and the dead letters.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use component_host::Limits;
use component_host::http::{Answer, HEALTH_PATH, RequestBody, Services, serve, text};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;

use crate::letters::{self, LetterService};
use crate::producers::RecordProducer;
use crate::{Health, Observed, ProducerCapability, openmetrics};

/// The content type of OpenMetrics, which Prometheus reads.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of the other answers.
const TEXT: &str = "text/plain; charset=utf-8";

/// The most connections at once; more have to wait. The clients are probes and Prometheus, so few
/// are needed.
const CONNECTIONS_MAX: usize = 256;

/// Health and metrics of the triggers, the HTTP components and the producers of a process.
/// Cheap to clone.
#[derive(Clone)]
pub struct Operator(Arc<View>);

struct View {
    registry: Registry,
    /// The producers, and the component of one that only this component uses.
    producers: Vec<(Option<String>, RecordProducer)>,
    triggers: Vec<Arc<dyn Health>>,
    letters: Option<LetterService>,
}

impl Operator {
    /// Health and metrics of these triggers and HTTP components, and of the host's producers. Dead
    /// letters are served only if `letters` is given.
    pub fn new(
        triggers: &[&dyn Observed],
        services: &Services,
        producer: Option<&ProducerCapability>,
        letters: Option<LetterService>,
    ) -> Self {
        let mut registry = Registry::default();
        register_start(&mut registry);
        if let Some(producer) = producer {
            producer.register(&mut registry);
        }
        services.register(&mut registry);
        triggers.iter().for_each(|trigger| trigger.register(&mut registry));
        let triggers = triggers.iter().map(|trigger| trigger.health()).collect();
        let producers = producer.map(ProducerCapability::producers).unwrap_or_default();
        Self(Arc::new(View { registry, producers, triggers, letters }))
    }

    /// The operator port of a program without triggers, with the metrics that `register` adds.
    pub fn of_metrics(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        register_start(&mut registry);
        register(&mut registry);
        Self(Arc::new(View {
            registry,
            producers: Vec::new(),
            triggers: Vec::new(),
            letters: None,
        }))
    }

    /// The metrics in the format of OpenMetrics.
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        openmetrics::encode(&self.0.registry)
    }

    /// Serves these paths until `shutdown` resolves.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let is_local = listener.local_addr()?.ip().to_canonical().is_loopback();
        let handler = Arc::new(move |request: Request<RequestBody>, peer: SocketAddr| {
            let is_local = is_local || peer.ip().to_canonical().is_loopback();
            let view = self.0.clone();
            Box::pin(async move {
                let (uri, headers) = (request.uri(), request.headers());
                if is_local && letters::PATHS.contains(&uri.path()) {
                    let authority = uri.authority().map(Authority::as_str);
                    if let Some(answer) = letters::host_problem(authority, headers) {
                        return answer;
                    }
                }
                view.answer(request.method(), uri.path(), headers).await
            }) as _
        });
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        // What operators request is not counted.
        let refusals = Arc::default();
        serve(listener, &limits, handler, refusals, Box::pin(shutdown), Duration::ZERO).await;
        Ok(())
    }

    /// Listens on this address.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|error| format!("cannot listen on {address} for operators: {error}"))
    }
}

/// Registers the time of the start, by which restarts are detected.
fn register_start(registry: &mut Registry) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "Start of the application, since 1970-01-01 UTC";
    let gauge = ConstGauge::new(now.as_secs_f64());
    registry.register_with_unit("process_start_time", help, Unit::Seconds, gauge);
}

impl View {
    async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        match path {
            "/metrics" | "/healthz" | "/readyz" | HEALTH_PATH
                if !matches!(*method, Method::GET | Method::HEAD) =>
            {
                method_not_allowed()
            }
            "/metrics" => self.metrics(),
            // Alive: every partition makes progress or has no records left.
            "/healthz" => report(self.stalled()),
            // Ready: alive, receiving records for each trigger, and able to write.
            "/readyz" => {
                let consuming = self.stalled() + &self.obstacles();
                report(consuming + &self.unwritable().await)
            }
            HEALTH_PATH => text(StatusCode::OK, TEXT, "OK".into()),
            letters::LIST_PATH | letters::REPLAY_PATH => match &self.letters {
                None => letters::not_served(),
                Some(service) if path == letters::LIST_PATH => service.list(method).await,
                Some(service) => service.replay(method, headers).await,
            },
            _ => text(StatusCode::NOT_FOUND, TEXT, "nothing is served here\n".into()),
        }
    }

    fn metrics(&self) -> Answer {
        match openmetrics::encode(&self.registry) {
            Ok(body) => text(StatusCode::OK, METRICS, body.into()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no metrics\n".into()),
        }
    }

    /// A line for each part of a trigger that makes no progress.
    fn stalled(&self) -> String {
        lines(self.triggers.iter().flat_map(|trigger| trigger.stalled()))
    }

    /// A line for each producer that cannot write.
    async fn unwritable(&self) -> String {
        let mut lines = String::new();
        for (component, producer) in &self.producers {
            if let Some(fault) = producer.fault().await {
                let component = component.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
                // Writing to a string cannot fail.
                let _ = writeln!(lines, "{component}{fault}");
            }
        }
        lines
    }

    /// A line for each reason why a trigger receives nothing.
    fn obstacles(&self) -> String {
        lines(self.triggers.iter().flat_map(|trigger| trigger.obstacles()))
    }
}

fn lines(problems: impl Iterator<Item = String>) -> String {
    problems.map(|problem| problem + "\n").collect()
}

fn report(problems: String) -> Answer {
    if problems.is_empty() {
        return text(StatusCode::OK, TEXT, "ok\n".into());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, problems.into())
}

fn method_not_allowed() -> Answer {
    let body = "only GET and HEAD are allowed here\n".into();
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, body);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

#[cfg(test)]
mod tests {
    use host_producer::{OutgoingRecord, Producer, ProducerConfig};

    use super::*;

    #[tokio::test]
    async fn a_producer_without_a_broker_for_its_record_is_not_ready() {
        let config =
            ProducerConfig { unreachable_timeout_ms: 100, ..ProducerConfig::new("127.0.0.1:1") };
        let producer = Producer::new(config).unwrap();
        let registry = Registry::default();
        let view = View {
            registry,
            producers: vec![(None, RecordProducer::Kafka(producer.clone()))],
            triggers: Vec::new(),
            letters: None,
        };
        let status = async |path| view.answer(&Method::GET, path, &HeaderMap::new()).await.status();
        assert_eq!(status("/readyz").await, StatusCode::OK, "nobody has used it");
        let record = OutgoingRecord { topic: "sales".into(), ..OutgoingRecord::default() };
        producer.send(vec![record]).await.unwrap_err();
        assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status("/healthz").await, StatusCode::OK, "a restart would not help");
        let unwritable = view.unwritable().await;
        assert_eq!(unwritable, "the producer cannot reach any Kafka broker of 127.0.0.1:1\n");
    }
}
