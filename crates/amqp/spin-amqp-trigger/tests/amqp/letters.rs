//! Messages that are given up.

use std::ops::ControlFlow;
use std::time::Duration;

use amqp_client::headers::KEY;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use spin_amqp_trigger::{Config, DeadLetterQueue};
use spin_kafka_trigger::{FailedRecords, LetterCounts, ReplayLimits, SentBack, headers};
use test_servers::{QueueClient, eventually};

use crate::support::{Applied, Running, connect, publish, publish_with_headers, shared_url, take};

fn header(letter: &Delivery, name: &str) -> String {
    let headers = letter.properties.headers().as_ref().unwrap();
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_that_fails_is_found_and_its_letter_confirmed_before_the_acknowledgement() {
    let (url, queue) = (shared_url(), "broken");
    let letters = "broken.dead-letter";
    let client = connect(&url).await;
    client.declare(queue).await.unwrap();
    let bodies = ["m0", "m1", "trap-2", "m3", "reject-4", "m5", "m6", "m7"];
    publish(&client, queue, bodies.map(Into::into)).await;
    let mut config = Config::new(&url, queue);
    config.batch_wait = Duration::from_millis(500);
    config.retry_backoff = Duration::from_millis(1);
    config.retry_backoff_max = Duration::from_millis(50);
    let applied = Applied::new(1);
    let running = Running::start(config.clone(), &applied);
    // Without a queue for the letter, nothing after the failed message is applied.
    eventually("the messages before it", async || (applied.count() == 2).then_some(())).await;
    let alone =
        |bodies: &[(Vec<String>, u32)]| bodies.iter().any(|(batch, _)| batch == &["trap-2"]);
    eventually("it is alone", async || alone(&applied.begun.lock().unwrap()).then_some(())).await;
    client.declare(letters).await.unwrap();
    client.declare("broken.elsewhere").await.unwrap();
    for (body, class, reason) in
        [("trap-2", "trap", "trapped"), ("reject-4", "rejected", "not a post")]
    {
        let letter = take(&client, letters).await;
        assert_eq!(letter.data, body.as_bytes());
        for (name, value) in [
            (headers::CLASS, class),
            (headers::REASON, reason),
            (headers::TOPIC, queue),
            (headers::GROUP, "amqp"),
            (spin_amqp_trigger::headers::ROUTING_KEY, queue),
        ] {
            assert_eq!(header(&letter, name), value, "{name}");
        }
        assert_eq!(letter.properties.message_id().as_ref().unwrap().as_str(), body);
        assert_eq!(letter.properties.delivery_mode(), &Some(2));
    }
    eventually("the others are applied", async || (applied.count() == 6).then_some(())).await;
    let summary = running.stop().await;
    assert_eq!((summary.dead_letters, summary.rejections), (2, 1));
    assert_eq!(client.waiting(queue).await.unwrap(), 0);

    // The message was routed by its header `CC`, too; the letter is not.
    let mut further = FieldTable::default();
    let key = AMQPValue::LongString(queue.into());
    further.insert("CC".into(), AMQPValue::FieldArray(vec![key].into()));
    further.insert("kept".into(), AMQPValue::LongString("yes".into()));
    let running = Running::start(config.clone(), &applied);
    publish_with_headers(&url, "broken.elsewhere", "trap-copied", further).await;
    let letter = take(&client, letters).await;
    assert_eq!((&letter.data[..], header(&letter, "kept")), (&b"trap-copied"[..], "yes".into()));
    assert!(!letter.properties.headers().as_ref().unwrap().inner().contains_key("CC"));
    let summary = running.stop().await;
    assert_eq!(summary.dead_letters, 1);
    assert_eq!(client.waiting(queue).await.unwrap(), 0, "the letter has not returned");

    let source = Source { url: &url, client: &client, config: &config, applied: &applied };
    letters_are_sent_back(&source, queue, letters).await;

    // With `stop`, the message is not acknowledged.
    publish(&client, queue, ["reject-8".into()]).await;
    config.failed_records = FailedRecords::Stop;
    let error = Running::start(config, &applied).failed().await.to_string();
    assert!(error.contains("broken/0") && error.contains("not a post"), "{error}");
    eventually("it is returned", async || {
        (client.waiting(queue).await.unwrap() == 1).then_some(())
    })
    .await;
}

/// The broker, and the trigger that reads from it.
struct Source<'a> {
    url: &'a str,
    client: &'a QueueClient,
    config: &'a Config,
    applied: &'a Applied,
}

