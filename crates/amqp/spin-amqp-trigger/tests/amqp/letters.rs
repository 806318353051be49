//! Messages that are given up.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use spin_amqp_trigger::Config;
use spin_kafka_trigger::{FailedRecords, headers};
use test_servers::eventually;

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
