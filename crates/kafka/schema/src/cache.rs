//! The schemas that were fetched, by their ids.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::error::NoSchema;
use crate::protobuf::JsonForm;
use crate::reader::Reader;
use crate::references::References;
use crate::registry::{FetchError, Registry};
use crate::schema::{Schema, Source};
use crate::{Error, Metrics, SchemaConfig};

/// How long the answer that an id has no usable schema is kept.
const UNUSABLE_TTL: Duration = Duration::from_secs(30);
/// How many bytes of schema texts are kept.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest pause after a request that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How many ids without a schema are remembered.
const MISSING_MAX: usize = 10_000;
/// How long they are remembered, if there are more.
const MISSING_KEPT: Duration = Duration::from_secs(600);

/// The schemas of a registry. A schema is fetched when it is needed for the first time, by one
/// request however many callers need it.
pub(crate) struct Schemas {
    registry: Registry,
    references: References,
    reader: Option<Reader>,
    json: JsonForm,
    pauses: Pauses,
    slots: Mutex<Slots>,
    missing: Mutex<Missing>,
    outage: Mutex<Option<Outage>>,
    metrics: Arc<Metrics>,
}

/// How long no request is made.
#[derive(Clone, Copy)]
struct Pauses {
    /// After the first failure of the registry. The next pause is twice as long.
    outage: Duration,
    /// After a failure with one id.
    id: Duration,
    /// An id is missing only if it is still missing after this time. The registry may have several
    /// nodes, of which some do not know a new schema yet.
    missing: Duration,
    /// The longest request.
    request: Duration,
}

/// What is known of an id. The cell is empty until the registry has answered.
type Cell = Arc<OnceCell<Known>>;

struct Known {
    /// The schema, or why there is none.
    schema: Result<Arc<Schema>, NoSchema>,
    /// The size of the schema's text.
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

/// When the registry answered for the first time that it has no schema with these ids.
#[derive(Default)]
struct Missing(HashMap<u32, Instant>);

/// The time since the first request that failed. Until the pause is over, no request is made, so
/// that callers do not wait for a registry that does not answer.
struct Outage {
    failed: Instant,
    until: Instant,
    pause: Duration,
    reason: String,
}

impl Schemas {
    pub fn new(config: SchemaConfig, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let pauses = Pauses {
            outage: Duration::from_millis(100),
            id: Duration::from_secs(1),
            missing: Duration::from_secs(1),
            request: config.timeout(),
        };
        Self::with_pauses(config, metrics, pauses)
    }

    fn with_pauses(
        config: SchemaConfig,
        metrics: Arc<Metrics>,
        pauses: Pauses,
    ) -> Result<Self, Error> {
        let schemas_max = config.schemas_max;
        let slots = Slots { schemas_max, entries: HashMap::new(), clock: 0 };
        let (reader, json) = (config.reader()?, config.protobuf_json());
        let registry = Registry::new(config)?;
        let references = References::new(metrics.clone());
        let (slots, missing, outage) = (Mutex::new(slots), Mutex::default(), Mutex::default());
        Ok(Self { registry, references, reader, json, pauses, slots, missing, outage, metrics })
    }

    /// The schema of this id.
    pub async fn get(&self, id: u32) -> Result<Arc<Schema>, NoSchema> {
        let cell = lock(&self.slots).cell(id, Instant::now());
        if let Some(known) = cell.get() {
            return known.schema.clone();
        }
        let schema = cell.get_or_try_init(|| self.fetch(id)).await.map(|known| &known.schema);
        let schema = schema.cloned().and_then(|schema| schema);
        drop(cell);
        lock(&self.slots).displace();
        schema
    }

    /// Fails while the registry cannot be asked.
    async fn fetch(&self, id: u32) -> Result<Known, NoSchema> {
        let started = Instant::now();
        self.check_outage(id, started)?;
        let fetched = self.load(id).await;
        if let Err(FetchError::Outage(reason)) = &fetched {
            return Err(self.begin_outage(id, reason, started));
        }
        if lock(&self.outage).take().is_some() {
            tracing::info!("the schema registry answers again");
        }
        if fetched.is_ok() {
            lock(&self.missing).0.remove(&id);
        }
        let now = Instant::now();
        Ok(match fetched {
            Ok(source) => Known::new(id, source).await,
            Err(FetchError::Missing(reason)) => self.missing(id, reason, now),
            Err(FetchError::Settings(reason)) => return Err(NoSchema::Settings(reason)),
            Err(FetchError::Unusable(reason)) => Known::unusable(cannot_be_used(id, &reason), now),
            Err(FetchError::Failed(reason) | FetchError::Outage(reason)) => {
                tracing::warn!(id, reason, "the schema registry failed with one schema");
                Known::none(unavailable(id, &reason), now + self.pauses.id)
            }
        })
    }

