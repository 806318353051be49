//! Sending letters back to the topics that they came from, on a real Kafka broker.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::cluster::{alter_topic, brokers, create_topic, create_topic_with};
use crate::support::letters::records;
use crate::support::{WAIT_LIMIT, config, member, producer, until, within};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::json;
use spin_kafka_trigger::{
    Config, DeadLetterTopic, Error, LetterCounts, ReplayLimits, SentBack, headers,
};

/// The header by which a repeated record is recognized.
const IDENTITY: &str = "idempotency-key";

/// Writes letters directly to a dead-letter topic, each with the topic that it names and with
/// further headers.
fn write_letters(brokers: &str, letters_topic: &str, letters: &[(&str, &[(&str, &str)])]) {
    let producer = producer(brokers);
    for (number, (topic, more)) in letters.iter().enumerate() {
        let offset = number.to_string();
        let mut all = OwnedHeaders::new();
        if !topic.is_empty() {
            all = all.insert(Header { key: headers::TOPIC, value: Some(*topic) });
        }
        let place = [
            (headers::PARTITION, "0"),
            (headers::OFFSET, offset.as_str()),
            (headers::TIMESTAMP, "1000"),
        ];
        for (key, value) in place.iter().chain(*more) {
            all = all.insert(Header { key, value: Some(*value) });
        }
        let value = format!("value {number}");
        let record = BaseRecord::<(), _>::to(letters_topic).partition(0).payload(&value);
        let mut sent = producer.send(record.headers(all));
        while let Err((_, record)) = sent {
            producer.poll(Duration::from_millis(10));
            sent = producer.send(record);
        }
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

fn limits(sent_max: u64) -> ReplayLimits {
    ReplayLimits { sent_max, tried_max: u64::MAX }
}

/// How many letters were sent back, and why the others were not.
fn send_back(config: &Config, topic: &str, max: u64) -> (u64, Vec<String>, Option<Error>) {
    let letters = DeadLetterTopic::open(config, topic).unwrap();
    let survey = letters.survey().unwrap();
    let (mut sent, mut left) = (0, Vec::new());
    let ended = letters.replay(&survey, limits(max), |step| match step {
        SentBack::Sent(letters) => sent += letters,
        SentBack::Left { offset, reason, .. } => left.push(format!("{offset}: {reason}")),
        other => panic!("{other:?}"),
    });
    (sent, left, ended.err())
}

fn counts(config: &Config, topic: &str) -> LetterCounts {
    DeadLetterTopic::open(config, topic).unwrap().survey().unwrap().counts()
}

async fn topics(brokers: &str, topic: &str) -> String {
    let letters_topic = format!("{topic}.dead-letter");
    create_topic(brokers, topic, 1).await;
    create_topic(brokers, &letters_topic, 1).await;
    letters_topic
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_cannot_be_sent_are_reported_and_the_others_are_sent_once() {
    let (brokers, topic) = (brokers(), "back-mixed");
    let letters_topic = topics(&brokers, topic).await;
    let small = "back-small";
    create_topic_with(&brokers, small, 1, &[("max.message.bytes", "10")]).await;
    write_letters(
        &brokers,
        &letters_topic,
        &[
            (topic, &[]),
            ("", &[]),
            (topic, &[]),
            ("back-gone", &[]),
            ("no topic's name", &[]),
            (topic, &[(headers::OMITTED_BYTES, "3000000")]),
            (&letters_topic, &[]),
            (small, &[]),
            (topic, &[]),
        ],
    );
    let config = config(&brokers, topic);
    tokio::task::spawn_blocking(move || {
        let (brokers, topic) = (brokers, topic);
        let letters_topic = format!("{topic}.dead-letter");
        assert_eq!(counts(&config, &letters_topic), LetterCounts { all: 9, open: 9 });
        for sent_now in [3, 0, 0] {
            let (sent, left, fault) = send_back(&config, &letters_topic, u64::MAX);
            assert!(fault.is_none(), "{fault:?}");
            assert_eq!(sent, sent_now);
            for (reason, word) in left.iter().zip([
                "1: it has no header",
                "3: topic back-gone: ",
                "4: topic no topic's name: ",
                "5: it was written without its record of 3000000 bytes",
                "6: it came from back-mixed.dead-letter itself",
                "7: topic back-small refuses it",
            ]) {
                assert!(reason.starts_with(word), "{reason}");
            }
            assert_eq!(left.len(), 6, "{left:?}");
            assert_eq!(counts(&config, &letters_topic), LetterCounts { all: 9, open: 6 });
        }
        let back = records(&brokers, topic);
        let values: Vec<_> = back.iter().map(|record| record.value.clone().unwrap()).collect();
        assert_eq!(values, [&b"value 0"[..], b"value 2", b"value 8"]);
        assert!(back.iter().all(|record| !record.has(headers::TOPIC)));
        // The group makes no difference: which letters are open is stored in the topic.
        let other = config.group("another");
        assert_eq!(counts(&other, &letters_topic), LetterCounts { all: 9, open: 6 });
        let mut open = Vec::new();
        let letters = DeadLetterTopic::open(&other, &letters_topic).unwrap();
        let survey = letters.survey().unwrap();
        letters.read_open(&survey, |letter| open.push(letter.record.offset)).unwrap();
        assert_eq!(open, [1, 3, 4, 5, 6, 7]);
        let letters = letters.with_deadline(Instant::now());
        let faults = [
            letters.survey().unwrap_err(),
            letters.read_open(&survey, |_| ()).unwrap_err(),
            letters.replay(&survey, limits(u64::MAX), |_| ()).unwrap_err(),
        ];
        for fault in faults {
            assert!(matches!(fault, Error::LettersTimedOut { .. }), "{fault}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_sent_in_their_order_with_their_original_position() {
    let (brokers, topic) = (brokers(), "back-parts");
    let letters_topic = topics(&brokers, topic).await;
    let own: &[(&str, &str)] = &[(IDENTITY, "the client's"), ("twice", "1"), ("twice", "2")];
    let letters = [(topic, &[][..]), (topic, own), (topic, &[])];
    write_letters(&brokers, &letters_topic, &letters);
    let config = config(&brokers, topic);
    tokio::task::spawn_blocking(move || {
        assert_eq!(send_back(&config, &letters_topic, 2).0, 2);
        // Letters after the markers are read like those before them.
        write_letters(&brokers, &letters_topic, &letters[..1]);
        assert_eq!(counts(&config, &letters_topic), LetterCounts { all: 4, open: 2 });
        assert_eq!(send_back(&config, &letters_topic, u64::MAX).0, 2);
        assert_eq!(counts(&config, &letters_topic).open, 0);
        let back = records(&brokers, topic);
        let identities: Vec<_> = back.iter().map(|record| record.header(IDENTITY)).collect();
        let place = |offset| format!("{topic}/0@{offset}/1000");
        // The last letter is for the same record as the first.
        assert_eq!(identities, [place(0), "the client's".into(), place(2), place(0)]);
        assert_eq!(back[1].headers.len(), 3, "{:?}", back[1].headers);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_cannot_be_sent_do_not_use_up_the_limit() {
    let (brokers, topic) = (brokers(), "back-limits");
    let letters_topic = topics(&brokers, topic).await;
    let small = "back-limits-small";
    create_topic_with(&brokers, small, 1, &[("max.message.bytes", "10")]).await;
    let letters = [("", &[][..]), (small, &[]), (topic, &[]), (small, &[]), (topic, &[])];
    write_letters(&brokers, &letters_topic, &letters);
    let config = config(&brokers, topic);
    tokio::task::spawn_blocking(move || {
        let topic = DeadLetterTopic::open(&config, &letters_topic).unwrap();
        let run = |sent_max, tried_max| {
            let (mut sent, mut left) = (0, 0);
            let survey = topic.survey().unwrap();
            let ended =
                topic.replay(&survey, ReplayLimits { sent_max, tried_max }, |step| match step {
                    SentBack::Sent(letters) => sent += letters,
                    SentBack::Left { .. } => left += 1,
                    other => panic!("{other:?}"),
                });
            ended.unwrap();
            (sent, left)
        };
        assert_eq!(run(0, 5), (0, 0));
        assert_eq!(run(5, 2), (0, 2), "the first two cannot be sent");
        assert_eq!(run(1, 5), (1, 2), "the first two do not count");
        assert_eq!(run(1, 5), (1, 3));
        let missing = DeadLetterTopic::open(&config, "back-limits-missing").unwrap();
        assert!(matches!(missing.survey(), Err(Error::LettersTopicMissing { .. })));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_back_if_it_cannot_be_marked() {
    let (brokers, topic) = (brokers(), "back-unmarked");
    let letters_topic = topics(&brokers, topic).await;
    write_letters(&brokers, &letters_topic, &[(topic, &[])]);
    alter_topic(&brokers, &letters_topic, &[("max.message.bytes", "10")]).await;
    let config = config(&brokers, topic);
    tokio::task::spawn_blocking(move || {
        let (sent, _, fault) = send_back(&config, &letters_topic, u64::MAX);
        let fault = fault.unwrap().to_string();
        assert!(fault.contains("cannot mark") && fault.contains("max.message.bytes"), "{fault}");
        assert_eq!((sent, records(&brokers, topic).len()), (0, 0));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_repeats_only_letters_that_were_not_marked() {
    const LETTERS: usize = 2_000;
    /// The most letters that are sent before they are marked.
    const UNMARKED_MAX: usize = 100;
    const TOPIC: &str = "back-killed";
    if let Some(settings) = member::settings() {
        let config = config(settings["brokers"].as_str().unwrap(), TOPIC);
        let sent = tokio::task::spawn_blocking(move || {
            send_back(&config, &format!("{TOPIC}.dead-letter"), u64::MAX)
        });
        assert!(sent.await.unwrap().2.is_none());
        return;
    }
    let brokers = brokers();
    let letters_topic = topics(&brokers, TOPIC).await;
    write_letters(&brokers, &letters_topic, &[(TOPIC, &[][..]); LETTERS]);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = member::start(
        "sending_back::a_killed_run_repeats_only_letters_that_were_not_marked",
        &json!({ "brokers": brokers }),
        log.path(),
    );
    let there = || records(&brokers, TOPIC).len();
    until("some letters back", || there() > UNMARKED_MAX).await;
    child.kill().await.unwrap();
    let config = config(&brokers, TOPIC);
    let back = within(
        "the rest",
        tokio::task::spawn_blocking(move || {
            assert!(send_back(&config, &letters_topic, u64::MAX).2.is_none());
            assert_eq!(counts(&config, &letters_topic).open, 0);
            records(&brokers, TOPIC)
        }),
    );
    let mut times = HashMap::new();
    for record in back.await.unwrap() {
        *times.entry((record.header(IDENTITY), record.value)).or_insert(0) += 1;
    }
    assert_eq!(times.len(), LETTERS, "every letter is sent back with its own identity");
    let doubled = times.values().filter(|times| **times > 1).count();
    assert!(doubled <= UNMARKED_MAX, "{doubled}");
    assert!(times.values().all(|times| *times <= 2));
}
