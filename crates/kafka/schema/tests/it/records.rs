//! Records with schemas that exist, that are missing, and that cannot be fetched.

use std::time::Duration;

use kafka_schema::{Mode, SchemaConfig};
use serde_json::{Value, json};
use spin_kafka_trigger::{Config, Filter};
use test_servers::{SchemaRegistry, shared_kafka};

use crate::support::{Consumer, create_topics, framed, letters, register, until, write};

/// A schema of sales in JSON. Each version has one more optional field.
fn json_sale(version: usize) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {"id": {"type": "string"}, "price": {"type": "number"}},
        "required": ["id", "price"],
    });
    for field in 1..version {
        schema["properties"][format!("field{field}")] = json!({"type": "string"});
    }
    schema
}

/// The same in Avro, with a field whose type is in another schema.
fn avro_sale(version: usize) -> Value {
    let mut fields = vec![
        json!({"name": "id", "type": "string"}),
        json!({"name": "price", "type": "float"}),
        json!({"name": "kind", "type": "shop.Kind"}),
    ];
    for field in 1..version {
        let name = format!("field{field}");
        fields.push(json!({"name": name, "type": "string", "default": ""}));
    }
    json!({"type": "record", "name": "Sale", "namespace": "shop", "fields": fields})
}

/// The same in Protobuf, with a message of another schema, and a message type before it.
fn protobuf_sale(version: usize) -> String {
    let fields = (1..version).map(|field| format!("string field{field} = {};", field + 2));
    let fields: String = fields.collect();
    format!(
        r#"syntax = "proto3"; package shop; import "money.proto";
           message Refund {{ string id = 1; }}
           message Sale {{ string id = 1; money.Money price = 2; {fields} }}"#
    )
}

const MONEY: &str = r#"syntax = "proto3"; package money; message Money { double of = 1; }"#;

