//! The Kafka trigger with a component that fails on demand.

use nix::sys::signal::Signal;
use pipeline_tests::{FailingApp, OTHER_BUILD, eventually};
use test_servers::shared_kafka;

const SETTINGS: &str = "handler_deadline_ms = 1000\npoison_attempts = 1";
const SMALL: [&str; 2] = ["--max-instance-memory", "16777216"];

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_affects_only_its_record() {
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "breaking", SETTINGS).await.unwrap();
    let values = ["good", "trap", "good", "reject", "good", "grow", "good", "loop", "good"];
    app.produce(&values).await.unwrap();
    let running = app.up(&SMALL).await.unwrap();
    eventually("four letters", async || {
        (app.metric("spin_kafka_dead_letters_total").await? == 4.0).then_some(())
    })
    .await;
    eventually("no lag", async || (app.metric("spin_kafka_lag").await? == 0.0).then_some(())).await;
    // The rejected record counts as applied.
    assert_eq!(app.metric("spin_kafka_records_total").await, Some(6.0));
    assert_eq!(app.metric("spin_kafka_poison_records_total").await, Some(3.0));
    assert_eq!(app.get("/healthz").await.unwrap().0, 200);

    let list = app.command(&["dlq", "list"]).await.unwrap();
    for (class, from, reason) in [
        ("trap", "breaking/0@1", "trapped"),
        ("rejected", "breaking/0@3", "the first build"),
        ("memory", "breaking/0@5", "more memory"),
        ("deadline", "breaking/0@7", "did not answer within 1s"),
    ] {
        let line = list.lines().find(|line| line.contains(from)).unwrap();
        assert!(line.contains(class) && line.contains(reason) && line.contains("open"), "{line}");
    }
    assert!(list.ends_with("4 open of 4 letters\n"), "{list}");
    let at = list.lines().find(|line| line.contains("rejected")).unwrap();
    let at = at.split_whitespace().next().unwrap();
    let shown = app.command(&["dlq", "show", at]).await.unwrap();
    assert!(shown.contains("value     reject\n"), "{shown}");
    assert!(shown.contains("header    __connect.errors.offset: 3\n"), "{shown}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_sent_back_once_and_a_range_is_replayed() {
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "going-back", SETTINGS).await.unwrap();
    app.produce(&["good", "reject", "good"]).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    eventually("the letter", async || {
        (app.metric("spin_kafka_dead_letters_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();

    let would = app.command(&["dlq", "replay", "--dry-run"]).await.unwrap();
    assert_eq!(would, "1 letters would be sent back\n");
    let sent = app.command(&["dlq", "replay"]).await.unwrap();
    assert_eq!(
        sent,
        "before: 1 open of 1 letters\nafter:  0 open of 1 letters\n1 letters sent back\n"
    );
    let again = app.command(&["dlq", "replay"]).await.unwrap();
    assert!(again.contains("0 letters sent back"), "{again}");

    // Three records, and the one that was sent back.
    let all = app.command(&["replay", "--dry-run"]).await.unwrap();
    assert_eq!(all, "4 records would be handed over\n");
    let some = app.command(&["replay", "--since", "2", "--until", "3"]).await.unwrap();
    assert_eq!(some, "1 records in 1 batches; 0 rejected, 0 dead letters\n");
    let none = app.command(&["replay", "--since", "2100-01-01T00:00:00Z"]).await.unwrap();
    assert_eq!(none, "0 records in 0 batches; 0 rejected, 0 dead letters\n");

    // The replay did not change the group's offsets: it continues with the record that was sent
    // back.
    let running = app.up(&[]).await.unwrap();
    eventually("only the record that was sent back", async || {
        (app.metric("spin_kafka_records_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_drains_and_the_next_start_continues_after_it() {
    const RECORDS: u64 = 200_000;
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "ending", SETTINGS).await.unwrap();
    let values = vec!["good"; 10_000];
    for _ in 0..RECORDS / 10_000 {
        app.produce(&values).await.unwrap();
    }
    let running = app.up(&[]).await.unwrap();
    let applied = async || app.metric("spin_kafka_records_total").await;
    eventually("some records", async || (applied().await? > 0.0).then_some(())).await;
    let log = running.log_file().unwrap();
    // Fails unless the exit code is 0.
    running.stop().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let summary = log.lines().find(|line| line.contains("Kafka trigger drained")).unwrap();
    let (_, count) = summary.split_once("Summary { records: ").unwrap();
    let first: u64 = count.split(',').next().unwrap().parse().unwrap();
    assert!(summary.contains("unfinished: 0, left_group: true"), "{summary}");

    let running = app.up(&[]).await.unwrap();
    if first < RECORDS {
        eventually("the rest", async || (applied().await? > 0.0).then_some(())).await;
    }
    eventually("a member without lag", async || {
        let ready = app.get("/readyz").await?.0 == 200;
        (ready && app.metric("spin_kafka_lag").await? == 0.0).then_some(())
    })
    .await;
    assert_eq!(applied().await, Some((RECORDS - first) as f64), "each record exactly once");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_build_is_loaded_without_a_rebalance() {
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "new-build", SETTINGS).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    app.produce(&["good"]).await.unwrap();
    eventually("the first record", async || {
        (app.metric("spin_kafka_records_total").await? == 1.0).then_some(())
    })
    .await;
    let rebalances = app.metric("spin_kafka_rebalances_total").await;

    app.replace_build().unwrap();
    running.signal(Signal::SIGHUP).unwrap();
    eventually("the swap", async || {
        (app.metric("spin_kafka_component_swaps_total").await? == 1.0).then_some(())
    })
    .await;
    app.produce(&["reject"]).await.unwrap();
    let reason = eventually("the new build's text", async || {
        let list = app.command(&["dlq", "list"]).await.ok()?;
        list.lines().find(|line| line.contains("rejected")).map(str::to_owned)
    })
    .await;
    assert!(reason.contains(OTHER_BUILD), "{reason}");

    app.break_component().unwrap();
    running.signal(Signal::SIGHUP).unwrap();
    eventually("the refusal", async || {
        running.log().contains("the old builds continue to run").then_some(())
    })
    .await;
    app.produce(&["good"]).await.unwrap();
    eventually("the old build still runs", async || {
        (app.metric("spin_kafka_records_total").await? == 3.0).then_some(())
    })
    .await;
    assert_eq!(app.metric("spin_kafka_rebalances_total").await, rebalances);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_reloads_a_changed_file() {
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "watched", SETTINGS).await.unwrap();
    let running = app.up(&["--watch"]).await.unwrap();
    app.replace_build().unwrap();
    eventually("the swap", async || {
        (app.metric("spin_kafka_component_swaps_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_progress_is_unhealthy() {
    let kafka = shared_kafka();
    let settings = "handler_deadline_ms = 600000\nstalled_after_ms = 1000\ndrain_deadline_ms = 100";
    let app = FailingApp::new(&kafka.bootstrap(), "stalled", settings).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    eventually("a member", async || (app.get("/readyz").await?.0 == 200).then_some(())).await;
    app.produce(&["loop"]).await.unwrap();
    let complaint = eventually("a complaint", async || {
        let (status, body) = app.get("/healthz").await?;
        (status == 503).then_some(body)
    })
    .await;
    assert!(complaint.starts_with("fails-on-command: stalled/0 has a lag of 1"), "{complaint}");
    assert_eq!(app.get("/readyz").await.unwrap().0, 503);
    assert_eq!(app.metric("spin_kafka_batches_in_flight").await, Some(1.0));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_a_schema_is_given_up_and_one_with_an_unknown_schema_waits() {
    let kafka = shared_kafka();
    // Nothing listens there.
    let settings = "schema = { registry = 'http://127.0.0.1:1', timeout_ms = 1000 }";
    let app = FailingApp::new(&kafka.bootstrap(), "with-schemas", settings).await.unwrap();
    app.produce(&["trap"]).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    eventually("the letter", async || {
        (app.metric("spin_kafka_dead_letters_total").await? == 1.0).then_some(())
    })
    .await;
    let list = app.command(&["dlq", "list"]).await.unwrap();
    let line = list.lines().find(|line| line.contains("with-schemas/0@0")).unwrap();
    assert!(line.contains("rejected") && line.contains("the id of a schema"), "{line}");

    app.produce(&["\0\0\0\0\u{1}trap"]).await.unwrap();
    eventually("several attempts", async || {
        (app.metric("spin_kafka_schema_fetch_failures_total").await? >= 2.0).then_some(())
    })
    .await;
    assert_eq!(app.metric("spin_kafka_schema_misfits_total").await, Some(1.0));
    assert_eq!(app.metric("spin_kafka_breakdowns_total").await, Some(0.0), "it was not called");
    running.stop().await.unwrap();
}
