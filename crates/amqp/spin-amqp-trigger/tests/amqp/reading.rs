//! Batches, acknowledgements, the window, and the drain.

use std::time::Duration;

use spin_amqp_trigger::Config;
use spin_kafka_trigger::Filter;
use test_servers::eventually;

use crate::support::{
    Applied, Running, certificate, connect, publish, shared_encrypted, shared_url, take,
};

fn bodies(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("m{number}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_acknowledged_after_they_are_applied_and_the_window_is_limited() {
    let (url, queue) = (shared_url(), "window");
    let client = connect(&url).await;
    client.declare(queue).await.unwrap();
    client.declare(&format!("{queue}.dead-letter")).await.unwrap();
    // The filter drops the first two, with a batch of their own or with the first records.
    publish(&client, queue, ["drop-1".into(), "drop-2".into()].into_iter().chain(bodies(0..30)))
        .await;
    let mut config = Config::new(&url, queue);
    (config.prefetch, config.batch_records_max) = (8, 4);
    config.filters = vec![Filter::prefix("header:message-id".parse().unwrap(), "m")];
    let applied = Applied::new(0);
    let running = Running::start(config, &applied);
    eventually("the window is full", async || {
        (22..=24).contains(&client.waiting(queue).await.unwrap()).then_some(())
    })
    .await;
    assert!(applied.begun.lock().unwrap().iter().all(|(batch, _)| batch.len() <= 4));
    applied.gate.add_permits(1);
    eventually("all are applied", async || (applied.count() == 30).then_some(())).await;
    assert_eq!(running.metrics.filtered.get(), 2);
    let summary = running.stop().await;
    assert_eq!((summary.records, summary.unfinished, summary.left_group), (30, 0, true));
    assert_eq!(client.waiting(queue).await.unwrap(), 0, "all are acknowledged");
    assert!(applied.bodies.lock().unwrap().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_retried_is_held_and_delivered_again_after_a_stop() {
    let (url, queue) = (shared_url(), "retried");
    let client = connect(&url).await;
    client.declare(queue).await.unwrap();
    client.declare(&format!("{queue}.dead-letter")).await.unwrap();
    publish(&client, queue, ["retry-1".into(), "m1".into()]).await;
    let mut config = Config::new(&url, queue);
    config.batch_wait = Duration::from_millis(500);
    (config.retry_backoff, config.retry_backoff_max) =
        (Duration::from_millis(1), Duration::from_millis(5));
    let applied = Applied::new(1);
    let running = Running::start(config.clone(), &applied);
    let attempts = || applied.begun.lock().unwrap().last().map(|(_, attempt)| *attempt);
    eventually("three attempts", async || attempts().filter(|attempt| *attempt >= 3)).await;
    assert_eq!((client.waiting(queue).await.unwrap(), applied.count()), (0, 0));
    running.stop().await;
    eventually("both are returned", async || {
        (client.waiting(queue).await.unwrap() == 2).then_some(())
    })
    .await;

    // With a limit, the message that causes the failure is given up.
    config.retry_attempts_max = 2;
    config.poison_attempts = 1;
    let running = Running::start(config, &applied);
    let letter = take(&client, &format!("{queue}.dead-letter")).await;
    assert_eq!(letter.data, b"retry-1");
    eventually("the other one", async || (applied.count() == 1).then_some(())).await;
    running.stop().await;
    assert_eq!(client.waiting(queue).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_missing_or_deleted_is_read_when_it_exists() {
    let (url, queue) = (shared_url(), "created-later");
    let client = connect(&url).await;
    let mut config = Config::new(&url, queue);
    config.retry_backoff = Duration::from_millis(10);
    config.retry_backoff_max = Duration::from_millis(50);
    let applied = Applied::new(1);
    let running = Running::start(config, &applied);
    let missing = async || (running.progress.missing_topics() == [queue]).then_some(());
    for (round, body) in ["m1", "m2"].into_iter().enumerate() {
        eventually("the queue is reported", missing).await;
        assert!(!running.progress.is_member());
        client.declare(queue).await.unwrap();
        publish(&client, queue, [body.into()]).await;
        eventually("it is read", async || (applied.count() == round + 1).then_some(())).await;
        assert!(running.progress.is_member() && running.progress.missing_topics().is_empty());
        client.delete(queue).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_certificate_is_not_trusted_is_not_used() {
    let queue = "encrypted";
    let client = connect(&shared_url()).await;
    client.declare(queue).await.unwrap();
    publish(&client, queue, ["m1".into()]).await;
    let (url, trusted) = shared_encrypted();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = Config::new(url, queue);
    config.ca_file = file.path().to_string_lossy().into_owned();
    config.retry_backoff_max = config.retry_backoff;
    let applied = Applied::new(1);
    std::fs::write(&file, certificate().0).unwrap();
    let running = Running::start(config.clone(), &applied);
    let refusals = async || (running.metrics.rebalances.get() > 1).then_some(());
    eventually("the broker is not trusted", refusals).await;
    assert!(!running.progress.is_answered() && applied.count() == 0);
    running.stop().await;
    std::fs::write(&file, trusted).unwrap();
    let running = Running::start(config, &applied);
    eventually("it is read", async || (applied.count() == 1).then_some(())).await;
    running.stop().await;
}
