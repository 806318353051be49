//! `doorbuster top` shows a running pipeline, and says when it does not run.

use pipeline_tests::{Pipeline, doorbuster, eventually};

/// Prints the figures once. Returns the exit code and the text.
async fn once(app: &str, operator: &str) -> (Option<i32>, String) {
    // Standard output is a pipe, so this prints once also without the flag.
    let output = doorbuster().args(["top", app, "--operator", operator]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "", "{text}");
    (output.status.code(), text)
}

/// A pipeline that has counted one sale of `tv` is shown.
pub async fn shows_one_sale(pipeline: &Pipeline, operator: &str) {
    let app = pipeline.client().address().to_owned();
    let text = eventually("the pipeline is healthy and has counted the sale", async || {
        let (code, text) = once(&app, operator).await;
        (code == Some(0) && text.contains("Sales: 1 counted")).then_some(text)
    })
    .await;
    let (heading, _) = text.split_once('\n').unwrap();
    assert!(heading.starts_with(&format!("http://{app} at ")), "{text}");
    assert!(heading.ends_with(": healthy"), "{text}");
    let has_line =
        |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has_line(&["Electronica", " 9.99", " tv "]), "{text}");
    assert!(has_line(&["Products: top of 1"]), "{text}");
    assert!(has_line(&["Kafka: lag 0, dead letters 0"]), "{text}");
    assert!(has_line(&[&format!("{}/0 ", pipeline.topic), " aggregator "]), "{text}");
}

/// A pipeline that has ended is not healthy.
pub async fn shows_the_end(app: &str, operator: &str) {
    let (code, text) = once(app, operator).await;
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "NOT HEALTHY".into(),
        format!("read API http://{app}: cannot connect"),
        format!("operator port http://{operator}: cannot connect"),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
}
