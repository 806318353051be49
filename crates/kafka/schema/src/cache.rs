//! The schemas that were fetched, by their ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::error::NoSchema;
use crate::registry::{Definition, Registry};
use crate::schema::Schema;
use crate::{Error, Metrics, SchemaConfig};

/// How long the answer that an id has no schema is kept.
const MISSING_TTL: Duration = Duration::from_secs(30);
/// How many bytes of schema texts are kept.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// First pause after a request that failed. The next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after a request that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The schemas of a registry. A schema is fetched when it is needed for the first time, by one
/// request however many callers need it.
pub(crate) struct Schemas {
    registry: Registry,
    slots: Mutex<Slots>,
    outage: Mutex<Option<Outage>>,
    metrics: Arc<Metrics>,
}

/// What is known of an id. The cell is empty until the registry has answered.
type Cell = Arc<OnceCell<Known>>;

struct Known {
    /// The schema, or why it cannot be used.
    schema: Result<Arc<Schema>, String>,
    text_bytes: usize,
    /// When the registry has to be asked again.
    until: Option<Instant>,
}

struct Slots {
    schemas_max: usize,
    entries: HashMap<u32, Entry>,
    /// Counts the uses.
    clock: u64,
}

struct Entry {
    cell: Cell,
    used: u64,
}

/// The time since the first request that failed. Until the pause is over, no request is made, so
/// that callers do not wait for a registry that does not answer.
struct Outage {
    until: Instant,
    pause: Duration,
    reason: String,
}

impl Schemas {
    pub fn new(config: SchemaConfig, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let schemas_max = config.schemas_max;
        let slots = Slots { schemas_max, entries: HashMap::new(), clock: 0 };
        let registry = Registry::new(config)?;
        Ok(Self { registry, slots: Mutex::new(slots), outage: Mutex::default(), metrics })
    }

    /// The schema of this id.
    pub async fn get(&self, id: u32) -> Result<Arc<Schema>, NoSchema> {
        let cell = lock(&self.slots).cell(id, Instant::now());
        let known = cell.get_or_try_init(|| self.fetch(id)).await?;
        known.schema.clone().map_err(NoSchema::Unusable)
    }

    async fn fetch(&self, id: u32) -> Result<Known, NoSchema> {
        self.check_outage(id)?;
        self.metrics.fetches.inc();
        match self.registry.fetch(id).await {
            Ok(definition) => {
                if lock(&self.outage).take().is_some() {
                    tracing::info!("the schema registry answers again");
                }
                Ok(Known::new(id, definition))
            }
            Err(reason) => {
                self.metrics.fetch_failures.inc();
                Err(self.begin_outage(id, &reason))
            }
        }
    }

    /// Fails while a pause lasts. The first caller after it may make a request, and the others wait
    /// for another pause.
    fn check_outage(&self, id: u32) -> Result<(), NoSchema> {
        let (mut outage, now) = (lock(&self.outage), Instant::now());
        let Some(outage) = outage.as_mut() else { return Ok(()) };
        if now < outage.until {
            return Err(unavailable(id, &outage.reason));
        }
        outage.until = now + outage.pause;
        Ok(())
    }

    fn begin_outage(&self, id: u32, reason: &str) -> NoSchema {
        let mut outage = lock(&self.outage);
        if outage.is_none() {
            tracing::warn!(
                id,
                reason,
                "the schema registry did not answer; only records with known schemas are handled"
            );
        }
        let pause = outage.as_ref().map_or(PAUSE, |outage| (2 * outage.pause).min(PAUSE_MAX));
        *outage = Some(Outage { until: Instant::now() + pause, pause, reason: reason.into() });
        unavailable(id, reason)
    }
}

impl Known {
    fn new(id: u32, definition: Option<Definition>) -> Self {
        let Some(definition) = definition else {
            return Self {
                schema: Err(format!("the registry has no schema with the id {id}")),
                text_bytes: 0,
                until: Some(Instant::now() + MISSING_TTL),
            };
        };
        let schema = Schema::new(&definition).map(Arc::new);
        let schema = schema.map_err(|reason| format!("schema {id} cannot be used: {reason}"));
        Self { schema, text_bytes: definition.schema.len(), until: None }
    }
}

impl Slots {
    /// The cell of this id. An expired one is replaced. A new one may displace others.
    fn cell(&mut self, id: u32, now: Instant) -> Cell {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(&id)
            && !entry.has_expired(now)
        {
            entry.used = self.clock;
            return entry.cell.clone();
        }
        let cell = Cell::default();
        self.entries.insert(id, Entry { cell: cell.clone(), used: self.clock });
        self.displace();
        cell
    }

