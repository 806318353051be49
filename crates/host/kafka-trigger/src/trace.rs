//! OpenTelemetry spans: one for each batch, and one for each traced record in it, which continues
//! the trace in the record's `traceparent` header.
//!
//! No span is created and no header is read unless a subscriber enables [`TARGET`].

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use spin_kafka_trigger::{Batch, Message};
use tracing::field::Empty;
use tracing::{Span, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of the spans. Their level is TRACE, so that a log does not contain them unless it is
/// configured to.
pub const TARGET: &str = "spin_kafka::otel";

/// The most records of a batch that get their own span; the span of the batch covers the others.
const RECORD_SPANS_MAX: usize = 64;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Where the records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagingSystem {
    /// A topic of Kafka.
    Kafka,
    /// A queue of RabbitMQ. The offset of a record is the number of its delivery.
    RabbitMq,
}

impl MessagingSystem {
    /// The value of `messaging.system` in the semantic conventions.
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::RabbitMq => "rabbitmq",
        }
    }

    /// Adds the record's number to its span.
    fn number(self, span: &Span, offset: i64) {
        let field = match self {
            Self::Kafka => "messaging.kafka.offset",
            Self::RabbitMq => "messaging.rabbitmq.message.delivery_tag",
        };
        span.record(field, offset);
    }
}

/// The spans of a batch, according to the semantic conventions for messaging. They end when this is
/// dropped.
pub(crate) struct BatchSpans {
    /// The span of the whole batch.
    pub batch: Span,
    _records: Vec<Span>,
}

impl BatchSpans {
    pub fn new(system: MessagingSystem, component: &str, batch: &Batch) -> Self {
        let span = trace_span!(
            target: TARGET,
            "process",
            otel.name = format!("process {}", batch.topic),
            otel.kind = "consumer",
            messaging.system = system.name(),
            messaging.operation.type = "process",
            messaging.destination.name = %batch.topic,
            messaging.destination.partition.id = batch.partition,
            messaging.kafka.offset = Empty,
            messaging.rabbitmq.message.delivery_tag = Empty,
            messaging.batch.message_count = batch.records.len(),
            component,
        );
        if span.is_disabled() {
            return Self { batch: span, _records: Vec::new() };
        }
        system.number(&span, batch.start);
        let traced = batch.records.iter().filter_map(|message| Some((message, origin(message)?)));
        let records = traced
            .take(RECORD_SPANS_MAX)
            .map(|(message, origin)| {
                span.add_link(origin.clone());
                record(system, component, batch, message, origin)
            })
            .collect();
        Self { batch: span, _records: records }
    }
}

/// The span of one record, as a child of the span that wrote the record.
fn record(
    system: MessagingSystem,
    component: &str,
    batch: &Batch,
    message: &Message,
    origin: SpanContext,
) -> Span {
    let span = trace_span!(
        target: TARGET,
        parent: None,
        "record",
        otel.name = format!("process {}", batch.topic),
        otel.kind = "consumer",
        messaging.system = system.name(),
        messaging.operation.type = "process",
        messaging.destination.name = %batch.topic,
        messaging.destination.partition.id = batch.partition,
        messaging.kafka.offset = Empty,
        messaging.rabbitmq.message.delivery_tag = Empty,
        component,
    );
    system.number(&span, message.offset);
    let context = opentelemetry::Context::new().with_remote_span_context(origin);
    // It fails only if the span has no OpenTelemetry layer.
    let _ = span.set_parent(context);
    span
}

/// The context of the span that wrote the record, if its trace is sampled.
fn origin(message: &Message) -> Option<SpanContext> {
    let header = |name: &str| {
        let header = message.headers.iter().find(|header| &*header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok().map(str::to_owned)
    };
    let mut carrier = std::collections::HashMap::new();
    carrier.insert(TRACEPARENT.to_owned(), header(TRACEPARENT)?);
    carrier.extend(header(TRACESTATE).map(|state| (TRACESTATE.to_owned(), state)));
    let context = TraceContextPropagator::new().extract(&carrier);
    let origin = context.span().span_context().clone();
    (origin.is_valid() && origin.is_sampled()).then_some(origin)
}