    /// Fetches what is needed to use the schema of this id.
    async fn load(&self, id: u32) -> Result<Source, FetchError> {
        let definition = self.metrics.count(self.registry.fetch(id).await)?;
        let bundle = self.references.resolve(&self.registry, definition).await?;
        let reader = match &self.reader {
            Some(reader) if bundle.definition.is_avro() => {
                Some(reader.get(&self.registry, &self.references, &self.metrics).await?)
            }
            _ => None,
        };
        Ok(Source { bundle, reader, json: self.json })
    }

    fn missing(&self, id: u32, reason: String, now: Instant) -> Known {
        let Some(since) = lock(&self.missing).since(id, now) else {
            return Known::unusable(reason, now);
        };
        let until = since + self.pauses.missing;
        if now < until {
            Known::none(NoSchema::Unavailable(format!("{reason}, at least not yet")), until)
        } else {
            Known::unusable(reason, now)
        }
    }

    /// Fails while a pause lasts. The first caller after it may make a request, and the others wait
    /// for its result.
    fn check_outage(&self, id: u32, now: Instant) -> Result<(), NoSchema> {
        let mut outage = lock(&self.outage);
        let Some(outage) = outage.as_mut() else { return Ok(()) };
        if now < outage.until {
            return Err(unavailable(id, &outage.reason));
        }
        outage.until = now + self.pauses.request + outage.pause;
        Ok(())
    }

    /// Notes that a request failed. Requests that were made at the same time count as one.
    fn begin_outage(&self, id: u32, reason: &str, started: Instant) -> NoSchema {
        let mut outage = lock(&self.outage);
        let pause = match outage.as_ref() {
            Some(outage) if started <= outage.failed => return unavailable(id, reason),
            Some(outage) => (2 * outage.pause).min(PAUSE_MAX),
            None => {
                tracing::warn!(
                    id,
                    reason,
                    "the schema registry did not answer; only records with known schemas are \
                     handled"
                );
                self.pauses.outage
            }
        };
        let failed = Instant::now();
        *outage = Some(Outage { failed, until: failed + pause, pause, reason: reason.into() });
        unavailable(id, reason)
    }
}

impl Known {
    /// Prepares a schema, on a thread that may be occupied for a longer time.
    async fn new(id: u32, source: Source) -> Self {
        let text_bytes = source.bundle.text_bytes();
        let schema = tokio::task::spawn_blocking(move || Schema::new(&source)).await;
        match schema.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(schema) => Self { schema: Ok(Arc::new(schema)), text_bytes, until: None },
            Err(reason) => Self::unusable(cannot_be_used(id, &reason), Instant::now()),
        }
    }

    fn unusable(reason: String, now: Instant) -> Self {
        Self::none(NoSchema::Unusable(reason), now + UNUSABLE_TTL)
    }

    fn none(reason: NoSchema, until: Instant) -> Self {
        Self { schema: Err(reason), text_bytes: 0, until: Some(until) }
    }
}

impl Missing {
    /// When the id was missing for the first time; `None` if too many ids are missing.
    fn since(&mut self, id: u32, now: Instant) -> Option<Instant> {
        let Self(ids) = self;
        if ids.len() >= MISSING_MAX && !ids.contains_key(&id) {
            ids.retain(|_, since| now.duration_since(*since) < MISSING_KEPT);
        }
        let is_full = ids.len() >= MISSING_MAX;
        match ids.entry(id) {
            MapEntry::Occupied(since) => Some(*since.get()),
            MapEntry::Vacant(_) if is_full => None,
            MapEntry::Vacant(vacant) => Some(*vacant.insert(now)),
        }
    }
}

impl Slots {
    /// The cell of this id. An expired one is replaced.
    fn cell(&mut self, id: u32, now: Instant) -> Cell {
        self.clock += 1;
        let used = self.clock;
        let entry = self.entries.entry(id).or_insert_with(|| Entry { cell: Cell::default(), used });
        if entry.has_expired(now) {
            entry.cell = Cell::default();
        }
        entry.used = used;
        entry.cell.clone()
    }

    /// Removes entries until the rest is within the limits: first those that were not used for the
    /// longest time. Schemas, and ids without a usable schema, do not displace each other. Requests
    /// that are in progress remain.
    fn displace(&mut self) {
        self.entries.retain(|_, entry| !entry.is_abandoned());
        self.limit(true);
        self.limit(false);
    }

