//! Which records are read, and in which order, on a real Kafka broker.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::cluster::{brokers, create_topic};
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, producer, until};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use spin_kafka_trigger::{Batch, GroupProtocol, Position, Start};

fn offsets(batches: &[Batch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| &batch.records).map(|message| message.offset).collect()
}

/// Writes records with these keys and JSON values to partition 0.
fn produce_each<'a>(brokers: &str, topic: &str, records: impl Iterator<Item = (&'a str, String)>) {
    let producer = producer(brokers);
    for (key, value) in records {
        let record = BaseRecord::to(topic).partition(0).key(key).payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_at_a_time() {
    let (brokers, topic) = (brokers(), "at-a-time");
    create_topic(&brokers, topic, 1).await;
    let producer = producer(&brokers);
    // Recent enough that retention does not delete the records.
    let epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 - 60_000;
    for timestamp in [1_000, 2_000, 3_000, 4_000] {
        let record = BaseRecord::<(), _>::to(topic).payload("x").timestamp(epoch + timestamp);
        producer.send(record).unwrap();
        producer.flush(WAIT_LIMIT).unwrap();
    }
    for (time, group, first) in [(2_500, "between", 2), (3_000, "exact", 2), (0, "before", 0)] {
        let start = Start::Timestamp(epoch + time);
        let config = config(&brokers, topic).start(start).group(group);
        let mut session = Session::start(config);
        assert_eq!(offsets(&session.apply_until(4).await)[0], first, "{group}");
        session.stop().await;
    }
    let start = Start::Timestamp(epoch + 9_000);
    let config = config(&brokers, topic).start(start).group("after");
    let mut session = Session::start(config);
    until("the position", || committed(&brokers, "after", topic, 0) == Some(4)).await;
    produce(&brokers, topic, 0, 1, 1);
    assert_eq!(session.apply_until(5).await[0].start, 4);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_for_positions_count_as_calls() {
    const PARTITIONS: i32 = 8;
    let (brokers, topic) = (brokers(), "positions-as-calls");
    create_topic(&brokers, topic, PARTITIONS).await;
    let config = config(&brokers, topic).concurrency_max(1);
    let (requests, at_once, most) =
        <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counters = (requests.clone(), at_once, most.clone());
    let session = Session::start_at(config, move |_, _, _| {
        let (requests, at_once, most) = &counters;
        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // A slow query: the others arrive in the meantime.
        std::thread::sleep(Duration::from_millis(20));
        at_once.fetch_sub(1, Ordering::SeqCst);
        requests.fetch_add(1, Ordering::SeqCst);
        Ok(Position::Committed)
    });
    until("the positions", || requests.load(Ordering::SeqCst) >= PARTITIONS as usize).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_reads_every_matching_topic_and_those_created_later() {
    let brokers = brokers();
    create_topic(&brokers, "matched-1", 1).await;
    create_topic(&brokers, "other-matched", 1).await;
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let later = format!("matched-later-{group_protocol:?}");
        let refresh = [("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned())];
        let mut session = Session::start(
            config(&brokers, "")
                .topics(["^matched-.*"])
                .dead_letter_topic("letters")
                .group(format!("pattern-{group_protocol:?}"))
                .group_protocol(group_protocol)
                .client(refresh),
        );
        produce(&brokers, "matched-1", 0, 1, 1);
        produce(&brokers, "other-matched", 0, 1, 1);
        assert!(session.call().await.apply().topic.starts_with("matched-"));
        create_topic(&brokers, &later, 1).await;
        produce(&brokers, &later, 0, 1, 1);
        let mut seen = HashSet::new();
        while !seen.contains(&later) {
            seen.insert(session.call().await.apply().topic.to_string());
        }
        assert!(!seen.contains("other-matched"));
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_means_the_same_with_both_protocols() {
    let brokers = brokers();
    for topic in ["rx-1", "rx-12-more", "rx-d", "xrx-2", "ry.3", "ryx3"] {
        create_topic(&brokers, topic, 1).await;
        produce(&brokers, topic, 0, 1, 1);
    }
    for (number, (pattern, matched)) in [
        (r"^rx-[0-9]+$", &["rx-1"][..]),
        (r"^rx-[0-9]", &["rx-1", "rx-12-more"]),
        (r"^rx-d|ry\.[1-3]", &["rx-d", "ry.3"]),
    ]
    .iter()
    .enumerate()
    {
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let mut session = Session::start(
                config(&brokers, "")
                    .topics([*pattern])
                    .dead_letter_topic("letters")
                    .group(format!("rx-{number}-{group_protocol:?}"))
                    .group_protocol(group_protocol),
            );
            let mut seen = Vec::new();
            while seen.len() < matched.len() {
                seen.push(session.call().await.apply().topic.to_string());
            }
            until("all partitions", || session.progress.partitions().len() >= matched.len()).await;
            let owned = session.progress.partitions();
            let owned: Vec<_> = owned.iter().map(|partition| &*partition.topic).collect();
            assert_eq!(owned, *matched, "{pattern} {group_protocol:?}");
            session.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_filter_drops_are_not_handed_over() {
    let (brokers, topic) = (brokers(), "filtered");
    create_topic(&brokers, topic, 1).await;
    let values = (0..1_000).map(|n| ("tv-42", format!(r#"{{"categoria":{}}}"#, n % 100)));
    produce_each(&brokers, topic, values);
    let filters = ["on='json:/categoria'\nequals='7'", "on='key'\nprefix='tv-'"];
    let filters = filters.iter().map(|text| toml::from_str(text).unwrap());
    let mut session = Session::start(config(&brokers, topic).filters(filters));
    let mut seen = Vec::new();
    while seen.len() < 10 {
        seen.extend(offsets(&[session.call().await.apply()]));
    }
    assert_eq!(seen, (0..10).map(|n| n * 100 + 7).collect::<Vec<_>>());
    until("the end", || committed(&brokers, topic, topic, 0) == Some(1_000)).await;
    assert_eq!(session.metrics.filtered.get(), 990);
    assert_eq!(session.stop().await.records, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_keeps_its_position_gets_the_offsets_of_filtered_records() {
    let (brokers, topic) = (brokers(), "filtered-kept");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    let filters = vec![toml::from_str("on='key'\nequals='never'").unwrap()];
    let config = config(&brokers, topic).filters(filters);
    let mut session = Session::start_at(config, |_, _, _| Ok(Position::Start));
    let batches = session.apply_until(10).await;
    assert_eq!((batches[0].start, offsets(&batches).len()), (0, 0));
    assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_handled_concurrently_and_each_in_order() {
    let (brokers, topic) = (brokers(), "by-key");
    create_topic(&brokers, topic, 1).await;
    let keys: Vec<String> = (0..50).map(|n| format!("key-{}", n % 10)).collect();
    produce_each(&brokers, topic, keys.iter().map(|key| (key.as_str(), String::new())));
    let config = config(&brokers, topic).key_concurrency(4).batch_wait(Duration::from_secs(2));
    let mut session = Session::start(config);
    // All parts of the batch are with the handler before one of them is answered.
    let mut calls = vec![session.call().await, session.call().await];
    let records = |calls: &[crate::support::Call]| {
        calls.iter().map(|call| call.batch.records.len()).sum::<usize>()
    };
    while records(&calls) < 50 {
        calls.push(session.call().await);
    }
    assert!(calls.len() <= 4);
    let mut home = std::collections::HashMap::new();
    for (part, call) in calls.iter().enumerate() {
        let records = &call.batch.records;
        assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        for message in records {
            assert_eq!(*home.entry(message.key.clone()).or_insert(part), part);
        }
    }
    let last = calls.pop().unwrap();
    calls.into_iter().for_each(|call| drop(call.apply()));
    assert_eq!(committed(&brokers, topic, topic, 0), Some(0), "not before all are applied");
    last.apply();
    until("the end", || committed(&brokers, topic, topic, 0) == Some(50)).await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_take_turns_if_memory_is_not_sufficient_for_all() {
    const PARTITIONS: i32 = 7;
    let (brokers, topic) = (brokers(), "turns");
    create_topic(&brokers, topic, PARTITIONS).await;
    let config = config(&brokers, topic)
        .queue_bytes_max(1024 * 1024)
        .batch_bytes_max(1024 * 1024)
        // Sufficient for two partitions: four times the queue, six fetches of 1 MiB, two batches
        // and 192 KiB each.
        .memory_bytes_max(26 * 1024 * 1024);
    let mut session = Session::start(config);
    for round in 1..=2 {
        for partition in 0..PARTITIONS {
            produce(&brokers, topic, partition, 100, 10);
        }
        let mut left: HashSet<i32> = (0..PARTITIONS).collect();
        while !left.is_empty() {
            let batch = session.call().await.apply();
            if batch.end == round * 100 {
                left.remove(&batch.partition);
            }
        }
    }
    let summary = session.stop().await;
    assert_eq!(summary.records, 2 * 100 * PARTITIONS as u64, "each record once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_gets_its_partitions_again() {
    let brokers = brokers();
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let group = format!("lasting-{group_protocol:?}");
        let topic = &group.to_lowercase();
        create_topic(&brokers, topic, 2).await;
        let config = config(&brokers, topic).group_protocol(group_protocol).group(group.clone());
        let named = |name: &str| config.clone().instance_id(name);
        let both = Session::start(named("first"));
        let mut second = Session::start(named("second"));
        let owns_one = |session: &Session| session.progress.partitions().len() == 1;
        until("one partition each", || owns_one(&both) && owns_one(&second)).await;
        until("the membership", || both.progress.is_member()).await;
        let theirs = both.progress.partitions()[0].partition;
        both.stop().await;
        let rebalances = second.metrics.rebalances.get();
        let mut again = Session::start(named("first"));
        until("the partition", || owns_one(&again)).await;
        assert_eq!(again.progress.partitions()[0].partition, theirs);
        assert_eq!(second.metrics.rebalances.get(), rebalances, "the other member is not affected");
        produce(&brokers, topic, theirs, 1, 1);
        assert_eq!(again.call().await.apply().partition, theirs);
        again.stop().await;
        assert!(second.try_call().is_none_or(|call| call.batch.partition != theirs));
        second.stop_applying().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_and_a_large_record_are_read() {
    let (brokers, topic) = (brokers(), "codecs");
    create_topic(&brokers, topic, 1).await;
    let large = vec![b'x'; 1_000_000];
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("compression.codec", codec)
            .set("message.max.bytes", "1048576")
            .create()
            .unwrap();
        let headers = OwnedHeaders::new().insert(Header { key: "codec", value: Some(codec) });
        let record = BaseRecord::to(topic).key("").payload(&large).headers(headers);
        producer.send(record).unwrap();
        producer.flush(WAIT_LIMIT).unwrap();
    }
    let mut session = Session::start(config(&brokers, topic));
    let batches = session.apply_until(codecs.len() as i64).await;
    let records: Vec<_> = batches.iter().flat_map(|batch| &batch.records).collect();
    for (message, codec) in records.iter().zip(codecs) {
        assert_eq!(message.value.as_deref(), Some(&large[..]), "{codec}");
        assert_eq!(message.headers[0].value.as_deref(), Some(codec.as_bytes()));
        assert_eq!(message.key.as_deref(), Some(&b""[..]));
    }
    assert_eq!(records.len(), codecs.len());
    session.stop().await;
}
