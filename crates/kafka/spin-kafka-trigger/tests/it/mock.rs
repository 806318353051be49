//! The engine on the mock cluster of librdkafka.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::ledger::Ledger;
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, producer, until, within};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _};
use spin_kafka_trigger::{Batch, Bound, Config, Error, Failure, Position, Range, Start, Trigger};

const TOPIC: &str = "sales-topic";

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn start(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        Self(cluster)
    }

    fn config(&self) -> Config {
        config(&self.brokers(), TOPIC)
    }

    fn brokers(&self) -> String {
        self.0.bootstrap_servers()
    }

    fn produce(&self, count: usize, bytes: usize) {
        produce(&self.brokers(), TOPIC, 0, count, bytes);
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        committed(&self.brokers(), TOPIC, TOPIC, partition)
    }
}

fn offsets(batches: &[Batch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| &batch.records).map(|message| message.offset).collect()
}

/// Every batch must begin where the previous one ended.
fn assert_joined(batches: &[Batch]) {
    assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start), "{batches:?}");
}

#[tokio::test]
async fn unreachable_brokers_are_reported_until_they_answer() {
    let cluster = Cluster::start(1);
    cluster.produce(1, 10);
    let mut session = Session::start(cluster.config());
    session.apply_until(1).await;
    assert!(session.progress.is_answered());
    cluster.0.broker_down(1).unwrap();
    until("the complaint", || !session.progress.is_answered()).await;
    cluster.0.broker_up(1).unwrap();
    until("no complaint", || session.progress.is_answered()).await;
    session.stop().await;
}

#[tokio::test]
async fn batches_are_bounded_and_in_order() {
    let cluster = Cluster::start(1);
    cluster.produce(2_500, 10);
    let config = cluster.config().batch_records_max(400).batch_bytes_max(54_505);
    let mut session = Session::start(config);
    let batches = session.apply_until(2_500).await;
    assert!(batches.iter().all(|batch| (1..=250).contains(&batch.records.len())));
    assert!(batches.iter().any(|batch| batch.records.len() == 250), "a backlog fills batches");
    assert_eq!(batches[0].start, 0);
    assert_joined(&batches);
    assert_eq!(offsets(&batches), (0..2_500).collect::<Vec<_>>());
    assert_eq!(session.stop().await.records, 2_500);
}

#[tokio::test]
async fn a_broker_that_cannot_find_records_by_time_is_reported() {
    let cluster = Cluster::start(1);
    cluster.produce(3, 10);
    let trigger = Trigger::new(cluster.config(), Ledger::default()).unwrap();
    let range = Range { from: "2026-01-01T00:00:00Z".parse().unwrap(), to: Bound::Latest };
    let ended = within("the replay", trigger.replay(range, std::future::pending())).await;
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Range { .. }), "{error}");
    assert!(error.to_string().contains("give offsets"), "{error}");
}

#[tokio::test]
async fn records_are_delivered_as_they_are_in_the_log() {
    let cluster = Cluster::start(1);
    let producer = producer(&cluster.brokers());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "twice", value: Some("1") })
        .insert(Header { key: "twice", value: Some(&b"\xff\x00"[..]) })
        .insert(Header { key: "null", value: None::<&str> })
        .insert(Header { key: "empty", value: Some("") });
    let key = [0xff, 0x00, 0x80];
    producer
        .send(BaseRecord::to(TOPIC).key(&key[..]).payload("value").timestamp(77).headers(headers))
        .unwrap();
    producer.send(BaseRecord::<_, ()>::to(TOPIC).key("tombstone")).unwrap();
    producer.send(BaseRecord::<(), _>::to(TOPIC).payload("")).unwrap();
    producer.flush(WAIT_LIMIT).unwrap();

    let mut session = Session::start(cluster.config());
    let batches = session.apply_until(3).await;
    let records: Vec<_> = batches.into_iter().flat_map(|batch| batch.records).collect();
    assert_eq!(records[0].key.as_deref(), Some(&key[..]));
    assert_eq!(records[0].value.as_deref(), Some(&b"value"[..]));
    assert_eq!(records[0].timestamp_ms, Some(77));
    let headers: Vec<_> =
        records[0].headers.iter().map(|h| (&*h.name, h.value.as_deref())).collect();
    let expected: [(&str, Option<&[u8]>); 4] =
        [("twice", Some(b"1")), ("twice", Some(b"\xff\x00")), ("null", None), ("empty", Some(b""))];
    assert_eq!(headers, expected);
    assert_eq!((records[1].value.as_deref(), records[1].headers.len()), (None, 0));
    assert_eq!((records[2].key.as_deref(), records[2].value.as_deref()), (None, Some(&b""[..])));
    session.stop().await;
}