    /// Removes entries with a usable schema, or those without, until they are within the limits.
    fn limit(&mut self, usable: bool) {
        let known = self.entries.iter().filter_map(|(id, entry)| {
            let known = entry.cell.get()?;
            (known.schema.is_ok() == usable).then_some((entry.used, *id, known.text_bytes))
        });
        let mut bytes = 0;
        let mut known: Vec<_> = known.inspect(|(_, _, text_bytes)| bytes += text_bytes).collect();
        if known.len() <= self.schemas_max && bytes <= TEXT_BYTES_MAX {
            return;
        }
        known.sort_unstable_by_key(|(used, ..)| Reverse(*used));
        while let Some((_, id, text_bytes)) = known.pop() {
            let left = known.len();
            if left < self.schemas_max && (bytes <= TEXT_BYTES_MAX || left == 0) {
                return;
            }
            self.entries.remove(&id);
            bytes -= text_bytes;
        }
    }
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        self.cell.get().and_then(|known| known.until).is_some_and(|until| until <= now)
    }

    /// Whether there was no answer, and no call waits for one.
    fn is_abandoned(&self) -> bool {
        self.cell.get().is_none() && Arc::strong_count(&self.cell) == 1
    }
}

fn cannot_be_used(id: u32, reason: &str) -> String {
    format!("schema {id} cannot be used: {reason}")
}

