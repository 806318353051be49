//! Decodes the values of a batch.

use std::sync::Arc;

use bytes::Bytes;
use spin_kafka_trigger::{Batch, Failure, Filter, Message, Rejection, passes};

use crate::cache::Schemas;
use crate::error::NoSchema;
use crate::frame;
use crate::schema::Schema;
use crate::{Error, Metrics, Mode, SchemaConfig};

/// The task yields after this many records, so that other tasks of the thread continue.
const RECORDS_AT_ONCE: usize = 64;
/// The longest reason.
const REASON_BYTES_MAX: usize = 500;

/// Decodes the values of batches.
pub(crate) struct Decoder {
    schemas: Schemas,
    mode: Mode,
    decoded_bytes_max: usize,
    /// The conditions on fields, which are met by decoded values only.
    filters: Vec<Filter>,
}

/// The part of a batch that fits.
pub(crate) struct Decoded {
    pub records: Vec<Message>,
    /// The records whose values do not fit.
    pub misfits: Vec<Rejection>,
    /// Number of records that a filter dropped.
    pub filtered: u64,
}

/// Why a value was not decoded.
enum Misfit {
    /// The value, or its schema.
    Value(String),
    /// The schema cannot be fetched at this time.
    Unavailable(String),
}

impl Decoder {
    pub fn new(
        config: SchemaConfig,
        filters: Vec<Filter>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        config.validate()?;
        let SchemaConfig { mode, decoded_bytes_max, .. } = config;
        let schemas = Schemas::new(config, metrics)?;
        Ok(Self { schemas, mode, decoded_bytes_max, filters })
    }

    /// Decodes the values of a batch. Fails with a retry while a schema cannot be fetched, and so
    /// that the batch is divided if its decoded values are too large.
    pub async fn decode(&self, batch: &Batch) -> Result<Decoded, Failure> {
        let (mut records, mut misfits) = (Vec::with_capacity(batch.records.len()), Vec::new());
        let (mut last, mut filtered, mut bytes) = (None, 0, 0);
        for (count, record) in batch.records.iter().enumerate() {
            if count % RECORDS_AT_ONCE == RECORDS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let json = match self.json(record, &mut last).await {
                Ok(json) => json,
                Err(Misfit::Unavailable(reason)) => return Err(Failure::Retry(reason)),
                Err(Misfit::Value(mut reason)) => {
                    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
                    misfits.push(Rejection { offset: record.offset, reason });
                    continue;
                }
            };
            let mut decoded = Message { value: json, ..record.clone() };
            if !passes(&self.filters, &decoded) {
                filtered += 1;
                continue;
            }
            match self.mode {
                Mode::Decode => bytes += decoded.value.as_ref().map_or(0, Bytes::len),
                Mode::Validate => decoded.value.clone_from(&record.value),
            }
            if bytes > self.decoded_bytes_max {
                let max = self.decoded_bytes_max;
                let reason = format!("its decoded values exceed {max} bytes (decoded_bytes_max)");
                return Err(Failure::Memory(reason));
            }
            records.push(decoded);
        }
        Ok(Decoded { records, misfits, filtered })
    }

    /// The value of a record as JSON; `None` for a tombstone. `last` is the last schema that was
    /// used: most records have the same one.
    async fn json(
        &self,
        message: &Message,
        last: &mut Option<(u32, Arc<Schema>)>,
    ) -> Result<Option<Bytes>, Misfit> {
        let Some(value) = &message.value else { return Ok(None) };
        let Some((id, payload)) = frame::split(value) else {
            return Err(Misfit::Value("the value does not begin with the id of a schema".into()));
        };
        let schema = match last {
            Some((last, schema)) if *last == id => schema.clone(),
            _ => self.schemas.get(id).await.map_err(|reason| match reason {
                NoSchema::Unavailable(reason) => Misfit::Unavailable(reason),
                NoSchema::Unusable(reason) => Misfit::Value(reason),
            })?,
        };
        let decoded = schema.decode(&payload, self.decoded_bytes_max);
        *last = Some((id, schema));
        decoded.map(Some).map_err(|reason| {
            Misfit::Value(format!("the value does not fit schema {id}: {reason}"))
        })
    }
}
