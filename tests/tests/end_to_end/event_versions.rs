//! Components with the previous version of `spin-kafka:events`, and with its synchronous
//! interfaces. The tests call them as the consumer engine does, without a topic to read.

use std::sync::Arc;

use component_host::output::Outputs;
use component_host::{CompileCache, Host, Limits};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use kafka_trigger::{GuestHandler, KafkaTrigger, ProducerCapability, TriggerConfig};
use pipeline_tests::root;
use spin_app::manifest;
use spin_app::variables::Variables;
use spin_kafka_trigger::{
    Answer, Batch, Failure, Handler as _, Message, OutgoingRecord, Rejection,
};
use test_servers::{WAIT_LIMIT, shared_kafka};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

const HANDLER_0_1: &str = "spin-kafka:events/handler@0.1.0";
const CHECKPOINT_0_1: &str = "spin-kafka:events/checkpoint@0.1.0";
const SYNC_HANDLER: &str = "spin-kafka:events/sync-handler@0.2.0";
const SYNC_CHECKPOINT: &str = "spin-kafka:events/sync-checkpoint@0.2.0";
const SYNC_TRANSFORM_HANDLER: &str = "spin-kafka:events/sync-transform-handler@0.2.0";

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "guest"
[[trigger.kafka]]
component = "guest"
brokers = "BROKERS"
topic = "sales"
group = "counters"
SETTINGS
[component.guest]
source = "guest.wasm"
allowed_outbound_hosts = ["tcp://BROKERS"]
"#;

/// The time limit of calls that end, also on a slow machine, and that of an endless one.
const DEADLINE: &str = "handler_deadline_ms = 60_000";
const SHORT_DEADLINE: &str = "handler_deadline_ms = 1_000";
/// The topic of the records that the synchronous guest returns.
const OUTPUT: &str = r#"output_topics = ["copies"]"#;

/// A loaded component.
struct Guest {
    handler: GuestHandler,
    _host: Host,
}

impl Guest {
    fn load(component: &[u8]) -> Result<Self, kafka_trigger::Error> {
        Self::load_with(component, DEADLINE)
    }

    /// Loads a component with these settings of its trigger.
    fn load_with(component: &[u8], settings: &str) -> Result<Self, kafka_trigger::Error> {
        let brokers = shared_kafka().bootstrap();
        let folder = tempfile::tempdir_in(root().join("target")).unwrap();
        let file = folder.path().join("spin.toml");
        let manifest = MANIFEST.replace("BROKERS", &brokers);
        std::fs::write(&file, manifest.replace("SETTINGS", settings)).unwrap();
        std::fs::write(folder.path().join("guest.wasm"), component).unwrap();
        let app = manifest::read(&file)?;
        let variables = Variables::resolve(&app.variables, |_| None);
        let config = TriggerConfig::read_all(&app, &variables)?.remove(0);
        let producer = ProducerCapability::new(config.producer()).unwrap();
        // Few, because the memory of all instances is reserved.
        let limits = Limits { instances_max: 4, ..Limits::default() };
        let (outputs, cache) = (Outputs::default(), CompileCache::UserFolder);
        let host = Host::load(&app, &variables, limits, outputs, &cache, &[Arc::new(producer)])?;
        Ok(Self {
            handler: KafkaTrigger::new(config, &host)?.observed().handler.clone(),
            _host: host,
        })
    }

    /// The reason for which the component rejects the only record of the batch.
    async fn reason(&self, batch: &Batch) -> String {
        let mut rejections = self.handler.handle(batch).await.unwrap();
        assert_eq!((rejections.len(), rejections[0].offset), (1, 5));
        rejections.remove(0).reason
    }

    /// The failure with a batch of a record with this value.
    async fn failure(&self, value: &str) -> Failure {
        self.handler.handle(&batch("", value)).await.unwrap_err()
    }

    /// The failure that the component returns instead of a position.
    async fn position(&self) -> Failure {
        self.handler.position("counters", "sales", "a/b", 3).await.unwrap_err()
    }
}

/// The bytes of a guest.
fn component(name: &str) -> Vec<u8> {
    std::fs::read(root().join(format!("target/components/{name}.wasm"))).unwrap()
}

/// A component with only these exports of guests.
fn with_exports(guests: &[(&str, &[&str])]) -> Vec<u8> {
    let mut graph = CompositionGraph::new();
    for (name, exports) in guests {
        let package = format!("tests:{}", name.replace('_', "-"));
        let package =
            Package::from_bytes(&package, None, component(name), graph.types_mut()).unwrap();
        let package = graph.register_package(package).unwrap();
        let instance = graph.instantiate(package);
        for export in *exports {
            let alias = graph.alias_instance_export(instance, export).unwrap();
            graph.export(alias, *export).unwrap();
        }
    }
    graph.encode(EncodeOptions::default()).unwrap()
}

fn batch(key: &str, value: &str) -> Batch {
    let record = Message {
        offset: 5,
        timestamp_ms: None,
        key: Some(key.as_bytes().to_vec().into()),
        value: Some(value.as_bytes().to_vec().into()),
        headers: Vec::new(),
    };
    Batch {
        topic: "sales".into(),
        log_id: "a/b".into(),
        partition: 3,
        group: "counters".into(),
        expected_position: Some(4),
        start: 4,
        end: 9,
        attempt: 2,
        records: vec![record],
    }
}

