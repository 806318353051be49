//! The schema for which the component was written.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::Metrics;
use crate::avro::{AvroReader, AvroSchema};
use crate::references::References;
use crate::registry::{FetchError, Registry, Version};

/// The Avro schema for which the component was written.
pub(crate) enum Reader {
    /// The settings contain the schema.
    Given(Arc<AvroReader>),
    /// The schema is in the registry. It is fetched when it is needed for the first time.
    Version(Version, OnceCell<Arc<AvroReader>>),
}

impl Reader {
    /// The schema. It is fetched once, because a version never changes.
    pub async fn get(
        &self,
        registry: &Registry,
        references: &References,
        metrics: &Metrics,
    ) -> Result<Arc<AvroReader>, FetchError> {
        let (version, schema) = match self {
            Self::Given(schema) => return Ok(schema.clone()),
            Self::Version(version, schema) => (version, schema),
        };
        let fetch = async {
            let definition = metrics.count(registry.fetch_version(version).await)?;
            let bundle = references.resolve(registry, definition).await?;
            if !bundle.definition.is_avro() {
                return Err(FetchError::Unusable(format!("{version} is no Avro schema")));
            }
            // This may take longer than a task may occupy its thread.
            let reader = tokio::task::spawn_blocking(move || {
                AvroSchema::of(&bundle).and_then(AvroReader::new)
            });
            let reader = reader.await.unwrap_or_else(|error| Err(error.to_string()));
            reader.map(Arc::new).map_err(FetchError::Unusable)
        };
        let reader = schema.get_or_try_init(|| fetch).await;
        reader.cloned().map_err(|error| match error {
            // Every record would be given up because of a wrong setting.
            FetchError::Missing(reason) | FetchError::Unusable(reason) => {
                FetchError::Settings(format!("schema.reader_version: {reason}"))
            }
            error => error,
        })
    }
}
