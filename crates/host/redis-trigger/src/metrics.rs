//! What is counted of the messages.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::handler::FailureClass;

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of all Redis triggers of an application. Those of the connection have the address of the
/// server as a label: two subscriptions to one server with other credentials are counted together.
#[derive(Clone)]
pub(crate) struct Metrics {
    connected: Family<Labels<1>, Gauge>,
    lost_connections: Family<Labels<1>, Counter>,
    waiting: Family<Labels<1>, Gauge>,
    messages: Family<Labels<2>, Counter>,
    dropped: Family<Labels<3>, Counter>,
    handled: Family<Labels<1>, Counter>,
    failures: Family<Labels<2>, Counter>,
    handler_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

/// The metrics of a connection.
#[derive(Debug, Clone)]
pub(crate) struct ServerMetrics {
    /// The open subscriptions.
    pub connected: Gauge,
    /// Lost connections, and failed attempts to connect.
    pub lost_connections: Counter,
    /// Messages that wait.
    pub waiting: Gauge,
}

/// The metrics of a channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelMetrics {
    /// Messages that were received, including those that were dropped.
    pub messages: Counter,
    dropped: [Counter; DropReason::ALL.len()],
}

/// The metrics of a component.
#[derive(Debug, Clone)]
pub(crate) struct ComponentMetrics {
    /// Messages that the component handled.
    pub handled: Counter,
    failures: [Counter; FailureClass::ALL.len()],
    /// The time that the component took for a message.
    pub handler_seconds: Histogram,
}

/// Why a message was not passed to its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// Its payload is too long.
    TooLong,
    /// Too many messages wait.
    QueueFull,
    /// The program ended.
    Stopped,
}

impl DropReason {
    pub(crate) const ALL: [Self; 3] = [Self::TooLong, Self::QueueFull, Self::Stopped];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::QueueFull => "queue-full",
            Self::Stopped => "stopped",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connected: Family::default(),
            lost_connections: Family::default(),
            waiting: Family::default(),
            messages: Family::default(),
            dropped: Family::default(),
            handled: Family::default(),
            failures: Family::default(),
            // From 0.1 ms to 26 s.
            handler_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_1, 4.0, 10))
            }),
        }
    }
}

impl Metrics {
    /// Those of the connection to this server.
    pub fn server(&self, server: &str) -> ServerMetrics {
        let labels = [("server", server.to_owned())];
        ServerMetrics {
            connected: self.connected.get_or_create_owned(&labels),
            lost_connections: self.lost_connections.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
        }
    }

    /// Those of this channel.
    pub fn channel(&self, server: &str, channel: &str) -> ChannelMetrics {
        let labels = [("server", server.to_owned()), ("channel", channel.to_owned())];
        let dropped = |reason: DropReason| {
            let [server, channel] = labels.clone();
            let labels = [server, channel, ("reason", reason.name().to_owned())];
            self.dropped.get_or_create_owned(&labels)
        };
        ChannelMetrics {
            messages: self.messages.get_or_create_owned(&labels),
            dropped: DropReason::ALL.map(dropped),
        }
    }

    /// Those of this component.
    pub fn component(&self, component: &str) -> ComponentMetrics {
        let labels = [("component", component.to_owned())];
        let failures = |class: FailureClass| {
            let [component] = labels.clone();
            self.failures.get_or_create_owned(&[component, ("class", class.name().to_owned())])
        };
        ComponentMetrics {
            handled: self.handled.get_or_create_owned(&labels),
            failures: FailureClass::ALL.map(failures),
            handler_seconds: self.handler_seconds.get_or_create_owned(&labels),
        }
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_redis");
        registry.register(
            "connected",
            "Connections whose channels are subscribed to",
            self.connected.clone(),
        );
        let help = "Lost connections and failed attempts to connect";
        registry.register("lost_connections", help, self.lost_connections.clone());
        registry.register(
            "messages_waiting",
            "Received messages that wait for the one that is handled",
            self.waiting.clone(),
        );
        let help = "Received messages, including those that were dropped";
        registry.register("messages", help, self.messages.clone());
        let help = "Received messages that were not passed to the components, or not completely";
        registry.register("dropped_messages", help, self.dropped.clone());
        let help = "Messages that the component handled";
        registry.register("handled_messages", help, self.handled.clone());
        let help = "Messages for which the component failed";
        registry.register("failed_messages", help, self.failures.clone());
        let help = "Time that the component took for a message, with the wait for its instance";
        let histogram = self.handler_seconds.clone();
        registry.register_with_unit("handler", help, Unit::Seconds, histogram);
    }
}

impl ChannelMetrics {
    /// Counts a message that was dropped.
    pub fn drop_message(&self, reason: DropReason) {
        if let Some(count) = self.dropped.get(reason as usize) {
            count.inc();
        }
    }

    /// The messages that were dropped for this reason.
    #[cfg(test)]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).map_or(0, Counter::get)
    }
}

impl ComponentMetrics {
    /// Counts a message that was not handled.
    pub fn fail(&self, class: FailureClass) {
        if let Some(count) = self.failures.get(class as usize) {
            count.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_and_class_has_its_own_counter() {
        let metrics = Metrics::default();
        let (channel, component) = (metrics.channel("h:1", "c"), metrics.component("a"));
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| channel.drop_message(reason));
        }
        for (index, class) in FailureClass::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| component.fail(class));
        }
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let dropped = ["too-long", "queue-full", "stopped"].map(|reason| {
            format!("dropped_messages_total{{server=\"h:1\",channel=\"c\",reason=\"{reason}\"}}")
        });
        let failed = ["error", "trap", "memory", "deadline", "unavailable"]
            .map(|class| format!("failed_messages_total{{component=\"a\",class=\"{class}\"}}"));
        for (index, name) in dropped.iter().enumerate().chain(failed.iter().enumerate()) {
            let line = format!("spin_redis_{name} {}", index + 1);
            assert!(text.lines().any(|found| found == line), "`{line}` is not in:\n{text}");
        }
    }
}
