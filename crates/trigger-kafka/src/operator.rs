//! What operators ask: `/metrics`, `/healthz`, `/readyz`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use spin_kafka_trigger::Progress;
use tokio::net::TcpListener;

use crate::KafkaTrigger;

/// OpenMetrics, as Prometheus reads it.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The path that answers `OK` while the process lives, as in Spin.
const HEALTH_PATH: &str = "/.well-known/spin/health";

/// The operators' view of the Kafka triggers of a process. Cheap to clone.
#[derive(Clone)]
pub struct Operator(Arc<View>);

struct View {
    registry: Registry,
    triggers: Vec<(String, Arc<Progress>)>,
}

impl Operator {
    /// The view of these triggers.
    pub fn new(triggers: &[KafkaTrigger]) -> Self {
        let mut registry = Registry::default();
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
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route(HEALTH_PATH, get(async || "OK"))
            .route("/readyz", get(readyz))
            .with_state(self.0);
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }

    /// Listens on this address.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|error| format!("cannot listen on {address} for operators: {error}"))
    }
}

impl View {
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

    /// A line for each topic and each partition that nobody in a trigger's group reads.
    fn unread(&self) -> String {
        let mut lines = String::new();
        for (component, progress) in &self.triggers {
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

async fn metrics(State(view): State<Arc<View>>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &view.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Alive: every partition moves, or has nothing left.
async fn healthz(State(view): State<Arc<View>>) -> Response {
    verdict(view.stalled())
}

/// Ready: alive, a member of each group, and every partition of its topics has a reader.
async fn readyz(State(view): State<Arc<View>>) -> Response {
    verdict(view.stalled() + &view.outside() + &view.unread())
}

fn verdict(complaints: String) -> Response {
    if complaints.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, complaints).into_response()
}