    /// Removes entries until the rest is within the limits: those without a usable schema first,
    /// then those that were not used for the longest time.
    fn displace(&mut self) {
        let mut text_bytes: usize = self.entries.values().map(Entry::text_bytes).sum();
        while self.entries.len() > self.schemas_max
            || (text_bytes > TEXT_BYTES_MAX && self.entries.len() > 1)
        {
            let newest = self.clock;
            let others = self.entries.iter().filter(|(_, entry)| entry.used < newest);
            let first = others.min_by_key(|(_, entry)| (entry.is_usable(), entry.used));
            let Some(id) = first.map(|(id, _)| *id) else { return };
            let removed = self.entries.remove(&id);
            text_bytes -= removed.map_or(0, |entry| entry.text_bytes());
        }
    }
}

impl Entry {
    fn known(&self) -> Option<&Known> {
        self.cell.get()
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.known().and_then(|known| known.until).is_some_and(|until| until <= now)
    }

    fn is_usable(&self) -> bool {
        self.known().is_some_and(|known| known.schema.is_ok())
    }

    fn text_bytes(&self) -> usize {
        self.known().map_or(0, |known| known.text_bytes)
    }
}

fn unavailable(id: u32, reason: &str) -> NoSchema {
    NoSchema::Unavailable(format!(
        "schema {id} is not known yet, and the schema registry cannot be asked: {reason}"
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures::future::join_all;

    use super::*;
    use crate::test_registry::TestRegistry;

    fn slots(schemas_max: usize) -> Slots {
        Slots { schemas_max, entries: HashMap::new(), clock: 0 }
    }

    fn definition(schema: String) -> Option<Definition> {
        Some(Definition { schema, schema_type: Some("JSON".into()), references: None })
    }

    fn fill(slots: &mut Slots, id: u32, definition: Option<Definition>) {
        let cell = slots.cell(id, Instant::now());
        assert!(cell.set(Known::new(id, definition)).is_ok(), "{id} was known");
    }

    fn ids(slots: &Slots) -> Vec<u32> {
        let mut ids: Vec<u32> = slots.entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_usable_is_displaced_first_and_then_what_was_not_used() {
        let mut slots = slots(3);
        fill(&mut slots, 1, definition("true".into()));
        fill(&mut slots, 2, definition("true".into()));
        fill(&mut slots, 3, None);
        fill(&mut slots, 4, definition("{".into()));
        assert_eq!(ids(&slots), [1, 2, 4]);
        slots.cell(1, Instant::now());
        fill(&mut slots, 5, definition("true".into()));
        assert_eq!(ids(&slots), [1, 2, 5]);
        fill(&mut slots, 6, definition("true".into()));
        assert_eq!(ids(&slots), [1, 5, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_texts_of_the_schemas_are_limited_in_size() {
        let mut slots = slots(100);
        let text = format!(r#"{{"title":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX / 2));
        for id in 1..=3 {
            fill(&mut slots, id, definition(text.clone()));
        }
        slots.cell(4, Instant::now());
        assert_eq!(ids(&slots), [3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_schema_is_looked_up_again_after_a_time() {
        let mut slots = slots(3);
        fill(&mut slots, 1, None);
        let known = slots.cell(1, Instant::now());
        assert!(known.get().is_some_and(|known| known.schema.is_err()));
        tokio::time::advance(MISSING_TTL).await;
        assert!(slots.cell(1, Instant::now()).get().is_none());
    }
    #[tokio::test]
    async fn callers_share_a_request_and_do_not_wait_during_an_outage() {
        const SCHEMA: &str = r#"{"schemaType":"JSON","schema":"true"}"#;
        let server = TestRegistry::start(StatusCode::OK, SCHEMA).await;
        let metrics = Arc::<Metrics>::default();
        let schemas = Schemas::new(server.config(), metrics.clone()).unwrap();
        let known = join_all((0..20).map(|_| schemas.get(1))).await;
        assert!(known.iter().all(Result::is_ok));
        assert_eq!(metrics.fetches.get(), 1);

        server.answer(StatusCode::SERVICE_UNAVAILABLE, "");
        assert!(matches!(schemas.get(2).await, Err(NoSchema::Unavailable(_))));
        for id in 2..20 {
            let Err(NoSchema::Unavailable(reason)) = schemas.get(id).await else { panic!("{id}") };
            assert!(
                reason.contains(&format!("schema {id} ")) && reason.contains("503"),
                "{reason}"
            );
        }
        assert!(schemas.get(1).await.is_ok(), "it is known");
        assert_eq!((metrics.fetches.get(), metrics.fetch_failures.get()), (2, 1));

        server.answer(StatusCode::OK, SCHEMA);
        while schemas.get(2).await.is_err() {
            tokio::time::sleep(PAUSE / 10).await;
        }
        assert!(schemas.get(3).await.is_ok(), "the outage is over");
        assert_eq!((metrics.fetches.get(), metrics.fetch_failures.get()), (4, 1));
    }
}
