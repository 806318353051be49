//! Records that cannot be applied, on a real Kafka broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::cluster::{brokers, create_topic};
use crate::support::letters::letters;
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, producer, until, within};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer as _};
use spin_kafka_trigger::{
    Batch, Error, FailedRecords, Failure, GroupProtocol, Handler, Position, Rejection, Trigger,
    headers,
};

async fn create_with_letters(brokers: &str, topic: &str) {
    create_topic(brokers, topic, 1).await;
    create_topic(brokers, &format!("{topic}.dead-letter"), 1).await;
}

/// Breaks down at some offsets, and records its calls.
#[derive(Clone, Default)]
struct Fragile {
    poison: Arc<Vec<i64>>,
    applied: Arc<Mutex<HashMap<i64, usize>>>,
    calls: Arc<Mutex<Vec<(i64, i64, usize)>>>,
    keeps_position: bool,
}

impl Fragile {
    fn new(poison: &[i64]) -> Self {
        Self { poison: Arc::new(poison.to_vec()), ..Self::default() }
    }

    fn applied(&self) -> usize {
        self.applied.lock().unwrap().len()
    }
}

impl Handler for Fragile {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let Batch { start, end, records, .. } = batch;
        self.calls.lock().unwrap().push((*start, *end, records.len()));
        if records.iter().any(|message| self.poison.contains(&message.offset)) {
            return Err(Failure::Trap("unreachable".into()));
        }
        let mut applied = self.applied.lock().unwrap();
        for message in records {
            *applied.entry(message.offset).or_default() += 1;
        }
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(if self.keeps_position { Position::Start } else { Position::Committed })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_poison_record_of_a_thousand_is_dead_lettered() {
    let (brokers, topic) = (brokers(), "poison");
    create_with_letters(&brokers, topic).await;
    produce(&brokers, topic, 0, 637, 10);
    let original = producer(&brokers);
    let key = [0xff, 0x00, 0x80];
    let own = OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "twice", value: Some("1") })
        .insert(rdkafka::message::Header { key: "twice", value: None::<&str> });
    original.send(BaseRecord::to(topic).key(&key[..]).payload("bad").headers(own)).unwrap();
    original.flush(WAIT_LIMIT).unwrap();
    produce(&brokers, topic, 0, 362, 10);

    let fragile = Fragile::new(&[637]);
    let trigger = Trigger::new(
        // All records are in one batch: the bisection begins with a thousand.
        config(&brokers, topic).batch_wait(Duration::from_secs(3)),
        fragile.clone(),
    )
    .unwrap();
    let metrics = trigger.metrics();
    let stop = tokio_util::sync::CancellationToken::new();
    let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
    until("the end", || committed(&brokers, topic, topic, 0) == Some(1_000)).await;
    stop.cancel();
    let summary = within("the drain", run).await.unwrap().unwrap();

    assert_eq!((summary.records, summary.dead_letters), (999, 1));
    let applied = fragile.applied.lock().unwrap();
    assert_eq!(applied.len(), 999);
    assert!(applied.values().all(|times| *times == 1), "each of the others once");
    let calls = fragile.calls.lock().unwrap();
    assert_eq!(calls[0], (0, 1_000, 1_000));
    // ceil(log2(1000)) halvings with two calls each, and the first call.
    assert!(calls.len() <= 1 + 2 * 10, "{calls:?}");
    assert!(metrics.breakdowns.get() <= 11);

    let letters = letters(&brokers, topic);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.key.as_deref(), Some(&key[..]));
    assert_eq!(letter.value.as_deref(), Some(&b"bad"[..]));
    let own: Vec<_> = letter.headers.iter().filter(|(name, _)| name == "twice").collect();
    assert_eq!((own[0].1.as_deref(), own[1].1.as_deref()), (Some(&b"1"[..]), None));
    for (header, value) in [
        (headers::GROUP, topic),
        (headers::CLASS, "trap"),
        (headers::ATTEMPTS, "11"),
        (headers::TOPIC, topic),
        (headers::PARTITION, "0"),
        (headers::OFFSET, "637"),
        (headers::REASON, "unreachable"),
        ("__connect.errors.exception.class.name", "spin-kafka.trap"),
        ("__streams.errors.topic", topic),
        ("__streams.errors.partition", "0"),
        ("__streams.errors.offset", "637"),
    ] {
        // The number of halvings may differ by one, because a thousand is not a power of two.
        let found = letter.header(header);
        assert!(
            found == value || (header == headers::ATTEMPTS && found == "10"),
            "{header}: {found}"
        );
    }
    assert!(letter.header(headers::TIME).ends_with('Z'));
    assert!(!letter.has("__streams.errors.message"), "the reason is not repeated");
    assert!(letter.header(headers::TIMESTAMP).parse::<i64>().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_keeps_its_position_is_moved_past_the_poison() {
    let (brokers, topic) = (brokers(), "poison-kept");
    create_with_letters(&brokers, topic).await;
    produce(&brokers, topic, 0, 8, 10);
    let fragile = Fragile { keeps_position: true, ..Fragile::new(&[7]) };
    let trigger = Trigger::new(config(&brokers, topic), fragile.clone()).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
    until("the end", || committed(&brokers, topic, topic, 0) == Some(8)).await;
    stop.cancel();
    within("the drain", run).await.unwrap().unwrap();
    assert_eq!(fragile.applied(), 7);
    assert_eq!(fragile.calls.lock().unwrap().last(), Some(&(7, 8, 0)), "the last batch is empty");
    assert_eq!(letters(&brokers, topic).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offset_moves_only_when_the_letter_is_written() {
    let (brokers, topic) = (brokers(), "no-letters");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    let group_protocol = GroupProtocol::Consumer;
    let mut session = Session::start(config(&brokers, topic).group_protocol(group_protocol));
    session.call().await.reject(&[3, 7]);
    let failures = || session.metrics.dead_letter_failures.get();
    until("two attempts to write", || failures() >= 2).await;
    assert_eq!(session.metrics.rejections.get(), 0, "they may be handed over again");
    assert_eq!(committed(&brokers, topic, topic, 0), Some(0), "the group's first position");
    create_topic(&brokers, "no-letters.dead-letter", 1).await;
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(10)).await;
    let summary = session.stop().await;
    assert_eq!((summary.dead_letters, summary.rejections), (2, 2));
    let letters = letters(&brokers, topic);
    let offsets: Vec<_> = letters.iter().map(|letter| letter.header(headers::OFFSET)).collect();
    assert_eq!(offsets, ["3", "7"]);
    assert_eq!(letters[0].header(headers::CLASS), "rejected");
    assert_eq!(letters[0].header(headers::REASON), "bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_were_not_written_before_a_crash_are_written_after_it() {
    let (brokers, topic) = (brokers(), "unwritten-letters");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    // The handler applied everything and stored its position, but the letters could not be written.
    let config = config(&brokers, topic).drain_deadline(Duration::from_millis(100));
    let mut session = Session::start_at(config.clone(), |_, _, _| Ok(Position::At(0)));
    session.call().await.reject(&[3]);
    until("an attempt to write", || session.metrics.dead_letter_failures.get() > 0).await;
    assert_eq!(session.stop().await.dead_letters, 0);
    create_topic(&brokers, "unwritten-letters.dead-letter", 1).await;
    let mut session = Session::start_at(config, |_, _, _| Ok(Position::At(10)));
    let batch = session.call().await.reject(&[3]);
    assert_eq!((batch.start, batch.expected_position), (0, Some(10)));
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(10)).await;
    assert_eq!(session.stop().await.dead_letters, 1);
    assert_eq!(letters(&brokers, topic).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_continues_and_stop_stops_before_the_record() {
    let brokers = brokers();
    for (topic, failed_records) in [("skip", FailedRecords::Skip), ("stop", FailedRecords::Stop)] {
        create_topic(&brokers, topic, 1).await;
        produce(&brokers, topic, 0, 8, 10);
        let fragile = Fragile::new(&[5]);
        let config = config(&brokers, topic).failed_records(failed_records);
        let trigger = Trigger::new(config, fragile.clone()).unwrap();
        let metrics = trigger.metrics();
        let stop = tokio_util::sync::CancellationToken::new();
        let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
        if failed_records == FailedRecords::Skip {
            until("the end", || committed(&brokers, topic, topic, 0) == Some(8)).await;
            stop.cancel();
            within("the drain", run).await.unwrap().unwrap();
            assert_eq!((fragile.applied(), metrics.skipped.get()), (7, 1));
        } else {
            let error = within("the stop", run).await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Poison { offset: 5, .. }), "{error}");
            assert_eq!(fragile.applied(), 5);
            assert_eq!(committed(&brokers, topic, topic, 0), Some(5));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_retries_is_limited_by_the_setting() {
    let (brokers, topic) = (brokers(), "retries");
    create_with_letters(&brokers, topic).await;
    produce(&brokers, topic, 0, 2, 10);
    let config = config(&brokers, topic).retry_attempts_max(2).poison_attempts(2);
    let mut session = Session::start(config);
    let retry = || Failure::Retry("the product is unknown".into());
    for expected in [(0, 2), (0, 2), (0, 1), (0, 1)] {
        let batch = session.call().await.fail(retry());
        assert_eq!((batch.start, batch.end), expected);
    }
    assert_eq!(session.call().await.apply().start, 1);
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(2)).await;
    assert_eq!(session.stop().await.dead_letters, 1);
    assert_eq!(letters(&brokers, topic)[0].header(headers::CLASS), "retries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_breaks_on_every_record_stops_the_engine() {
    let (brokers, topic) = (brokers(), "broken-handler");
    create_with_letters(&brokers, topic).await;
    produce(&brokers, topic, 0, 20, 10);
    let every: Vec<i64> = (0..20).collect();
    let config = config(&brokers, topic).poison_in_a_row_max(4);
    let run = Trigger::run(config, Fragile::new(&every), std::future::pending());
    let error = within("the stop", run).await.unwrap_err();
    assert!(matches!(error, Error::Poison { offset: 4, .. }), "{error}");
    assert!(error.to_string().contains("5 records in a row"), "{error}");
    assert_eq!(letters(&brokers, topic).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_breaks_without_a_record_stops_the_engine() {
    let (brokers, topic) = (brokers(), "broken-without-record");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 3, 10);
    let filters = vec![toml::from_str("on='key'\nequals='never'").unwrap()];
    let config = config(&brokers, topic).filters(filters).poison_in_a_row_max(2);
    let mut session = Session::start_at(config, |_, _, _| Ok(Position::Start));
    for _ in 0..3 {
        let batch = session.call().await.fail(Failure::Trap("unreachable".into()));
        assert_eq!(batch.records, []);
    }
    let error = session.ended().await.unwrap_err().to_string();
    assert!(error.contains("failed 3 times on offsets without a record"), "{error}");
}
