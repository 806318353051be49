//! Replays and recounts of a range of the log, outside the group, on a real Kafka broker.

use std::sync::{Arc, Mutex};

use crate::support::cluster::{brokers, create_topic};
use crate::support::{committed, config, produce, within};
use spin_kafka_trigger::{
    Batch, Bound, Error, Failure, Handler, Position, Range, RecountRange, Rejection, Summary,
    Trigger,
};

/// Keeps this position, and records the batches that it gets.
#[derive(Clone)]
struct Kept {
    position: Position,
    got: Arc<Mutex<Vec<Batch>>>,
}

impl Handler for Kept {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        self.got.lock().unwrap().push(batch.clone());
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(self.position)
    }
}

async fn replay(
    topic: &str,
    position: Position,
    from: Bound,
) -> (Result<Summary, Error>, Vec<Batch>) {
    let handler = Kept { position, got: Arc::default() };
    let mut config = config(&brokers(), topic);
    config.filters = vec![toml::from_str("on='key'\nequals='never'").unwrap()];
    if position == Position::Committed {
        config.filters.clear();
    }
    let trigger = Trigger::new(config, handler.clone()).unwrap();
    let range = Range { from, to: Bound::Latest };
    let ended = within("the replay", trigger.replay(range, std::future::pending())).await;
    (ended, handler.got.lock().unwrap().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_not_decide_where_counting_begins() {
    let (brokers, topic) = (brokers(), "range-empty");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 20, 10);
    for (position, from, reason) in [
        (Position::Start, Bound::Offset(5), "has no position in this log"),
        (Position::Start, Bound::Earliest, "has no position in this log"),
        (Position::At(3), Bound::Offset(5), "up to offset 3"),
    ] {
        let (ended, got) = replay(topic, position, from).await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(got, [], "nothing was handed over");
    }
    assert_eq!(committed(&brokers, topic, topic, 0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_has_applied_the_range_gets_it_again() {
    let (brokers, topic) = (brokers(), "range-known");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 20, 10);
    let (ended, got) = replay(topic, Position::At(20), Bound::Offset(5)).await;
    ended.unwrap();
    // The handler also gets the offsets of filtered records: its position moves past them.
    let first = got.first().map(|batch| (batch.start, batch.expected_position));
    assert_eq!(first, Some((5, Some(20))));
    assert_eq!(got.last().map(|batch| batch.end), Some(20));
    let (ended, _) = replay(topic, Position::Committed, Bound::Offset(5)).await;
    assert_eq!(ended.unwrap().records, 15);
    assert_eq!(committed(&brokers, topic, topic, 0), None, "nothing is committed");
}

async fn recount(
    topic: &str,
    position: Position,
    (start, end): (i64, i64),
) -> (Result<Summary, Error>, Vec<(i64, i64, Option<i64>)>) {
    let handler = Kept { position, got: Arc::default() };
    let trigger = Trigger::new(config(&brokers(), topic), handler.clone()).unwrap();
    let range = RecountRange { topic: topic.into(), partition: 0, start, end };
    let ended = within("the recount", trigger.recount(vec![range], std::future::pending())).await;
    let got = handler.got.lock().unwrap();
    let got = got.iter().map(|batch| (batch.start, batch.end, batch.expected_position));
    (ended, got.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recount_begins_and_continues_where_the_handler_is() {
    let (brokers, topic) = (brokers(), "range-recount");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 20, 10);
    for (position, range, batches) in [
        (Position::Start, (0, 20), vec![(0, 20, None)]),
        (Position::Start, (0, 5), vec![(0, 5, None)]),
        (Position::Start, (15, 20), vec![(15, 20, None)]),
        (Position::At(5), (0, 12), vec![(5, 12, Some(5))]),
        (Position::At(12), (0, 12), vec![]),
        (Position::At(15), (0, 12), vec![]),
    ] {
        let (ended, got) = recount(topic, position, range).await;
        ended.unwrap();
        // How the records are divided into batches does not matter.
        let joined = got.first().zip(got.last()).map(|(first, last)| (first.0, last.1, first.2));
        assert_eq!(joined, batches.first().copied(), "{position:?} {range:?}: {got:?}");
    }
    for (position, range, reason) in [
        (Position::Committed, (0, 20), "keeps no position"),
        (Position::Start, (0, 21), "ends at 20, before 21"),
        (Position::At(5), (10, 20), "were not counted again"),
    ] {
        let (ended, got) = recount(topic, position, range).await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(got, [], "nothing was handed over");
    }
    assert_eq!(committed(&brokers, topic, topic, 0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_before_1970_is_the_beginning() {
    let (brokers, topic) = (brokers(), "range-1960");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 3, 10);
    let since = "1960-01-01T00:00:00Z".parse().unwrap();
    let (ended, _) = replay(topic, Position::Committed, since).await;
    assert_eq!(ended.unwrap().records, 3);
    let since = "2100-01-01T00:00:00Z".parse().unwrap();
    let (ended, _) = replay(topic, Position::Committed, since).await;
    assert_eq!(ended.unwrap().records, 0);
}
