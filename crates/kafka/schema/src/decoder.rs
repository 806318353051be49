//! Decodes the values of a batch.

use std::collections::HashSet;
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
/// The task yields after this many bytes of values, too.
const BYTES_AT_ONCE: usize = 256 * 1024;
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
    /// The offsets of the records that a filter dropped.
    pub filtered: Vec<i64>,
}

/// Why a value was not decoded.
enum Misfit {
    /// The value, or its schema.
    Value(String),
    /// The schema cannot be fetched at this time.
    Unavailable(String),
    /// The settings name a schema that cannot be used.
    Settings(String),
    /// The value fits, and is too large together with those before it.
    Batch,
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
    ///
    /// All schemas of a batch are requested before it fails: if many are missing, the time in which
    /// they may appear is the same for all.
    pub async fn decode(&self, batch: &Batch) -> Result<Decoded, Failure> {
        let mut records = Vec::with_capacity(batch.records.len());
        let (mut misfits, mut filtered) = (Vec::new(), Vec::new());
        let (mut last, mut bytes) = (None, 0);
        let (mut records_at_once, mut bytes_at_once) = (0, 0);
        for (number, record) in batch.records.iter().enumerate() {
            if records_at_once == RECORDS_AT_ONCE || bytes_at_once > BYTES_AT_ONCE {
                tokio::task::yield_now().await;
                (records_at_once, bytes_at_once) = (0, 0);
            }
            let json = self.json(record, self.decoded_bytes_max - bytes, &mut last).await;
            let decoded = json.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
            bytes_at_once += decoded + record.value.as_ref().map_or(0, Bytes::len);
            records_at_once += 1;
            let json = match json {
                Ok(json) => json,
                Err(Misfit::Settings(reason)) => return Err(Failure::Fatal(reason)),
                Err(Misfit::Unavailable(reason)) => {
                    self.request_schemas(batch.records.get(number + 1..).unwrap_or_default()).await;
                    return Err(Failure::Retry(reason));
                }
                Err(Misfit::Batch) => {
                    let max = self.decoded_bytes_max;
                    let reason =
                        format!("its decoded values exceed {max} bytes (decoded_bytes_max)");
                    return Err(Failure::Memory(reason));
                }
                Err(Misfit::Value(mut reason)) => {
                    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
                    misfits.push(Rejection { offset: record.offset, reason });
                    continue;
                }
            };
            let mut decoded = Message { value: json, ..record.clone() };
            if !passes(&self.filters, &decoded) {
                filtered.push(record.offset);
                continue;
            }
            match self.mode {
                Mode::Decode => bytes += decoded.value.as_ref().map_or(0, Bytes::len),
                Mode::Validate => decoded.value.clone_from(&record.value),
            }
            records.push(decoded);
        }
        Ok(Decoded { records, misfits, filtered })
    }

    /// Requests the schemas of these records.
    async fn request_schemas(&self, records: &[Message]) {
        let values = records.iter().filter_map(|record| record.value.as_ref());
        let ids: HashSet<u32> = values.filter_map(frame::split).map(|(id, _)| id).collect();
        for id in ids {
            // The next attempt gets the result.
            let _ = self.schemas.get(id).await;
        }
    }

    /// The value of a record as JSON of at most `bytes_max` bytes; `None` for a tombstone. `last` is
    /// the last schema that was used: most records have the same one.
    async fn json(
        &self,
        message: &Message,
        bytes_max: usize,
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
                NoSchema::Settings(reason) => Misfit::Settings(reason),
            })?,
        };
        let mut decoded = schema.decode(&payload, bytes_max);
        if decoded.is_err() && bytes_max < self.decoded_bytes_max {
            // Only what fits alone is a reason to divide the batch.
            decoded = schema.decode(&payload, self.decoded_bytes_max);
            if decoded.is_ok() {
                return Err(Misfit::Batch);
            }
        }
        *last = Some((id, schema));
        decoded.map(Some).map_err(|reason| {
            Misfit::Value(format!("the value does not fit schema {id}: {reason}"))
        })
    }
}