fn unavailable(id: u32, reason: &str) -> NoSchema {
    NoSchema::Unavailable(format!(
        "schema {id} is not known yet, and the schema registry cannot be asked: {reason}"
    ))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures::future::join_all;

    use super::*;
    use crate::registry::Definition;
    use crate::test_registry::TestRegistry;

    const SCHEMA: &str = r#"{"schemaType":"JSON","schema":"true"}"#;
    const MISSING: &str = r#"{"error_code":40403}"#;
    /// Longer than a test.
    const LONG: Duration = Duration::from_secs(600);

    fn slots(schemas_max: usize) -> Slots {
        Slots { schemas_max, entries: HashMap::new(), clock: 0 }
    }

    async fn usable(schema: String) -> Known {
        let definition =
            Definition { schema, schema_type: Some("JSON".into()), references: vec![] };
        Known::new(1, Source::of(definition)).await
    }

    fn fill(slots: &mut Slots, id: u32, known: Known) {
        let cell = slots.cell(id, Instant::now());
        assert!(cell.set(known).is_ok(), "{id} was known");
        drop(cell);
        slots.displace();
    }

    fn ids(slots: &Slots) -> Vec<u32> {
        let mut ids: Vec<u32> = slots.entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    fn schemas(server: &TestRegistry, pauses: Pauses) -> (Schemas, Arc<Metrics>) {
        let metrics = Arc::<Metrics>::default();
        (Schemas::with_pauses(server.config(), metrics.clone(), pauses).unwrap(), metrics)
    }

    /// Pauses that do not end during a test.
    const PAUSES: Pauses = Pauses { outage: LONG, id: LONG, missing: LONG, request: LONG };

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_displaced_and_not_by_what_is_not_usable() {
        let mut slots = slots(2);
        fill(&mut slots, 1, usable("true".into()).await);
        fill(&mut slots, 2, usable("true".into()).await);
        for id in 3..=5 {
            fill(&mut slots, id, usable("{".into()).await);
        }
        assert_eq!(ids(&slots), [1, 2, 4, 5]);
        slots.cell(1, Instant::now());
        fill(&mut slots, 6, usable("true".into()).await);
        assert_eq!(ids(&slots), [1, 4, 5, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_progress_neither_displaces_nor_is_displaced() {
        let mut slots = slots(1);
        fill(&mut slots, 1, usable("true".into()).await);
        let requests: Vec<Cell> = (2..=5).map(|id| slots.cell(id, Instant::now())).collect();
        slots.displace();
        assert_eq!(ids(&slots), [1, 2, 3, 4, 5]);
        drop(requests);
        slots.displace();
        assert_eq!(ids(&slots), [1], "the others had no answer");
    }

    #[tokio::test(start_paused = true)]
    async fn the_texts_of_the_schemas_are_limited_in_size() {
        let mut slots = slots(100);
        let text = format!(r#"{{"title":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX / 2));
        for id in 1..=3 {
            fill(&mut slots, id, usable(text.clone()).await);
        }
        assert_eq!(ids(&slots), [3]);
        let longer = format!("{text}{}", " ".repeat(TEXT_BYTES_MAX));
        fill(&mut slots, 4, usable(longer).await);
        assert_eq!(ids(&slots), [4], "one schema is always kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_schema_that_is_not_usable_is_looked_up_again_after_a_time() {
        let mut slots = slots(3);
        fill(&mut slots, 1, Known::unusable("missing".into(), Instant::now()));
        let known = slots.cell(1, Instant::now());
        assert!(known.get().is_some_and(|known| known.schema.is_err()));
        tokio::time::advance(UNUSABLE_TTL).await;
        assert!(slots.cell(1, Instant::now()).get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_missing_ids_is_limited() {
        let mut missing = Missing::default();
        let start = Instant::now();
        for id in 0..MISSING_MAX as u32 {
            assert_eq!(missing.since(id, start), Some(start));
        }
        let now = start + MISSING_KEPT / 2;
        assert_eq!((missing.since(u32::MAX, now), missing.since(0, now)), (None, Some(start)));
        let now = start + MISSING_KEPT;
        assert_eq!((missing.since(u32::MAX, now), missing.0.len()), (Some(now), 1));
    }

    #[tokio::test]
    async fn callers_share_a_request_and_do_not_wait_during_an_outage() {
        let server = TestRegistry::start(StatusCode::OK, SCHEMA).await;
        let (schemas, metrics) = schemas(&server, PAUSES);
        let known = join_all((0..20).map(|_| schemas.get(1))).await;
        assert!(known.iter().all(Result::is_ok));
        assert_eq!(metrics.fetches.get(), 1);

        server.answer(StatusCode::UNAUTHORIZED, "");
        assert!(matches!(schemas.get(2).await, Err(NoSchema::Unavailable(_))));
        for id in 2..20 {
            let Err(NoSchema::Unavailable(reason)) = schemas.get(id).await else { panic!("{id}") };
            assert!(
                reason.contains(&format!("schema {id} ")) && reason.contains("401"),
                "{reason}"
            );
        }
        assert!(schemas.get(1).await.is_ok(), "it is known");
        assert_eq!((metrics.fetches.get(), metrics.fetch_failures.get()), (2, 1));

        server.answer(StatusCode::OK, SCHEMA);
        lock(&schemas.outage).as_mut().unwrap().until = Instant::now();
        for id in 2..=3 {
            assert!(schemas.get(id).await.is_ok(), "the outage is over");
        }
        assert_eq!((metrics.fetches.get(), metrics.fetch_failures.get()), (4, 1));
    }

    #[tokio::test]
    async fn failures_at_the_same_time_make_the_pause_longer_only_once() {
        let server = TestRegistry::start(StatusCode::UNAUTHORIZED, "").await;
        let first = Duration::from_secs(1);
        let (schemas, metrics) = schemas(&server, Pauses { outage: first, ..PAUSES });
        let pause = || lock(&schemas.outage).as_ref().map(|outage| outage.pause);
        join_all((0..20).map(|id| schemas.get(id))).await;
        assert_eq!((metrics.fetch_failures.get(), pause()), (20, Some(first)));
        lock(&schemas.outage).as_mut().unwrap().until = Instant::now();
        join_all((0..20).map(|id| schemas.get(id))).await;
        assert_eq!((metrics.fetch_failures.get(), pause()), (21, Some(2 * first)));
    }

    #[tokio::test]
    async fn a_failure_with_one_id_does_not_concern_others() {
        let server = TestRegistry::start(StatusCode::OK, SCHEMA).await;
        let (schemas, metrics) = schemas(&server, PAUSES);
        let large = " ".repeat(2 * 1024 * 1024);
        for (id, (status, body)) in [
            (StatusCode::INTERNAL_SERVER_ERROR, ""),
            (StatusCode::OK, "{}"),
            (StatusCode::OK, large.as_str()),
            (StatusCode::NOT_FOUND, MISSING),
        ]
        .into_iter()
        .enumerate()
        {
            server.answer(status, body);
            let asked = server.asked().len();
            let is_final = id == 1 || id == 2;
            for _ in 0..2 {
                let error = schemas.get(id as u32).await.err().unwrap();
                assert_eq!(matches!(error, NoSchema::Unusable(_)), is_final, "{error:?}");
            }
            assert_eq!(server.asked().len(), asked + 1, "{id} is not asked for again");
            server.answer(StatusCode::OK, SCHEMA);
            assert!(schemas.get(100 + id as u32).await.is_ok(), "after {id}");
        }
        assert_eq!(metrics.fetch_failures.get(), 1);
    }

    #[tokio::test]
    async fn an_id_is_missing_only_if_it_is_still_missing_after_a_time() {
        let server = TestRegistry::start(StatusCode::NOT_FOUND, MISSING).await;
        let missing = Duration::from_millis(10);
        let (schemas, metrics) = schemas(&server, Pauses { missing, ..PAUSES });
        for id in 1..=2 {
            assert!(matches!(schemas.get(id).await, Err(NoSchema::Unavailable(_))));
        }
        tokio::time::sleep(missing).await;
        assert!(matches!(schemas.get(1).await, Err(NoSchema::Unusable(_))));
        server.answer(StatusCode::OK, SCHEMA);
        assert!(schemas.get(2).await.is_ok());
        assert!(matches!(schemas.get(1).await, Err(NoSchema::Unusable(_))), "it is final");
        assert_eq!(metrics.fetches.get(), 4);
        assert_eq!(metrics.fetch_failures.get(), 0);
    }
}