fn config(brokers: &str, topic: &str) -> Config {
    let (first, last) = (Duration::from_millis(10), Duration::from_millis(100));
    Config::new(brokers, [topic], topic).retry_backoff(first).retry_backoff_max(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_decoded_by_their_schemas_even_while_the_registry_does_not_answer() {
    let (brokers, topic) = (shared_kafka().bootstrap(), "decoded");
    create_topics(&brokers, topic).await;
    let registry = SchemaRegistry::start().await.unwrap();
    let url = registry.url();
    let unit = json!({"type": "object", "properties": {"code": {"enum": ["EUR"]}}});
    register(&url, "unit", "JSON", unit, &[]).await;
    let json_1 = register(&url, "json", "JSON", json_sale(1), &[]).await;
    let json_2 = register(&url, "json", "JSON", json_sale(2), &[]).await;
    let json_3 = register(&url, "json", "JSON", json_sale(3), &[]).await;
    let with_unit = json!({"type": "object", "properties": {"unit": {"$ref": "unit.json"}}});
    let json_unit = register(&url, "json-unit", "JSON", with_unit, &[("unit.json", "unit")]).await;
    let kind = json!({"type": "enum", "name": "shop.Kind", "symbols": ["WEB", "FAX"]});
    register(&url, "kind", "AVRO", kind, &[]).await;
    let reference = [("shop.Kind", "kind")];
    let avro_1 = register(&url, "avro", "AVRO", avro_sale(1), &reference).await;
    let avro_2 = register(&url, "avro", "AVRO", avro_sale(2), &reference).await;
    let avro_3 = register(&url, "avro", "AVRO", avro_sale(3), &reference).await;
    let refund = json!({"type": "record", "name": "Refund", "fields": []});
    let avro_refund = register(&url, "refund", "AVRO", refund, &[]).await;
    register(&url, "money", "PROTOBUF", MONEY, &[]).await;
    let reference = [("money.proto", "money")];
    let proto_1 = register(&url, "proto", "PROTOBUF", protobuf_sale(1), &reference).await;
    let proto_2 = register(&url, "proto", "PROTOBUF", protobuf_sale(2), &reference).await;

    let json = |id, text: &str| Some(framed(id, text.as_bytes()));
    let price = 1.5_f32.to_le_bytes();
    let avro = |id, end: &[u8]| Some(framed(id, &[b"\x08tv-3", &price[..], b"\x02", end].concat()));
    // The index of the message type, the id, and the price.
    let sale = b"\x02\x02\x0a\x04tv-4\x12\x09\x09\0\0\0\0\0\0\xf8\x3f";
    let proto = |id, end: &[u8]| Some(framed(id, &[sale, end].concat()));
    let missing = json_1 + 1_000;
    let misfits = [
        json(json_1, r#"{"id":"tv-4","price":"a lot"}"#),
        json(json_unit, r#"{"unit":{"code":"USD"}}"#),
        avro(avro_2, b""),
        Some(framed(avro_refund, b"")),
        Some(framed(proto_1, b"\x02\x04")),
        json(missing, "{}"),
        Some(b"{}".to_vec()),
    ];
    let fits = [
        json(json_1, r#"{"id":"tv-1","price":1}"#),
        json(json_2, r#"{"id":"tv-2","price":2,"field1":"x"}"#),
        avro(avro_1, b""),
        avro(avro_3, b"\x02y\x02z"),
        proto(proto_1, b""),
        proto(proto_2, b"\x1a\x01x"),
    ];
    let filtered = [json(json_1, r#"{"id":"pc-1","price":1}"#), None];
    for values in [&fits[..], &misfits, &filtered] {
        write(&brokers, topic, 0, values).await;
    }
    let filter = Filter::prefix("json:/id".parse().unwrap(), "tv-");
    let config = config(&brokers, topic).filters([filter]);
    let reader_version = "avro:2".into();
    let schemas = SchemaConfig {
        registry: url,
        reader_version,
        timeout_ms: 2_000,
        ..SchemaConfig::default()
    };
    let consumer = Consumer::start(config, schemas);

    // A newer schema is decoded as well as an older one, and what does not fit is given up.
    until("the misfits", || consumer.engine.dead_letters.get() == misfits.len() as u64).await;
    let expected = [
        r#"{"id":"tv-1","price":1}"#,
        r#"{"id":"tv-2","price":2,"field1":"x"}"#,
        r#"{"id":"tv-3","price":1.5,"kind":"FAX","field1":""}"#,
        r#"{"id":"tv-3","price":1.5,"kind":"FAX","field1":"y"}"#,
        r#"{"id":"tv-4","price":{"of":1.5}}"#,
        r#"{"id":"tv-4","price":{"of":1.5},"field1":"x"}"#,
    ];
    until("what fits", || consumer.got(0).len() >= expected.len()).await;
    assert_eq!(consumer.got(0), expected);
    let given_up = letters(&brokers, topic);
    let values: Vec<_> = given_up.iter().map(|(value, _, _)| Some(value.clone())).collect();
    assert_eq!(values, misfits, "a dead letter has the original value");
    let reasons = [
        format!("the value does not fit schema {json_1}: /price: "),
        format!("the value does not fit schema {json_unit}: /unit/code: "),
        format!("the value does not fit schema {avro_2}: field1: "),
        format!("the value does not fit schema {avro_refund}: the record `Refund` cannot be read"),
        format!("the value does not fit schema {proto_1}: the schema has no message type"),
        format!("the registry has no schema with the id {missing}"),
        "the value does not begin with the id of a schema".into(),
    ];
    for ((_, class, reason), expected) in given_up.iter().zip(reasons) {
        assert_eq!(class, "rejected");
        assert!(reason.starts_with(&expected), "{expected} is not in: {reason}");
    }
    until("the filtered", || consumer.engine.filtered.get() == 2).await;
    assert_eq!(consumer.schemas.misfits.get(), misfits.len() as u64);
    // The registry has just started, and may be slow.
    let failures = consumer.schemas.fetch_failures.get();
    let answers = consumer.schemas.fetches.get() - failures;
    let schemas = 2 + 1 + 3 + 1 + 2;
    let referred_to = 1 + 1 + 1;
    let once = schemas + referred_to + 1;
    assert_eq!(answers, once + 2, "each one is fetched once, and the missing one twice");

    // While the registry is frozen, only a schema that is not known yet has to wait.
    registry.pause().unwrap();
    write(&brokers, topic, 0, &[json(json_3, r#"{"id":"tv-5","price":5,"field2":"z"}"#)]).await;
    until("a request without an answer", || consumer.schemas.fetch_failures.get() > failures).await;
    write(&brokers, topic, 1, &fits).await;
    until("what fits a known schema", || consumer.got(1) == expected).await;
    assert_eq!(consumer.got(0).len(), expected.len());
    registry.resume().unwrap();
    until("what had to wait", || consumer.got(0).len() > expected.len()).await;
    assert_eq!(consumer.got(0).last().unwrap(), r#"{"id":"tv-5","price":5,"field2":"z"}"#);
    let summary = consumer.stop().await;
    assert_eq!((summary.dead_letters, summary.left_group), (misfits.len() as u64, true));

    // Without decoding, the handler gets the values as they are in Kafka.
    let schemas =
        SchemaConfig { registry: registry.url(), mode: Mode::Validate, ..SchemaConfig::default() };
    let consumer = Consumer::start(Config::new(&brokers, [topic], "validated"), schemas);
    until("the values of partition 1", || consumer.got(1).len() == fits.len()).await;
    let fits = fits.iter().flatten().map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(consumer.got(1), fits.collect::<Vec<_>>());
    consumer.stop().await;
}