async fn create(topic: &str) {
    let config = ProducerConfig::new(shared_kafka().bootstrap());
    ensure_topic(&config, NewTopic::new(topic, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_version_0_1_is_called_as_before() {
    create("older-copies").await;
    let lists = with_exports(&[("older_events", &[HANDLER_0_1, CHECKPOINT_0_1])]);
    for (component, kind, offset) in [(component("older_events"), "packed", 0), (lists, "lists", 2)]
    {
        let guest = Guest::load(&component).unwrap();
        let later = batch("older-copies", "later");
        let first = Batch { expected_position: None, ..batch("older-copies", "first") };
        for (batch, is_first, offset) in [(later, false, offset), (first, true, offset + 1)] {
            let place = format!("{kind} of sales a/b 3 {is_first} 4..9");
            let sent = format!("Ok([Delivery {{ partition: 0, offset: {offset} }}])");
            assert_eq!(guest.reason(&batch).await, format!("{place}: {sent}"));
        }
        let refused = guest.reason(&batch("no topic", "v")).await;
        assert!(refused.contains("Err(") && refused.contains("`no topic`"), "{refused}");
        let expected = Failure::Retry("position of sales a/b 3".into());
        assert_eq!(guest.position().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_with_synchronous_exports_is_called_with_the_same_limits() {
    create("sync-copies").await;
    let component = with_exports(&[("sync_events", &[SYNC_HANDLER, SYNC_CHECKPOINT])]);
    let guest = Guest::load(&component).unwrap();
    let described = guest.reason(&batch("", "describe")).await;
    assert_eq!(described, r#"counters sales Some("a/b") 3 Some(4) 4..9 2 60000"#);
    let sent = guest.reason(&batch("sync-copies", "send")).await;
    let (written, refused) = sent.split_once("), ").unwrap();
    assert_eq!(written, "[Ok(Delivery { partition: 0, offset: Some(0) }");
    assert!(refused.starts_with("Err(") && refused.contains("Refused"), "{sent}");
    let expected = Failure::Retry(r#"position of counters sales Some("a/b") 3"#.into());
    assert_eq!(guest.position().await, expected);

    assert_eq!(guest.failure("retry").await, Failure::Retry("as requested".into()));
    assert!(matches!(guest.failure("trap").await, Failure::Trap(_)));
    assert_eq!(guest.reason(&batch("", "describe")).await, described, "on a new instance");
    let limited = Guest::load_with(&component, SHORT_DEADLINE).unwrap();
    let endless = tokio::time::timeout(WAIT_LIMIT, limited.failure("loop"));
    assert!(matches!(endless.await, Ok(Failure::Deadline(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_that_a_component_returns_need_topics() {
    let transforms = with_exports(&[("sync_events", &[SYNC_TRANSFORM_HANDLER])]);
    let guest = Guest::load_with(&transforms, OUTPUT).unwrap();
    let copy = OutgoingRecord { partition: Some(3), timestamp_ms: Some(1), ..Default::default() };
    let copy = OutgoingRecord { topic: "copies".into(), value: Some("v".into()), ..copy };
    let answer = guest.handler.answer(Arc::new(batch("tv", "v"))).await.unwrap();
    assert_eq!(answer, Answer::from(vec![copy.with_key("tv")]));
    let mut keyless = batch("", "v");
    keyless.records[0].key = None;
    let answer = guest.handler.answer(Arc::new(keyless)).await.unwrap();
    assert_eq!(answer, Answer::from(vec![Rejection::new(5, "no key")]));
    assert_eq!(guest.failure("retry").await, Failure::Retry("as requested".into()));

    let handles = with_exports(&[("sync_events", &[SYNC_HANDLER])]);
    for (component, settings, part) in [
        (transforms, DEADLINE, "name their topics in `output_topics`"),
        (handles, OUTPUT, "returns no records"),
    ] {
        let error = Guest::load_with(&component, settings).err().map(|error| error.to_string());
        assert!(error.as_deref().is_some_and(|error| error.contains(part)), "{part}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_do_not_belong_together_are_refused() {
    for (guests, names) in [
        (
            &[("older_events", &[HANDLER_0_1][..]), ("sync_events", &[SYNC_HANDLER])][..],
            [HANDLER_0_1, SYNC_HANDLER],
        ),
        (
            &[("sync_events", &[SYNC_HANDLER][..]), ("older_events", &[CHECKPOINT_0_1])],
            [SYNC_HANDLER, CHECKPOINT_0_1],
        ),
        (
            &[("older_events", &[CHECKPOINT_0_1][..])],
            ["spin-kafka:events/handler@0.2.0", SYNC_HANDLER],
        ),
    ] {
        let error = Guest::load(&with_exports(guests)).err().map(|error| error.to_string());
        let names_all = |error: &str| names.iter().all(|name| error.contains(name));
        assert!(error.as_deref().is_some_and(names_all), "{names:?}: {error:?}");
    }
}