#[tokio::test]
async fn a_retry_repeats_the_same_batch() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start(cluster.config());
    let first = session.call().await.fail(Failure::Retry("store down".into()));
    let second = session.call().await;
    assert_eq!(Batch { attempt: 2, ..first.clone() }, second.batch);
    cluster.produce(10, 10);
    second.apply();
    let next = session.apply_until(20).await;
    assert_eq!(next[0].start, first.end);
    assert_eq!(session.metrics.retries.get(), 1);
    session.stop().await;
}

#[tokio::test]
async fn a_batch_that_breaks_the_handler_is_repeated_in_halves() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start(cluster.config());
    // If the call is dropped without an answer, the handler panics.
    let whole = session.call().await.batch;
    let first = session.call().await.apply();
    let second = session.call().await.apply();
    assert_eq!((first.start, first.end), (whole.start, whole.start + 5));
    assert_eq!((second.start, second.end), (first.end, whole.end));
    assert_eq!([whole.attempt, first.attempt, second.attempt], [1, 2, 2]);
    assert_eq!([first.records, second.records].concat(), whole.records);
    assert_eq!(session.metrics.breakdowns.get(), 1);
    session.stop().await;
}

#[tokio::test]
async fn a_rewind_continues_at_its_position() {
    let cluster = Cluster::start(1);
    cluster.produce(30, 10);
    let mut session = Session::start(cluster.config().batch_records_max(10));
    session.apply_until(20).await;
    let third = session.call().await.fail(Failure::Rewind(5));
    assert_eq!(third.start, 20);
    let again = session.apply_until(30).await;
    assert_eq!(again[0].start, 5);
    assert_joined(&again);
    assert_eq!(offsets(&again), (5..30).collect::<Vec<_>>());
    assert_eq!(session.metrics.rewinds.get(), 1);
    session.stop().await;
}

#[tokio::test]
async fn a_store_that_lost_everything_is_rebuilt() {
    let cluster = Cluster::start(1);
    cluster.produce(30, 10);
    let config = cluster.config().batch_records_max(10).commit_interval(Duration::from_millis(50));
    let group = config.group.clone();
    let mut session = Session::start_at(config, |_, _, _| Ok(Position::Start));
    let read = session.apply_until(20).await;
    assert!(read.iter().all(|batch| *batch.group == *group));
    let expected: Vec<_> = read.iter().map(|batch| batch.expected_position).collect();
    assert_eq!(expected, [None, Some(10)]);
    until("the commit", || cluster.committed(0) == Some(20)).await;
    let third = session.call().await.fail(Failure::Lost);
    assert_eq!((third.start, third.expected_position), (20, Some(20)));
    let again = session.apply_until(30).await;
    assert_eq!((again[0].start, again[0].expected_position), (0, None));
    assert_joined(&again);
    assert_eq!(offsets(&again), (0..30).collect::<Vec<_>>());
    assert_eq!(session.metrics.rebuilds.get(), 1);
    session.stop().await;
}

#[tokio::test]
async fn the_first_position_of_a_group_is_committed() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start_at(cluster.config(), |_, _, _| Ok(Position::At(0)));
    assert_eq!(session.call().await.apply().expected_position, Some(0));
    session.stop().await;
}

#[tokio::test]
async fn a_broken_contract_stops_the_engine_and_names_the_offset() {
    for (broken, text) in [
        (Failure::Fatal("the table is missing".into()), "the table is missing"),
        (Failure::Rewind(10), "not before the batch's start"),
        (Failure::Rewind(-1), "not before the batch's start"),
    ] {
        let cluster = Cluster::start(1);
        cluster.produce(20, 10);
        let mut session = Session::start(cluster.config().batch_records_max(10));
        session.apply_until(10).await;
        session.call().await.fail(broken);
        let error = session.ended().await.unwrap_err();
        assert!(
            matches!(&error, Error::Handler { topic, partition: 0, offset: 10, .. } if topic == TOPIC),
            "{error:?}"
        );
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.is_retriable());
        assert_eq!(cluster.committed(0), Some(10), "what was applied before is committed");
    }
}

#[tokio::test]
async fn rejections_are_counted_and_the_partition_continues() {
    let cluster = Cluster::start(1);
    cluster.produce(20, 10);
    let mut session = Session::start(cluster.config().batch_records_max(10));
    session.call().await.reject(&[3, 7]);
    let second = session.call().await;
    assert_eq!(second.batch.start, 10);
    until("both rejections", || session.metrics.rejections.get() == 2).await;
    second.reject(&[20]);
    let error = session.ended().await.unwrap_err().to_string();
    assert!(error.contains("rejects offset 20, which is not in the batch 10..20"), "{error}");
}

