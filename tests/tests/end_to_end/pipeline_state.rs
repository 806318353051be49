//! The state of the pipeline when its metrics cannot be read.

use std::time::Duration;

use pipeline_tests::{MetricsAnswer, MetricsSource, Pipeline, eventually};
use serde_json::json;
use test_servers::shared_kafka;

use super::dashboard::{events, figures_of, get, sale, sell};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_cannot_be_read_do_not_affect_the_sales() {
    let source = MetricsSource::start().await.unwrap();
    let variables = [("metrics_url", &*source.url())];
    let pipeline = Pipeline::with_variables(&shared_kafka().bootstrap(), &variables).await.unwrap();
    let client = pipeline.client();
    let state_has = async |status: u16| {
        let answer = get(&client, "/api/v1/pipeline").await;
        (answer.status == status).then(|| answer.json())
    };
    let state = state_has(200).await.unwrap();
    assert_eq!((&state["rate_window_ms"], &state["consumer"]["lag"]), (&json!(60_000), &json!(7)));
    assert!(source.target().ends_with("/federate?match[]={__name__=~%22spin_.*%22}"));
    let mut sales = 0;
    for (fault, status) in [
        (MetricsAnswer::Other, 502),
        (MetricsAnswer::Failure, 503),
        (MetricsAnswer::TooLong, 503),
        (MetricsAnswer::None, 503),
    ] {
        source.set(fault);
        let problem = eventually("the fault is reported", async || state_has(status).await).await;
        assert_eq!(problem["status"], status, "{fault:?}");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
        let mut watched = events(&client).await;
        watched.next_of("figures").await.unwrap();
        let problem = watched.next_of("pipeline-unavailable").await.unwrap();
        assert_eq!(problem["status"], status, "{fault:?}");
        sales += 1;
        sell(&client, &[sale(1, "tv", 5.0, 1)]).await;
        figures_of(&mut events(&client).await, sales).await;
    }
    assert!(pipeline.log().contains("the metrics of the pipeline cannot be read"));
    source.set(MetricsAnswer::Counting);
    eventually("the state is back", async || state_has(200).await).await;
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_another_server_are_a_problem() {
    let source = MetricsSource::start().await.unwrap();
    let variables = [("metrics_url", &*source.process_url())];
    let pipeline = Pipeline::with_variables(&shared_kafka().bootstrap(), &variables).await.unwrap();
    let client = pipeline.client();
    for (fault, status) in [
        (MetricsAnswer::Other, 502),
        (MetricsAnswer::Failure, 502),
        (MetricsAnswer::TooLong, 503),
        (MetricsAnswer::None, 503),
    ] {
        source.set(fault);
        // An instance keeps the failure before for 1 s.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let answer = get(&client, "/api/v1/dead-letters").await;
        assert_eq!(answer.status, status, "{fault:?}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
    assert!(pipeline.log().contains("the dead letters cannot be read"));
    pipeline.stop().await.unwrap();
}
