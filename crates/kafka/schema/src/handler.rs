//! A handler that passes on the records that fit their schemas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spin_kafka_trigger::{Answer, Batch, Failure, Field, Filter, Handler, Position, Rejection};

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
    /// the engine's filters, because the engine would apply them before the values are decoded.
    pub fn new(
        inner: H,
        registry: Option<SchemaConfig>,
        filters: &mut Vec<Filter>,
    ) -> Result<Self, Error> {
        let metrics = Arc::<Metrics>::default();
        let decoder = registry.map(|registry| {
            let is_on_field = |filter: &mut Filter| matches!(filter.on, Field::Json(_));
            let filters = filters.extract_if(.., is_on_field).collect();
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
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        match &self.decoder {
            Some(decoder) => self.decode(decoder, &batch).await,
            None => self.inner.answer(batch).await,
        }
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

impl<H: Handler> SchemaHandler<H> {
    /// Decodes a batch, and passes on the records that fit.
    async fn decode(&self, decoder: &Decoder, batch: &Batch) -> Result<Answer, Failure> {
        let Decoded { records, misfits, filtered } = decoder.decode(batch).await?;
        let mut answer = Answer::default();
        if !records.is_empty() || self.keeps_position.load(Ordering::Relaxed) {
            let decoded = Arc::new(Batch {
                topic: batch.topic.clone(),
                log_id: batch.log_id.clone(),
                group: batch.group.clone(),
                records,
                ..*batch
            });
            answer = self.inner.answer(decoded.clone()).await?;
            check(&decoded, &answer.rejections)?;
        }
        self.metrics.misfits.inc_by(misfits.len() as u64);
        answer.rejections.splice(..0, misfits);
        answer.filtered.extend(filtered);
        Ok(answer)
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::StatusCode;
    use spin_kafka_trigger::{Config, Message, OfflineRecords, apply_offline};

    use super::*;
    use crate::test_registry::TestRegistry;

    /// A handler that keeps the values that it got, and rejects one offset.
    struct Inner {
        position: Position,
        rejects: Option<i64>,
        calls: Mutex<Vec<Vec<Option<String>>>>,
    }

    impl Handler for Inner {
        async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
            let text = |value: &bytes::Bytes| String::from_utf8(value.to_vec()).unwrap();
            let values = batch.records.iter().map(|record| record.value.as_ref().map(text));
            self.calls.lock().unwrap().push(values.collect());
            let rejected = self.rejects.map(|offset| Rejection { offset, reason: "bad".into() });
            Ok(rejected.into_iter().collect())
        }

        async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
            Ok(self.position)
        }
    }

    async fn handler(
        server: &TestRegistry,
        position: Position,
        rejects: Option<i64>,
    ) -> SchemaHandler<Inner> {
        let inner = Inner { position, rejects, calls: Mutex::default() };
        let config = SchemaConfig { decoded_bytes_max: 20, ..server.config() };
        let handler = SchemaHandler::new(inner, Some(config), &mut Vec::new()).unwrap();
        handler.position("group", "sales", "log", 0).await.unwrap();
        handler
    }

    fn batch(values: &[&'static [u8]]) -> Batch {
        let records = (5_i64..).zip(values).map(|(offset, value)| Message {
            offset,
            timestamp_ms: None,
            key: None,
            value: Some((*value).into()),
            headers: Vec::new(),
        });
        let records: Vec<Message> = records.collect();
        Batch {
            topic: "sales".into(),
            log_id: "log".into(),
            partition: 0,
            group: "group".into(),
            expected_position: None,
            start: 5,
            end: 5 + records.len() as i64,
            attempt: 1,
            records,
        }
    }

    const NUMBER: &str = r#"{"schemaType":"JSON","schema":"{\"type\":\"number\"}"}"#;

    #[tokio::test]
    async fn only_a_handler_that_keeps_its_position_gets_a_batch_without_records() {
        let server = TestRegistry::start(StatusCode::OK, NUMBER).await;
        for (position, calls) in [(Position::Committed, 0), (Position::At(5), 1)] {
            let handler = handler(&server, position, None).await;
            let rejected = handler.handle(&batch(&[b"\0\0\0\0\x01{}"])).await.unwrap();
            assert_eq!((rejected.len(), rejected[0].offset), (1, 5));
            assert_eq!(handler.inner.calls.lock().unwrap().len(), calls, "{position:?}");
        }
    }

    #[tokio::test]
    async fn the_handlers_own_rejections_are_added() {
        let server = TestRegistry::start(StatusCode::OK, NUMBER).await;
        let values = batch(&[b"\0\0\0\0\x01{}", b"\0\0\0\0\x011"]);
        let inner = handler(&server, Position::Committed, Some(6)).await;
        let rejected = inner.handle(&values).await.unwrap();
        let offsets: Vec<i64> = rejected.iter().map(|rejection| rejection.offset).collect();
        assert_eq!(offsets, [5, 6]);
        assert_eq!(*inner.inner.calls.lock().unwrap(), [[Some("1".to_owned())]]);
        let wrong = handler(&server, Position::Committed, Some(5)).await;
        assert!(matches!(wrong.handle(&values).await, Err(Failure::Fatal(_))), "it did not get 5");
    }

    #[tokio::test]
    async fn a_batch_of_which_everything_is_filtered_is_reported_as_filtered() {
        let server = TestRegistry::start(StatusCode::OK, NUMBER).await;
        let inner = Inner { position: Position::Committed, rejects: None, calls: Mutex::default() };
        let on_field = Filter::equals("json:/x".parse().unwrap(), "1");
        let mut engine = Config::default().filters([on_field]);
        let handler =
            SchemaHandler::new(inner, Some(server.config()), &mut engine.filters).unwrap();
        assert_eq!(engine.filters, [], "the engine does not decode");
        handler.position("group", "sales", "log", 0).await.unwrap();
        let values = batch(&[b"\0\0\0\0\x011", b"\0\0\0\0\x01{}"]);
        let answer = handler.answer(Arc::new(values)).await.unwrap();
        assert_eq!((answer.filtered, answer.rejections[0].offset), (vec![5], 6));
        assert_eq!(handler.inner.calls.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_wrong_reader_in_the_settings_stops_the_engine_and_gives_up_nothing() {
        let missing = r#"{"error_code":40402}"#;
        let server = TestRegistry::start(StatusCode::NOT_FOUND, missing).await;
        server.add("schemas/ids/1", r#"{"schema":"\"int\""}"#);
        let inner = Inner { position: Position::Committed, rejects: None, calls: Mutex::default() };
        let config = SchemaConfig { reader_version: "sales:3".into(), ..server.config() };
        let handler = SchemaHandler::new(inner, Some(config), &mut Vec::new()).unwrap();
        let values = batch(&[b"\0\0\0\0\x01\x02"]);
        for found in [None, Some(r#"{"schemaType":"JSON","schema":"true"}"#)] {
            if let Some(found) = found {
                server.add("subjects/sales/versions/3", found);
            }
            let failed = handler.handle(&values).await;
            let Err(Failure::Fatal(reason)) = failed else { panic!("{failed:?}") };
            let prefix = "schema.reader_version: ";
            assert!(reason.starts_with(prefix) && reason.contains("version 3 of"), "{reason}");
        }
        server.add("subjects/sales/versions/3", r#"{"schema":"\"double\""}"#);
        assert_eq!(handler.handle(&values).await, Ok(Vec::new()));
        assert_eq!(*handler.inner.calls.lock().unwrap(), [[Some("1.0".to_owned())]]);
    }

    #[tokio::test]
    async fn records_of_a_file_are_decoded_as_in_production_by_schemas_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("schemas/ids")).unwrap();
        std::fs::write(folder.path().join("schemas/ids/1.json"), NUMBER).unwrap();
        let registry = format!("file://{}", folder.path().display());
        let schemas = SchemaConfig { registry, ..Default::default() };
        let on_field = Filter::equals("json:/x".parse().unwrap(), "1");
        let config = Config::new("broker.invalid:9092", ["sales"], "group").filters([on_field]);
        for (filters, first) in [(true, "filtered"), (false, "applied")] {
            let mut config = config.clone();
            if !filters {
                config.filters.clear();
            }
            let (position, calls) = (Position::Committed, Mutex::default());
            let inner = Inner { position, rejects: None, calls };
            let handler =
                SchemaHandler::new(inner, Some(schemas.clone()), &mut config.filters).unwrap();
            let Batch { topic, log_id, partition, records, .. } =
                batch(&[b"\0\0\0\0\x011", b"\0\0\0\0\x01{}"]);
            let records = OfflineRecords { topic, log_id, partition, records };
            let run = apply_offline(config, handler, records).await.unwrap();
            let outcomes = run.outcomes.iter().map(spin_kafka_trigger::RecordOutcome::name);
            assert_eq!(outcomes.collect::<Vec<_>>(), [first, "rejected"]);
        }
    }

    #[tokio::test]
    async fn a_batch_that_is_too_large_is_divided_and_an_unknown_schema_is_waited_for() {
        let server = TestRegistry::start(StatusCode::OK, NUMBER).await;
        let handler = handler(&server, Position::Committed, None).await;
        let long: &[u8] = b"\0\0\0\0\x01123456789012345";
        let failed = handler.handle(&batch(&[long, long])).await;
        assert!(matches!(failed, Err(Failure::Memory(_))), "{failed:?}");
        assert_eq!(handler.handle(&batch(&[long])).await, Ok(Vec::new()));
        let longer: &[u8] = b"\0\0\0\0\x01123456789012345678901";
        assert_eq!(handler.handle(&batch(&[longer])).await.unwrap().len(), 1, "it is rejected");
        let misfit: &[u8] = b"\0\0\0\0\x01\"123456789\"";
        let rejected = handler.handle(&batch(&[long, misfit])).await.unwrap();
        assert_eq!(rejected[0].offset, 6, "what does not fit is no reason to divide the batch");
        server.answer(StatusCode::SERVICE_UNAVAILABLE, "");
        let failed = handler.handle(&batch(&[long, b"\0\0\0\0\x021"])).await;
        assert!(matches!(failed, Err(Failure::Retry(_))), "{failed:?}");
        assert_eq!(handler.inner.calls.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn all_schemas_of_a_batch_are_requested_before_it_is_tried_again() {
        let server = TestRegistry::start(StatusCode::NOT_FOUND, r#"{"error_code":40403}"#).await;
        let handler = handler(&server, Position::Committed, None).await;
        let values: [&[u8]; 3] = [b"\0\0\0\0\x011", b"\0\0\0\0\x021", b"\0\0\0\0\x031"];
        let failed = handler.handle(&batch(&values)).await;
        assert!(matches!(failed, Err(Failure::Retry(_))), "{failed:?}");
        let mut paths: Vec<String> = server.asked().into_iter().map(|(path, _)| path).collect();
        paths.sort_unstable();
        assert_eq!(paths, [1, 2, 3].map(|id| format!("/api/schemas/ids/{id}")));
    }
}
