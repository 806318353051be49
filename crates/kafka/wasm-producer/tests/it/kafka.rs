//! The producer on a real Kafka broker without failures.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::support::{self, consume, create, producer, record, run};
use test_servers::shared_kafka;
use wasm_producer::{Compression, Config, Delivery, Header, OutgoingRecord, ProduceError};

fn config() -> Config {
    Config::new(shared_kafka().bootstrap())
}

/// The delivery of a record in partition 0.
fn at(offset: i64) -> Delivery {
    Delivery { partition: 0, offset: Some(offset) }
}

#[test]
fn keys_go_to_the_partitions_that_the_java_client_chooses() {
    run(async {
        create(shared_kafka(), "keys", 7, &[]).await;
        let mut keys: Vec<Vec<u8>> = (0..100).map(|n| format!("product-{n:05}").into()).collect();
        let binary = |length: u8| (0..length).map(|n| n.wrapping_mul(37) ^ 0x80).collect();
        keys.extend((0..40).map(binary));
        keys.extend(["", "ñandú", "日本語", "\0", " "].map(|key| key.as_bytes().to_vec()));
        keys.push(vec![0xff; 1_000]);
        let hex = |key: &Vec<u8>| {
            key.iter().fold("x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
        };
        let hexes: Vec<String> = keys.iter().map(hex).collect();
        let mut args = vec!["keys"];
        args.extend(hexes.iter().map(String::as_str));
        let class = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java/Partitions.java");
        let printed = shared_kafka().tool(class, &args).await.unwrap();
        let java: Vec<i32> = printed.lines().map(|line| line.parse().unwrap()).collect();

        let records = keys.iter().map(|key| record("keys", key, "x")).collect();
        let ours = producer(config()).send(records).await.unwrap();
        let ours: Vec<i32> = ours.iter().map(|delivery| delivery.partition).collect();
        assert_eq!(ours, java);
        assert_eq!(HashSet::<i32>::from_iter(ours).len(), 7, "the keys cover all partitions");
    });
}

#[test]
fn records_are_read_as_they_were_sent() {
    run(async {
        create(shared_kafka(), "as-sent", 1, &[]).await;
        let header = |name: &str, value: Option<&str>| Header {
            name: name.into(),
            value: value.map(Into::into),
        };
        let headers = vec![
            header("twice", Some("1")),
            header("twice", Some("2")),
            header("null", None),
            header("empty", Some("")),
        ];
        let sent = vec![
            OutgoingRecord { headers, ..record("as-sent", "k", "value") },
            OutgoingRecord { value: None, ..record("as-sent", "tombstone", "") },
            OutgoingRecord { key: None, ..record("as-sent", "", "no key") },
        ];
        let deliveries = producer(config()).send(sent).await.unwrap();
        let expected: Vec<_> = (0..3).map(at).collect();
        assert_eq!(deliveries, expected);
        let args = [
            "--topic",
            "as-sent",
            "--from-beginning",
            "--max-messages",
            "3",
            "--timeout-ms",
            "30000",
            "--formatter-property",
            "print.key=true",
            "--formatter-property",
            "print.headers=true",
        ];
        let tool = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let read = shared_kafka().tool(tool, &args).await.unwrap();
        assert_eq!(
            read.lines().collect::<Vec<_>>(),
            [
                "twice:1,twice:2,null:null,empty:\tk\tvalue",
                "NO_HEADERS\ttombstone\tnull",
                "NO_HEADERS\tnull\tno key",
            ]
        );
    });
}

#[test]
fn the_java_client_reads_every_codec() {
    run(async {
        create(shared_kafka(), "codecs", 3, &[]).await;
        let mut sent = BTreeMap::new();
        for (name, compression) in [
            ("none", Compression::None),
            ("lz4", Compression::Lz4),
            ("snappy", Compression::Snappy),
        ] {
            let config = Config { compression, ..config() };
            let records: Vec<_> = (0..500)
                .map(|n| record("codecs", n.to_string(), format!("{name}-{n}-{}", "z".repeat(n))))
                .collect();
            let deliveries = producer(config).send(records.clone()).await.unwrap();
            for (record, delivery) in records.into_iter().zip(deliveries) {
                let place = (delivery.partition, delivery.offset);
                assert!(sent.insert(place, record).is_none(), "{place:?} twice");
            }
        }
        let read = consume(shared_kafka(), "codecs", sent.len()).await;
        assert_eq!(read.len(), sent.len());
        for read in read {
            let record = &sent[&(read.partition, Some(read.offset))];
            assert_eq!(record.key.as_deref(), Some(read.key.as_bytes()));
            assert_eq!(record.value.as_deref(), Some(read.value.as_bytes()));
        }
    });
}

#[test]
fn a_missing_topic_is_refused_and_not_created() {
    run(async {
        let producer = producer(config());
        for _ in 0..2 {
            let error = producer.send(vec![record("missing", "k", "v")]).await;
            let Err(ProduceError::Refused(text)) = error else { panic!("{error:?}") };
            assert!(text.contains("`missing`") && text.contains("not exist"), "{text}");
            assert!(text.contains(&shared_kafka().bootstrap()), "{text}");
        }
        // The same producer can write to the topic once it exists.
        create(shared_kafka(), "missing", 1, &[]).await;
        let sent = producer.send(vec![record("missing", "k", "v")]).await;
        assert_eq!(sent, Ok(vec![at(0)]));
    });
}

#[test]
fn an_invalid_topic_name_is_refused() {
    run(async {
        let producer = producer(config());
        for topic in ["", "no spaces", "nul\0", "ü"] {
            let error = producer.send(vec![record(topic, "k", "v")]).await;
            assert!(matches!(error, Err(ProduceError::Refused(_))), "{topic:?}: {error:?}");
        }
    });
}

#[test]
fn a_record_that_is_too_large_does_not_affect_others() {
    run(async {
        create(shared_kafka(), "large", 1, &["--config", "max.message.bytes=2000"]).await;
        let producer = producer(Config { compression: Compression::None, ..config() });
        // Refused by the producer, and refused by the broker.
        for bytes in [2_000_000, 3_000] {
            let error = producer.send(vec![record("large", "k", vec![b'x'; bytes])]).await;
            let Err(ProduceError::TooLarge(text)) = error else { panic!("{error:?}") };
            assert!(text.contains("large"), "{text}");
        }
        // Each record is small enough, but not all together; and one of them is too large.
        let calls = (0..100).map(|n| {
            let bytes = if n == 50 { 3_000 } else { 300 };
            producer.send(vec![record("large", "k", vec![b'x'; bytes])])
        });
        let answers = futures::future::join_all(calls).await;
        for (n, answer) in answers.iter().enumerate() {
            match answer {
                Ok(_) => assert_ne!(n, 50),
                Err(ProduceError::TooLarge(_)) => assert_eq!(n, 50),
                Err(error) => panic!("{n}: {error}"),
            }
        }
        assert_eq!(support::count(shared_kafka(), "large").await, 99);
    });
}

#[test]
fn each_record_has_its_own_result_partition_and_timestamp() {
    const TIME_MS: i64 = 1_700_000_000_000;
    run(async {
        create(shared_kafka(), "chosen-partitions", 3, &[]).await;
        let to = |partition| OutgoingRecord {
            partition: Some(partition),
            timestamp_ms: Some(TIME_MS),
            ..record("chosen-partitions", "k", "v")
        };
        let records = vec![
            to(1),
            to(7),
            record("no topic", "k", "v"),
            record("nowhere-to-be-found", "k", "v"),
            OutgoingRecord { timestamp_ms: Some(0), ..to(1) },
            record("chosen-partitions", "k", vec![b'x'; 20 << 20]),
            to(2),
        ];
        let results = producer(config()).send_each(records).await;
        let in_partition = |partition| Ok(Delivery { partition, offset: Some(0) });
        assert_eq!(results[0], in_partition(1));
        assert_eq!(results[6], in_partition(2));
        let refused = |result: &Result<_, _>| matches!(result, Err(ProduceError::Refused(_)));
        assert!(results[1..5].iter().all(refused), "{results:?}");
        assert!(matches!(results[5], Err(ProduceError::TooLarge(_))), "{:?}", results[5]);
        let arguments = ["--topic", "chosen-partitions", "--from-beginning", "--max-messages", "2"];
        let print = ["--timeout-ms", "30000", "--formatter-property", "print.timestamp=true"];
        let tool = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let read = shared_kafka().tool(tool, &[&arguments[..], &print].concat()).await.unwrap();
        let times = read.lines().map(|line| line.split('\t').next());
        let expected = format!("CreateTime:{TIME_MS}");
        assert!(
            times.clone().count() == 2 && times.flatten().all(|time| time == expected),
            "{read}"
        );
    });
}

#[test]
fn records_that_do_not_fit_into_the_queue_fail_at_once() {
    run(async {
        create(shared_kafka(), "full", 1, &[]).await;
        let producer = producer(Config { queue_records_max: 3, ..config() });
        let records = |count| (0..count).map(|_| record("full", "k", "v")).collect();
        let full = || Err(ProduceError::QueueFull);
        let sent = producer.send_each(records(4)).await;
        assert_eq!(sent, [Ok(at(0)), Ok(at(1)), Ok(at(2)), full()]);
        let calls = (producer.send_each(records(2)), producer.send_each(records(2)));
        let (first, second) = futures::join!(calls.0, calls.1);
        assert!(first.iter().all(Result::is_ok), "{first:?}");
        assert!(second[0].is_ok() && second[1] == full(), "{second:?}");
        assert!(producer.send(records(3)).await.is_ok());
        assert_eq!(support::count(shared_kafka(), "full").await, 9);
    });
}

#[test]
fn partitions_that_are_added_are_found() {
    run(async {
        create(shared_kafka(), "growing", 1, &[]).await;
        let metadata_max_age = Duration::from_millis(1);
        let producer = producer(Config { metadata_max_age, ..config() });
        producer.send(vec![record("growing", "k", "v")]).await.unwrap();
        let alter = ["--alter", "--topic", "growing", "--partitions", "5"];
        shared_kafka().tool("org.apache.kafka.tools.TopicCommand", &alter).await.unwrap();
        support::within("the partitions", async {
            loop {
                let records = (0..50).map(|n| record("growing", n.to_string(), "v")).collect();
                let deliveries = producer.send(records).await.unwrap();
                if deliveries.iter().any(|delivery| delivery.partition > 0) {
                    break;
                }
            }
        })
        .await;
    });
}