#[tokio::test]
async fn a_stored_position_is_where_reading_begins() {
    let cluster = Cluster::start(1);
    cluster.produce(30, 10);
    let requests = AtomicUsize::new(0);
    let mut session = Session::start_at(cluster.config(), move |topic, log_id, partition| {
        assert_eq!((topic, partition), (TOPIC, 0));
        assert!(!log_id.is_empty(), "the mock cluster has an id");
        match requests.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Failure::Retry("store down".into())),
            1 => panic!("a panic is a temporary failure, too"),
            _ => Ok(Position::At(17)),
        }
    });
    let batches = session.apply_until(30).await;
    assert_eq!(batches[0].start, 17);
    assert_eq!(offsets(&batches), (17..30).collect::<Vec<_>>());
    session.stop().await;
}

#[tokio::test]
async fn a_handler_without_a_stored_position_begins_at_the_configured_start() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start(cluster.config());
    session.apply_until(10).await;
    session.stop().await;

    let mut session = Session::start_at(cluster.config(), |_, _, _| Ok(Position::Start));
    let again = session.apply_until(10).await;
    assert_eq!(again[0].start, 0, "committed offsets are not for a handler that keeps its own");
    session.stop().await;
}

#[tokio::test]
async fn results_of_another_program_are_continued_at_its_committed_offsets() {
    let cluster = Cluster::start(1);
    let mut other = Session::start(cluster.config());
    cluster.produce(10, 10);
    other.apply_until(10).await;
    other.stop().await;
    assert_eq!(cluster.committed(0), Some(10));

    cluster.produce(5, 10);
    let mut session = Session::start_at(cluster.config(), |_, _, _| Ok(Position::Adopted));
    let first = &session.apply_until(15).await[0];
    assert_eq!((first.start, first.expected_position), (10, None), "nothing was applied yet");
    cluster.produce(5, 10);
    session.call().await.fail(Failure::Lost);
    let error = session.ended().await.unwrap_err().to_string();
    assert!(error.contains("lost its position, which was 15"), "{error}");

    let mut other_group = cluster.config();
    other_group.group = "other".into();
    let session = Session::start_at(other_group, |_, _, _| Ok(Position::Adopted));
    let error = session.ended().await.unwrap_err().to_string();
    assert!(error.contains("the group `other` has committed no offset"), "{error}");
}

