//! The engine on a real Kafka broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::cluster::{
    brokers, create_topic, create_topic_with, delete_records, delete_topic,
};
use crate::support::ledger::Ledger;
use crate::support::letters::records;
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, until, within};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use spin_kafka_trigger::{Config, GroupProtocol, Position, Trigger};
use test_servers::{Kafka, KafkaConfig};
use tokio_util::sync::CancellationToken;

/// One member of a group that applies everything.
fn member(config: Config, ledger: &Ledger) -> (CancellationToken, tokio::task::JoinHandle<u64>) {
    let stop = CancellationToken::new();
    let run = Trigger::run(config, ledger.clone(), stop.clone().cancelled_owned());
    (stop, tokio::spawn(async { run.await.unwrap().unfinished }))
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_join_and_leave_under_load_apply_every_record_once() {
    const PARTITIONS: i32 = 4;
    let (brokers, topic) = (brokers(), "join-and-leave");
    create_topic(&brokers, topic, PARTITIONS).await;
    let config = config(&brokers, topic).batch_records_max(20);
    let ledger = Ledger::default();

    let done = Arc::new(AtomicBool::new(false));
    let load = tokio::task::spawn_blocking({
        let (brokers, done) = (brokers.clone(), done.clone());
        move || {
            let mut records = 0;
            while !done.load(Ordering::Relaxed) {
                for partition in 0..PARTITIONS {
                    produce(&brokers, topic, partition, 50, 20);
                    records += 50;
                }
            }
            records
        }
    });

    let (stop_first, first) = member(config.clone(), &ledger);
    for _ in 0..4 {
        // Each step waits for progress, so that every rebalance happens under load.
        let before = ledger.records();
        let (stop_second, second) = member(config.clone(), &ledger);
        until("progress with two members", || ledger.records() > before + 1_000).await;
        stop_second.cancel();
        assert_eq!(within("the second member's end", second).await.unwrap(), 0);
        let before = ledger.records();
        until("progress with one member", || ledger.records() > before + 1_000).await;
    }
    done.store(true, Ordering::Relaxed);
    let records: usize = within("the load's end", load).await.unwrap();
    until("every record", || ledger.records() == records).await;
    stop_first.cancel();
    assert_eq!(within("the first member's end", first).await.unwrap(), 0);
    assert_eq!(ledger.breaks(), Vec::<String>::new());
    assert_eq!(ledger.repeated(), 0, "no record was applied twice at a handover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_partition_is_handed_over_at_the_exact_offset() {
    let (brokers, topic) = (brokers(), "handed-over");
    create_topic(&brokers, topic, 2).await;
    let write_to_both = || (0..2).for_each(|partition| produce(&brokers, topic, partition, 10, 10));
    write_to_both();
    let config = config(&brokers, topic).batch_records_max(10);
    let mut first = Session::start(config.clone());
    let busy = [first.call().await, first.call().await];
    assert_ne!(busy[0].batch.partition, busy[1].batch.partition);
    write_to_both();
    let before = first.metrics.rebalances.get();
    let mut second = Session::start(config);
    until("the rebalance", || first.metrics.rebalances.get() > before).await;
    // The revocation waits for the handler: the second member gets no partition before the
    // handler's answer.
    assert!(second.try_call().is_none());
    busy.into_iter().for_each(|call| {
        call.apply();
    });
    let handed_over = second.call().await.apply();
    let kept = first.call().await.apply();
    assert_eq!((handed_over.start, kept.start), (10, 10));
    assert_ne!(handed_over.partition, kept.partition);
    assert_eq!(first.stop().await.unfinished, 0);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_is_another_log() {
    let (brokers, topic) = (brokers(), "made-again");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    let logs = Arc::new(Mutex::new(Vec::new()));
    let seen = logs.clone();
    let config = config(&brokers, topic).client([(
        // Limits the time until the client notices that a topic is gone.
        "topic.metadata.refresh.interval.ms",
        "500",
    )]);
    let mut session = Session::start_at(config, move |_, log_id, _| {
        seen.lock().unwrap().push(log_id.to_owned());
        Ok(Position::Start)
    });
    let first = session.apply_until(10).await;
    assert!(!first[0].log_id.is_empty());

    delete_topic(&brokers, topic).await;
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 5, 10);
    let second = session.apply_until(5).await;
    assert_eq!(second[0].start, 0, "a new log is read from its beginning");
    assert_ne!(first[0].log_id, second[0].log_id);
    let (cluster, _) = first[0].log_id.split_once('/').unwrap();
    assert!(second[0].log_id.starts_with(cluster), "it is the same cluster");
    session.stop().await;
    let mut logs = logs.lock().unwrap().clone();
    // A log without a position may have been cut before.
    logs.retain(|log| !log.contains('~'));
    logs.dedup();
    assert_eq!(logs, [&*first[0].log_id, &*second[0].log_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_before_they_were_read_are_reported() {
    let (brokers, topic) = (brokers(), "deleted");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 100, 10);
    delete_records(&brokers, topic, 0, 40).await;
    let mut session = Session::start_at(config(&brokers, topic), |_, _, _| Ok(Position::At(15)));
    let batches = session.apply_until(100).await;
    assert_eq!((batches[0].start, batches[0].records[0].offset), (15, 40));
    assert_eq!(session.metrics.records_lost.get(), 25);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_markers_are_gaps_but_not_losses() {
    let (brokers, topic) = (brokers(), "transactions");
    create_topic(&brokers, topic, 1).await;
    let transactions = brokers.clone();
    let write = move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &transactions)
            .set("transactional.id", topic)
            .create()
            .unwrap();
        producer.init_transactions(WAIT_LIMIT).unwrap();
        for transaction in 0..6 {
            producer.begin_transaction().unwrap();
            for _ in 0..3 {
                producer.send(BaseRecord::<(), _>::to(topic).payload("x")).unwrap();
            }
            if transaction % 2 == 0 {
                producer.commit_transaction(WAIT_LIMIT).unwrap();
            } else {
                producer.flush(WAIT_LIMIT).unwrap();
                producer.abort_transaction(WAIT_LIMIT).unwrap();
            }
        }
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    produce(&brokers, topic, 0, 1, 10);

    let mut session = Session::start(config(&brokers, topic).batch_records_max(2));
    // Six transactions of three records and a marker, then the last record.
    let batches = session.apply_until(25).await;
    let offsets: Vec<i64> =
        batches.iter().flat_map(|batch| &batch.records).map(|message| message.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 8, 9, 10, 16, 17, 18, 24], "aborted records are not seen");
    assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(session.metrics.records_lost.get(), 0);
    session.stop().await;
    assert_eq!(committed(&brokers, topic, topic, 0), Some(25));
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_records_are_gaps_but_not_losses() {
    const ROUNDS: i64 = 20;
    let topic = "compacted";
    let properties = vec!["log.cleaner.backoff.ms=100".to_owned()];
    let kafka = Kafka::start(KafkaConfig { properties, ..KafkaConfig::default() }).await.unwrap();
    let brokers = kafka.bootstrap();
    let settings =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "1")];
    create_topic_with(&brokers, topic, 1, &settings).await;
    let producer = crate::support::producer(&brokers);
    for round in 0..ROUNDS {
        let value = round.to_string();
        for key in ["a", "b", "c", "d", "e"] {
            producer.send(BaseRecord::to(topic).key(key).payload(&value)).unwrap();
        }
        producer.flush(WAIT_LIMIT).unwrap();
    }
    let end = ROUNDS * 5;
    let looked = brokers.clone();
    let compacted = move || records(&looked, topic).len() < 50;
    until("the compaction", compacted).await;
    let mut session = Session::start_at(config(&brokers, topic), |_, _, _| Ok(Position::At(0)));
    let batches = session.apply_until(end).await;
    assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
    let records = batches.iter().map(|batch| batch.records.len()).sum::<usize>();
    assert!((5..50).contains(&records), "{records}");
    assert_eq!((batches[0].start, session.metrics.records_lost.get()), (0, 0));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_continues_after_a_broker_restarts() {
    let topic = "restart";
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let brokers = kafka.bootstrap();
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 100, 10);
    let mut session =
        Session::start(config(&brokers, topic).session_timeout(Duration::from_secs(45)));
    session.apply_until(100).await;
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(100)).await;
    let kafka = kafka.restart().await.unwrap();
    produce(&brokers, topic, 0, 100, 10);
    let batches = session.apply_until(200).await;
    assert_eq!(batches[0].start, 100);
    session.stop().await;
    assert_eq!(committed(&brokers, topic, topic, 0), Some(200));
    kafka.stop().await.unwrap();
}

/// The batch in flight is dropped with the lost assignment and delivered again; no record is
/// skipped.
async fn survives(kafka: &Kafka, topic: &str, cut: impl FnOnce(), mend: impl FnOnce()) {
    let brokers = kafka.bootstrap();
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 100, 10);
    // Only full batches, however slowly the client delivers records on a busy machine.
    let config = config(&brokers, topic).batch_records_max(50).batch_wait(Duration::from_secs(10));
    let mut session = Session::start(config);
    session.apply_until(50).await;
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(50)).await;
    let in_flight = session.call().await;
    cut();
    until("the loss of the assignment", || in_flight.is_abandoned()).await;
    mend();
    let again = session.apply_until(100).await;
    assert_eq!((again[0].start, again[0].end), (50, 100));
    produce(&brokers, topic, 0, 100, 10);
    session.apply_until(200).await;
    let summary = session.stop().await;
    assert_eq!((summary.records, summary.unfinished), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_for_a_while_loses_no_record() {
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    survives(&kafka, "frozen", || kafka.pause().unwrap(), || kafka.resume().unwrap()).await;
    kafka.stop().await.unwrap();
}

/// Runs the test program again in a separate network namespace, in which the only link can be
/// cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_for_a_while_loses_no_record() {
    const ALONE: &str = "ALONE_IN_A_NETWORK";
    let link = |state: &str| {
        let set = std::process::Command::new("ip").args(["link", "set", "lo", state]).status();
        assert!(set.unwrap().success(), "ip link set lo {state}");
    };
    if std::env::var_os(ALONE).is_some() {
        link("up");
        let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
        survives(&kafka, "cut-off", || link("down"), || link("up")).await;
        return kafka.stop().await.unwrap();
    }
    let inside = tokio::process::Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "kafka::a_network_that_is_cut_for_a_while_loses_no_record",
            "--exact",
            "--nocapture",
        ])
        .env(ALONE, "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(WAIT_LIMIT, inside).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_is_another_log_also_with_kip_848() {
    let (brokers, topic) = (brokers(), "made-again-848");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    let refresh = [("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned())];
    let mut session = Session::start(
        config(&brokers, topic).group_protocol(GroupProtocol::Consumer).client(refresh),
    );
    let first = session.apply_until(10).await;
    delete_topic(&brokers, topic).await;
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 5, 10);
    let second = session.call().await.apply();
    assert_ne!(first[0].log_id, second.log_id);
    assert_eq!(second.start, 0, "a new log is read from its beginning");
    session.stop_applying().await;
}