/// Two letters are listed, remain where they are, and are sent back as the messages that they were. A
/// message of another program in the queue of the letters stays there.
async fn letters_are_sent_back(source: &Source<'_>, queue: &str, letters: &str) {
    let Source { url, client, config, applied } = *source;
    let running = Running::start(config.clone(), applied);
    publish(client, queue, ["reject-named".into()]).await;
    let mut table = FieldTable::default();
    table.insert("kept".into(), AMQPValue::LongString("yes".into()));
    publish_with_headers(url, queue, "reject-nameless", table).await;
    let dead = DeadLetterQueue::open(config, None).await.unwrap();
    let has = async |count: u64| {
        let expected = LetterCounts { all: count, open: count };
        eventually("letters", async || (dead.counts().await.unwrap() == expected).then_some(()))
            .await;
    };
    has(2).await;
    running.stop().await;
    publish(client, letters, ["stray".into()]).await;
    has(3).await;

    let mut read = Vec::new();
    // They return into the queue each time.
    for _ in 0..2 {
        read.clear();
        dead.read(|letter| {
            read.push(letter);
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        has(3).await;
    }
    let value = |number: usize| read[number].record.value.as_deref().unwrap();
    assert_eq!(
        (value(0), value(1), value(2)),
        (&b"reject-named"[..], &b"reject-nameless"[..], &b"stray"[..])
    );
    assert_eq!(read[0].record.offset, 1);
    assert_eq!(read[0].record.key.as_deref(), Some(queue.as_bytes()));
    assert_eq!(read[0].header(headers::CLASS), Some("rejected"));

    let replay = async |sent_max| {
        let (mut sent, mut left) = (0, Vec::new());
        let limits = ReplayLimits { sent_max, tried_max: u64::MAX };
        let report = |step| match step {
            SentBack::Sent(count) => sent += count,
            SentBack::Left { offset, reason, .. } => left.push((offset, reason)),
            _ => {}
        };
        dead.replay(limits, report).await.unwrap();
        (sent, left)
    };
    // While the queue does not exist, all stay.
    client.delete(queue).await.unwrap();
    let (sent, mut left) = replay(u64::MAX).await;
    left.sort();
    let [one, two, stray] = &left[..] else { panic!("{left:?}") };
    assert!(sent == 0 && one.1.contains("does not exist") && two.1.contains("does not exist"));
    assert!(stray.0 == 3 && stray.1.contains(headers::TOPIC), "{stray:?}");
    has(3).await;
    client.declare(queue).await.unwrap();
    assert_eq!(replay(1).await, (1, Vec::new()));
    has(2).await;
    let (sent, left) = replay(u64::MAX).await;
    assert_eq!((sent, left.len()), (1, 1));
    has(1).await;

    for (body, id) in [("reject-named", "reject-named"), ("reject-nameless", "letter/")] {
        let message = take(client, queue).await;
        assert_eq!(message.data, body.as_bytes());
        let found = message.properties.message_id().as_ref().unwrap().as_str();
        assert!(found.starts_with(id), "{found}");
        assert_eq!(header(&message, KEY), queue);
        let names = message.properties.headers().as_ref().unwrap().inner().keys();
        let names: Vec<_> = names.map(|name| name.as_str()).collect();
        assert!(!names.iter().any(|name| name.contains(".errors.")), "{names:?}");
        assert_eq!(names.contains(&"kept"), body == "reject-nameless");
    }
    // What is not a letter is never deleted.
    let mut seen = 0;
    let mut delete = async |end: ControlFlow<()>| {
        dead.delete(5, |letter| {
            assert_eq!(letter.record.value.as_deref(), Some(&b"given up"[..]));
            seen += 1;
            end
        })
        .await
    };
    let error = delete(ControlFlow::Continue(())).await.unwrap_err().to_string();
    assert!(error.contains("0/1") && error.contains(headers::TOPIC), "{error}");
    has(1).await;
    assert_eq!(take(client, letters).await.data, b"stray");
    let error = DeadLetterQueue::open(config, Some(queue)).await.unwrap_err().to_string();
    assert!(error.contains(queue) && error.contains("the trigger reads it"), "{error}");
    // The letter for which the visitor breaks stays; then it is deleted.
    let mut table = FieldTable::default();
    table.insert(headers::TOPIC.into(), AMQPValue::LongString(queue.into()));
    publish_with_headers(url, letters, "given up", table).await;
    for end in [ControlFlow::Break(()), ControlFlow::Continue(())] {
        has(1).await;
        delete(end).await.unwrap();
    }
    has(0).await;
    assert_eq!(seen, 2);
}