#[tokio::test]
async fn a_wrong_answer_for_a_position_is_fatal() {
    for wrong in [
        Err(Failure::Rewind(1)),
        Err(Failure::Lost),
        Ok(Position::At(-5)),
        Err(Failure::Fatal("x".into())),
    ] {
        let cluster = Cluster::start(1);
        let session = Session::start_at(cluster.config(), move |_, _, _| wrong.clone());
        let error = session.ended().await.unwrap_err();
        assert!(matches!(error, Error::Handler { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_new_group_at_the_end_skips_no_record_after_a_restart() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let config = cluster.config().start(Start::Latest).commit_interval(Duration::from_millis(50));
    let session = Session::start(config.clone());
    until("the first position's commit", || cluster.committed(0) == Some(10)).await;
    session.stop().await;
    cluster.produce(5, 10);
    let mut session = Session::start(config);
    let batches = session.apply_until(15).await;
    assert_eq!(batches[0].start, 10);
    session.stop().await;
}

#[tokio::test]
async fn a_drain_waits_for_the_batch_in_flight_and_commits_it() {
    let cluster = Cluster::start(1);
    cluster.produce(30, 10);
    let config = cluster.config().batch_records_max(10);
    let mut session = Session::start(config.clone());
    session.apply_until(10).await;
    let in_flight = session.call().await;
    session.signal();
    in_flight.apply();
    let summary = session.stop_applying().await;
    assert_eq!((summary.unfinished, summary.left_group), (0, true));
    assert!(summary.records >= 20, "the batch in flight was waited for");
    let end = summary.records as i64;
    assert_eq!(cluster.committed(0), Some(end));

    cluster.produce(10, 10);
    let mut session = Session::start(config);
    let rest = session.apply_until(40).await;
    assert_eq!((rest[0].start, offsets(&rest)), (end, (end..40).collect()));
    session.stop().await;
}

#[tokio::test]
async fn after_the_drain_deadline_a_batch_is_dropped_and_delivered_again() {
    let cluster = Cluster::start(1);
    cluster.produce(20, 10);
    let config = cluster.config().batch_records_max(10).drain_deadline(Duration::from_millis(100));
    let mut session = Session::start(config.clone());
    session.apply_until(10).await;
    let stuck = session.call().await;
    session.signal();
    let summary = session.ended().await.unwrap();
    assert!(stuck.is_abandoned());
    assert_eq!((summary.records, summary.unfinished), (10, 1));
    assert_eq!(cluster.committed(0), Some(10));

    let mut session = Session::start(config);
    let again = session.call().await.apply();
    assert_eq!(again, stuck.batch);
    session.stop().await;
}

#[tokio::test]
async fn after_a_lost_assignment_the_batch_in_flight_is_delivered_again() {
    let cluster = Cluster::start(1);
    cluster.produce(20, 10);
    let mut session = Session::start(cluster.config().batch_records_max(10));
    session.apply_until(10).await;
    until("the commit", || cluster.committed(0) == Some(10)).await;
    let in_flight = session.call().await;
    cluster.0.broker_down(-1).unwrap();
    until("the loss of the assignment", || in_flight.is_abandoned()).await;
    cluster.0.broker_up(-1).unwrap();
    let again = session.call().await.apply();
    assert_eq!(again, in_flight.batch);
    let summary = session.stop().await;
    assert_eq!((summary.records, summary.unfinished), (20, 1));
}

#[tokio::test]
async fn a_slow_handler_keeps_its_partition() {
    let cluster = Cluster::start(1);
    cluster.produce(20, 10);
    let interval = [("max.poll.interval.ms".to_owned(), "4000".to_owned())];
    let config = cluster
        .config()
        .batch_records_max(10)
        .session_timeout(Duration::from_secs(4))
        .drain_deadline(Duration::from_millis(500))
        .client(interval);
    let mut session = Session::start(config);
    let slow = session.call().await;
    let before = session.metrics.rebalances.get();
    // This sleep does not wait for a condition: the call takes longer than the session timeout of a
    // member.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!slow.is_abandoned());
    slow.apply();
    let next = session.call().await.apply();
    assert_eq!(next.start, 10);
    assert_eq!(session.metrics.rebalances.get(), before, "the membership remained");
    session.stop().await;
}

/// More records than the mock cluster keeps: it keeps 5 MB of a partition.
const MORE_THAN_THE_LOG_HOLDS: (usize, usize) = (800, 10_000);

#[tokio::test]
async fn a_position_below_the_start_of_the_log_is_reported() {
    let cluster = Cluster::start(1);
    let (count, bytes) = MORE_THAN_THE_LOG_HOLDS;
    cluster.produce(count, bytes);
    let mut session = Session::start_at(cluster.config(), |_, _, _| Ok(Position::At(2)));
    let batches = session.apply_until(count as i64).await;
    let log_start = offsets(&batches)[0];
    assert!(log_start > 2, "the mock cluster dropped nothing");
    assert_eq!(batches[0].start, 2, "the batch covers lost offsets, too");
    assert_joined(&batches);
    assert_eq!(session.metrics.records_lost.get(), log_start as u64 - 2);
    session.stop().await;
}

#[tokio::test]
async fn records_deleted_during_a_slow_call_are_reported() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start(cluster.config().batch_records_max(5));
    // Five records are with the handler and five are queued when the beginning of the log moves.
    let slow = session.call().await;
    let (count, bytes) = MORE_THAN_THE_LOG_HOLDS;
    // Large enough for the fetched part to end before the log's new start.
    for _ in 0..4 {
        cluster.produce(count, bytes);
    }
    let end = 10 + 4 * count as i64;
    slow.apply();
    let batches = session.apply_until(end).await;
    assert_joined(&batches);
    let seen = offsets(&batches);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    let missing = end as usize - 5 - seen.len();
    assert!(missing > 0, "the mock cluster dropped nothing");
    assert_eq!(session.metrics.records_lost.get(), missing as u64);
    session.stop().await;
}

#[tokio::test]
async fn a_position_beyond_the_end_of_the_log_is_reported() {
    let cluster = Cluster::start(1);
    cluster.produce(10, 10);
    let mut session = Session::start_at(cluster.config(), |_, _, _| Ok(Position::At(1_000)));
    until("the loss", || session.metrics.records_lost.get() == 990).await;
    cluster.produce(5, 10);
    let batches = session.apply_until(15).await;
    assert_eq!(batches[0].start, 10);
    session.stop().await;
}

#[tokio::test]
async fn an_engine_without_a_broker_waits_and_stops_on_request() {
    let cluster = Cluster::start(1);
    cluster.0.broker_down(-1).unwrap();
    let mut session = Session::start(cluster.config());
    assert!(session.try_call().is_none());
    cluster.0.broker_up(-1).unwrap();
    cluster.produce(10, 10);
    session.apply_until(10).await;
    cluster.0.broker_down(-1).unwrap();
    session.signal();
    within("the end", session.ended()).await.unwrap();
}
