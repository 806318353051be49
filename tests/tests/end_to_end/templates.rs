//! The applications of Spin's templates. `cargo xtask spin` sends the same requests to a real Spin.

use http::Method;
use pipeline_tests::{Launch, Pipeline, Templates};
use test_servers::{ValkeyConfig, start_valkey};

#[tokio::test(flavor = "multi_thread")]
async fn components_of_spins_templates_are_served() {
    let templates = Templates::start().await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let launch = Launch::new(templates.manifest(), "127.0.0.1:1", valkey.url(), "");
    let running = Pipeline::launch(&launch).await.unwrap();
    let client = running.client();
    for (path, status, body) in Templates::requests() {
        let answer = client.send(Method::GET, path, &[], "").await.unwrap();
        let seen = (answer.status.as_u16(), answer.text());
        assert!(seen.0 == *status && seen.1.contains(body), "{path}: {seen:?}\n{}", running.log());
    }
    Templates::messages_are_received(&client).await;
    running.stop().await.unwrap();
}
