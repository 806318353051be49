//! A component that gets the messages of channels, and what becomes of them.

use std::sync::Arc;

use component_host::Host;
use tokio::time::Instant;

use crate::Error;
use crate::handler::{Failure, FailureClass, MessageHandler};
use crate::limits::HANDLER_LIMIT;
use crate::metrics::{ComponentMetrics, Metrics};
use crate::report::{Report, shortened};

/// What gets the messages of channels.
pub(crate) trait Recipient: Send + Sync + 'static {
    /// Handles a message. Failures are handled here: the message is not repeated.
    fn handle(&self, channel: &str, payload: &[u8]) -> impl Future<Output = ()> + Send;
}

/// A component with its metrics. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ComponentRecipient(Arc<Shared>);

struct Shared {
    component: String,
    handler: MessageHandler,
    metrics: ComponentMetrics,
    /// The failures of each class, with the channel and the reason.
    failures: [Report<(String, String)>; FailureClass::ALL.len()],
}

impl ComponentRecipient {
    /// Fails if the component is not loaded, or exports no handler.
    pub fn new(host: &Host, component: &str, metrics: &Metrics) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            component: component.into(),
            handler: MessageHandler::find(host, component, HANDLER_LIMIT)?,
            metrics: metrics.component(component),
            failures: Default::default(),
        })))
    }

    /// The handler, which can be given another build of the component at run time.
    pub fn handler(&self) -> MessageHandler {
        self.0.handler.clone()
    }

    /// Logs the failures since the last call.
    pub fn log_failures(&self) {
        for (class, report) in FailureClass::ALL.into_iter().zip(&self.0.failures) {
            if let Some((messages, (channel, reason))) = report.take() {
                tracing::warn!(
                    component = self.0.component,
                    channel,
                    messages,
                    class = class.name(),
                    reason,
                    "messages were not handled; they are not repeated"
                );
            }
        }
    }
}

impl Recipient for ComponentRecipient {
    /// A failure is counted, and logged later.
    async fn handle(&self, channel: &str, payload: &[u8]) {
        let Shared { handler, metrics, failures, .. } = &*self.0;
        let begun = Instant::now();
        let handled = handler.handle(channel, payload).await;
        metrics.handler_seconds.observe(begun.elapsed().as_secs_f64());
        let Err(Failure { class, reason }) = handled else {
            metrics.handled.inc();
            return;
        };
        metrics.fail(class);
        if let Some(report) = failures.get(class as usize) {
            report.add((channel.into(), shortened(&reason).into()));
        }
    }
}
