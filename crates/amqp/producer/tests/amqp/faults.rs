//! A broker that does not answer, crashes, and returns.

use std::time::Duration;

use amqp_producer::{ProduceError, Producer};
use futures::future::join_all;
use test_servers::{QueueClient, RabbitMq, RabbitMqConfig, eventually};

use crate::support::{config, declare, record, send};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_a_crash_and_a_lost_confirm_is_unknown() {
    let mut broker = RabbitMq::start(RabbitMqConfig::default()).await.unwrap();
    declare(&broker.url(), "posts", None, &[]).await;
    broker.stop().await.unwrap();
    broker.restart().await.unwrap();
    let mut settings = config(&broker.url(), "");
    settings.queue_records_max = 200;
    let producer = Producer::new(settings);
    send(&producer, record("posts", "first")).await.unwrap();

    // The broker has the record, but its confirm is lost.
    broker.pause().unwrap();
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { send(&producer, record("posts", "unknown")).await }
    });
    eventually("the record is published", async || producer.flush(Duration::ZERO).await.err())
        .await;
    // There is room for all but one of these. The broker opens no channel for them.
    let more = (0..200).map(|_| record("posts", "more")).collect();
    let all = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send_each(more).await }
    });
    eventually("all room is taken", async || {
        let waiting = producer.flush(Duration::ZERO).await.err()?;
        (waiting.records == 200).then_some(())
    })
    .await;
    let full = send(&producer, record("posts", "full")).await;
    assert!(matches!(full, Err(ProduceError::QueueFull)), "{full:?}");
    broker.kill().await.unwrap();
    let lost = sending.await.unwrap();
    assert!(matches!(lost, Err(ProduceError::TimedOut(_))), "{lost:?}");
    eventually("the loss is reported", async || producer.fault()).await;
    let mut impatient = config(&broker.url(), "");
    impatient.unreachable_timeout = Duration::from_millis(100);
    let error = send(&Producer::new(impatient), record("posts", "x")).await.unwrap_err();
    assert!(matches!(error, ProduceError::Unavailable(_)), "{error}");

    // What was not published waits for the broker. It writes during another crash.
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { send(&producer, record("posts", "waited")).await }
    });
    broker.restart().await.unwrap();
    waiting.await.unwrap().unwrap();
    let results = all.await.unwrap();
    let written = results.iter().filter(|result| result.is_ok()).count();
    let full = |result: &&Result<_, _>| matches!(result, Err(ProduceError::QueueFull));
    assert_eq!((written, results.iter().filter(full).count()), (199, 1), "{results:?}");
    let sends = (0..150).map(|number| {
        let producer = producer.clone();
        tokio::spawn(async move {
            let id = format!("during-{number}");
            send(&producer, record("posts", &id)).await.is_ok().then_some(id)
        })
    });
    let sends: Vec<_> = sends.collect();
    broker.kill().await.unwrap();
    broker.restart().await.unwrap();
    let written: Vec<String> =
        join_all(sends).await.into_iter().filter_map(Result::unwrap).collect();
    send(&producer, record("posts", "end")).await.unwrap();
    producer.flush(Duration::ZERO).await.unwrap();
    let client = QueueClient::connect(&broker.url()).await.unwrap();
    let mut found = Vec::new();
    while let Some(message) = client.take("posts").await.unwrap() {
        found.push(String::from_utf8(message.data).unwrap());
    }
    let expected = ["first", "waited", "end"].map(String::from).into_iter().chain(written);
    for id in expected {
        assert!(found.contains(&id), "{id} was acknowledged, but is lost");
    }
}
