//! The Kafka trigger with a component that fails on demand.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use pipeline_tests::{Fragile, OTHER_BUILD, eventually};
use prost::Message as _;
use test_servers::shared_kafka;

const SETTINGS: &str = "handler_deadline_ms = 1000\npoison_attempts = 1";
const SMALL: [&str; 2] = ["--max-instance-memory", "16777216"];

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_break_costs_its_own_record_only() {
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "breaking", SETTINGS).await.unwrap();
    let values = ["good", "trap", "good", "reject", "good", "grow", "good", "loop", "good"];
    fragile.produce(&values, None).await.unwrap();
    let running = fragile.up(&SMALL).await.unwrap();
    eventually("four letters", async || {
        (fragile.metric("spin_kafka_dead_letters_total").await? == 4.0).then_some(())
    })
    .await;
    eventually("no lag", async || (fragile.metric("spin_kafka_lag").await? == 0.0).then_some(()))
        .await;
    // The rejected record counts as applied.
    assert_eq!(fragile.metric("spin_kafka_records_total").await, Some(6.0));
    assert_eq!(fragile.metric("spin_kafka_poison_records_total").await, Some(3.0));
    assert_eq!(fragile.ask("/healthz").await.unwrap().0, 200);

    let list = fragile.command(&["dlq", "list"]).await.unwrap();
    for (class, from, reason) in [
        ("trap", "breaking/0@1", "trapped"),
        ("rejected", "breaking/0@3", "the first build"),
        ("memory", "breaking/0@5", "more memory"),
        ("deadline", "breaking/0@7", "no answer in 1s"),
    ] {
        let line = list.lines().find(|line| line.contains(from)).unwrap();
        assert!(line.contains(class) && line.contains(reason) && line.contains("open"), "{line}");
    }
    assert!(list.ends_with("4 open of 4 letters\n"), "{list}");
    let at = list.lines().find(|line| line.contains("rejected")).unwrap();
    let at = at.split_whitespace().next().unwrap();
    let shown = fragile.command(&["dlq", "show", at]).await.unwrap();
    assert!(shown.contains("value     reject\n"), "{shown}");
    assert!(shown.contains("header    __connect.errors.offset: 3\n"), "{shown}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_back_once_and_a_range_is_replayed_aside() {
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "going-back", SETTINGS).await.unwrap();
    fragile.produce(&["good", "reject", "good"], None).await.unwrap();
    let running = fragile.up(&[]).await.unwrap();
    eventually("the letter", async || {
        (fragile.metric("spin_kafka_dead_letters_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();

    let would = fragile.command(&["dlq", "replay", "--dry-run"]).await.unwrap();
    assert_eq!(would, "1 letters would be sent back\n");
    let sent = fragile.command(&["dlq", "replay"]).await.unwrap();
    assert_eq!(
        sent,
        "before: 1 open of 1 letters\nafter:  0 open of 1 letters\n1 letters sent back\n"
    );
    let again = fragile.command(&["dlq", "replay"]).await.unwrap();
    assert!(again.contains("0 letters sent back"), "{again}");

    // Three records, and the one that was sent back.
    let all = fragile.command(&["replay", "--dry-run"]).await.unwrap();
    assert_eq!(all, "4 records would be handed over\n");
    let some = fragile.command(&["replay", "--since", "2", "--until", "3"]).await.unwrap();
    assert_eq!(some, "1 records in 1 batches; 0 rejected, 0 dead letters\n");
    let none = fragile.command(&["replay", "--since", "2100-01-01T00:00:00Z"]).await.unwrap();
    assert_eq!(none, "0 records in 0 batches; 0 rejected, 0 dead letters\n");

    // The replay did not change the group's offsets: it continues with the record that was sent
    // back.
    let running = fragile.up(&[]).await.unwrap();
    eventually("the record that came back, and no other", async || {
        (fragile.metric("spin_kafka_records_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_under_load_drains_and_the_next_start_begins_exactly_after() {
    const RECORDS: u64 = 200_000;
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "ending", SETTINGS).await.unwrap();
    let values = vec!["good"; 10_000];
    for _ in 0..RECORDS / 10_000 {
        fragile.produce(&values, None).await.unwrap();
    }
    let running = fragile.up(&[]).await.unwrap();
    let applied = async || fragile.metric("spin_kafka_records_total").await;
    eventually("some records", async || (applied().await? > 0.0).then_some(())).await;
    let log = running.log_file().unwrap();
    // Fails unless the exit code is 0.
    running.stop().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let summary = log.lines().find(|line| line.contains("Kafka trigger drained")).unwrap();
    let (_, count) = summary.split_once("Summary { records: ").unwrap();
    let first: u64 = count.split(',').next().unwrap().parse().unwrap();
    assert!(summary.contains("unfinished: 0, left_group: true"), "{summary}");

    let running = fragile.up(&[]).await.unwrap();
    if first < RECORDS {
        eventually("the rest", async || (applied().await? > 0.0).then_some(())).await;
    }
    eventually("a member without lag", async || {
        let ready = fragile.ask("/readyz").await?.0 == 200;
        (ready && fragile.metric("spin_kafka_lag").await? == 0.0).then_some(())
    })
    .await;
    assert_eq!(applied().await, Some((RECORDS - first) as f64), "none twice, none left out");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_build_is_taken_over_without_a_rebalance() {
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "new-build", SETTINGS).await.unwrap();
    let running = fragile.up(&[]).await.unwrap();
    fragile.produce(&["good"], None).await.unwrap();
    eventually("the first record", async || {
        (fragile.metric("spin_kafka_records_total").await? == 1.0).then_some(())
    })
    .await;
    let rebalances = fragile.metric("spin_kafka_rebalances_total").await;

    fragile.build_anew().unwrap();
    running.signal(Signal::SIGHUP).unwrap();
    eventually("the swap", async || {
        (fragile.metric("spin_kafka_component_swaps_total").await? == 1.0).then_some(())
    })
    .await;
    fragile.produce(&["reject"], None).await.unwrap();
    let reason = eventually("the new build's word", async || {
        let list = fragile.command(&["dlq", "list"]).await.ok()?;
        list.lines().find(|line| line.contains("rejected")).map(str::to_owned)
    })
    .await;
    assert!(reason.contains(OTHER_BUILD), "{reason}");

    fragile.spoil().unwrap();
    running.signal(Signal::SIGHUP).unwrap();
    eventually("the refusal", async || {
        running.log().contains("the old builds continue to run").then_some(())
    })
    .await;
    fragile.produce(&["good"], None).await.unwrap();
    eventually("the old build goes on", async || {
        (fragile.metric("spin_kafka_records_total").await? == 3.0).then_some(())
    })
    .await;
    assert_eq!(fragile.metric("spin_kafka_rebalances_total").await, rebalances);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_noticed_if_asked_for() {
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "watched", SETTINGS).await.unwrap();
    let running = fragile.up(&["--watch"]).await.unwrap();
    fragile.build_anew().unwrap();
    eventually("the swap", async || {
        (fragile.metric("spin_kafka_component_swaps_total").await? == 1.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_does_not_move_is_unhealthy() {
    let kafka = shared_kafka();
    let settings = "handler_deadline_ms = 600000\nstalled_after_ms = 1000\ndrain_deadline_ms = 100";
    let fragile = Fragile::new(&kafka.bootstrap(), "stalled", settings).await.unwrap();
    let running = fragile.up(&[]).await.unwrap();
    eventually("a member", async || (fragile.ask("/readyz").await?.0 == 200).then_some(())).await;
    fragile.produce(&["loop"], None).await.unwrap();
    let complaint = eventually("a complaint", async || {
        let (status, body) = fragile.ask("/healthz").await?;
        (status == 503).then_some(body)
    })
    .await;
    assert!(complaint.starts_with("fragile: stalled/0 has a lag of 1"), "{complaint}");
    assert_eq!(fragile.ask("/readyz").await.unwrap().0, 503);
    assert_eq!(fragile.metric("spin_kafka_batches_in_flight").await, Some(1.0));
    running.stop().await.unwrap();
}

/// A server that receives OTLP over HTTP.
async fn collector() -> (String, Arc<Mutex<Vec<Span>>>) {
    let spans = Arc::<Mutex<Vec<Span>>>::default();
    let received = spans.clone();
    let take = move |body: Bytes| async move {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let resources = request.resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        received.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    };
    let router = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, spans)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_records_trace_goes_on_in_the_trigger() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let (url, spans) = collector().await;
    let kafka = shared_kafka();
    let fragile = Fragile::new(&kafka.bootstrap(), "traced", SETTINGS).await.unwrap();
    let running = fragile.up_with_env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await.unwrap();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    fragile.produce(&["good"], Some(&traceparent)).await.unwrap();
    fragile.produce(&["good"], None).await.unwrap();
    eventually("the records", async || {
        (fragile.metric("spin_kafka_records_total").await? == 2.0).then_some(())
    })
    .await;
    // At its end, the program sends the collected spans.
    running.stop().await.unwrap();
    let spans = eventually("the spans", async || {
        let spans = spans.lock().unwrap().clone();
        (spans.len() >= 2).then_some(spans)
    })
    .await;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let record = spans.iter().find(|span| hex(&span.trace_id) == TRACE).unwrap();
    assert_eq!(hex(&record.parent_span_id), PARENT);
    assert_eq!(record.name, "process traced");
    assert!(record.end_time_unix_nano >= record.start_time_unix_nano);
    let linked =
        spans.iter().filter(|span| span.links.iter().any(|link| hex(&link.trace_id) == TRACE));
    assert_eq!(linked.count(), 1, "the batch's span links to it");
    assert_eq!(
        spans.iter().filter(|span| hex(&span.trace_id) == TRACE).count(),
        1,
        "a record without a trace has no span of its own"
    );
}
