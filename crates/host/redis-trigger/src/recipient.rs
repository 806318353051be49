//! A component that gets the messages of channels, and what becomes of them.

use std::sync::Arc;

use component_host::Host;
use tokio::time::Instant;

use crate::Error;
use crate::handler::{Failure, MessageHandler};
use crate::limits::HANDLER_LIMIT;
use crate::metrics::{ComponentMetrics, Metrics};
use crate::report::{Report, shortened};

/// A component with its metrics. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recipient(Arc<Shared>);

struct Shared {
    component: String,
    handler: MessageHandler,
    metrics: ComponentMetrics,
    report: Report,
}

impl Recipient {
    /// Fails if the component is not loaded, or exports no handler.
    pub fn new(host: &Host, component: &str, metrics: &Metrics) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            component: component.into(),
            handler: MessageHandler::find(host, component, HANDLER_LIMIT)?,
            metrics: metrics.component(component),
            report: Report::default(),
        })))
    }

    /// The handler, which can be given another build of the component at run time.
    pub fn handler(&self) -> MessageHandler {
        self.0.handler.clone()
    }

    /// Passes a message to the component. A failure is counted and logged: the message is not repeated.
    pub async fn handle(&self, channel: &str, payload: &[u8]) {
        let Shared { component, handler, metrics, report } = &*self.0;
        let begun = Instant::now();
        let handled = handler.handle(channel, payload).await;
        metrics.handler_seconds.observe(begun.elapsed().as_secs_f64());
        let Err(Failure { class, reason }) = handled else {
            metrics.handled.inc();
            return;
        };
        metrics.fail(class);
        if let Some(messages) = report.occurrences() {
            tracing::warn!(
                component,
                channel,
                messages,
                class = class.name(),
                reason = shortened(&reason),
                "messages were not handled; they are not repeated"
            );
        }
    }
}
