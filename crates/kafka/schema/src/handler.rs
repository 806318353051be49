//! A handler that passes on the records that fit their schemas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spin_kafka_trigger::{Batch, Config, Failure, Field, Filter, Handler, Position, Rejection};

use crate::decoder::{Decoded, Decoder};
use crate::{Error, Metrics, SchemaConfig};

/// A handler that passes on the records that fit their schemas to another handler. Without a
/// registry it passes on everything.
pub struct SchemaHandler<H> {
    inner: H,
    decoder: Option<Decoder>,
    metrics: Arc<Metrics>,
    /// Whether the inner handler keeps its position. Only such a handler gets a batch without
    /// records.
    keeps_position: AtomicBool,
}

impl<H> SchemaHandler<H> {
    /// Encloses a handler. If a registry is configured, the conditions on fields are taken out of
    /// the engine's settings, because the engine would apply them before the values are decoded.
    pub fn new(
        inner: H,
        registry: Option<SchemaConfig>,
        engine: &mut Config,
    ) -> Result<Self, Error> {
        let metrics = Arc::<Metrics>::default();
        let decoder = registry.map(|registry| {
            let is_on_field = |filter: &mut Filter| matches!(filter.on, Field::Json(_));
            let filters = engine.filters.extract_if(.., is_on_field).collect();
            Decoder::new(registry, filters, metrics.clone())
        });
        let keeps_position = AtomicBool::new(true);
        Ok(Self { inner, decoder: decoder.transpose()?, metrics, keeps_position })
    }

    /// The metrics, which remain 0 without a registry.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }
}

impl<H: Handler> Handler for SchemaHandler<H> {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let Some(decoder) = &self.decoder else { return self.inner.handle(batch).await };
        let Decoded { records, misfits: mut rejections, filtered } = decoder.decode(batch).await?;
        let misfits = rejections.len() as u64;
        if !records.is_empty() || self.keeps_position.load(Ordering::Relaxed) {
            let decoded = Batch {
                topic: batch.topic.clone(),
                log_id: batch.log_id.clone(),
                group: batch.group.clone(),
                records,
                ..*batch
            };
            let rejected = self.inner.handle(&decoded).await?;
            check(&decoded, &rejected)?;
            rejections.extend(rejected);
        }
        self.metrics.misfits.inc_by(misfits);
        self.metrics.filtered.inc_by(filtered);
        Ok(rejections)
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        let position = self.inner.position(group, topic, log_id, partition).await?;
        self.keeps_position.store(position != Position::Committed, Ordering::Relaxed);
        Ok(position)
    }
}

/// Fails if the handler rejects a record that it did not get. The engine knows the whole batch, and
/// would give up another record.
fn check(batch: &Batch, rejected: &[Rejection]) -> Result<(), Failure> {
    for Rejection { offset, .. } in rejected {
        if batch.records.binary_search_by_key(offset, |record| record.offset).is_err() {
            let reason = format!("the handler rejects offset {offset}, which it did not get");
            return Err(Failure::Fatal(reason));
        }
    }
    Ok(())
}
