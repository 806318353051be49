//! The engine on a real Kafka broker with authentication and authorization.
//!
//! The tests are a separate program, because they capture the log of the whole process, which
//! must not contain a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "the other program uses more of the helpers")]

mod authority;
mod secrets;
mod secured;
#[path = "../it/support/mod.rs"]
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::authority::Authority;
use crate::secrets::{assert_none_in, assert_none_logged, keep, password, until_logged};
use crate::secured::{GUEST, LATECOMER, READER, secured};
use crate::support::cluster::create_topic;
use crate::support::{Session, committed, produce, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use spin_kafka_trigger::{Batch, Config, GroupProtocol};
use test_servers::Listener;

/// A topic with ten records. The group does not exist yet.
async fn topic_of_ten(topic: &str) {
    let brokers = secured().kafka.bootstrap();
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
}

/// Every record up to `end` must be there once and in order.
fn assert_complete(batches: &[Batch], end: i64) {
    let offsets = batches.iter().flat_map(|batch| &batch.records).map(|message| message.offset);
    assert_eq!(offsets.collect::<Vec<_>>(), (0..end).collect::<Vec<_>>());
}

/// Stops after the last record. Its offset must be committed, and no secret logged.
async fn stop(session: Session, topic: &str, end: i64) {
    assert_eq!(session.metrics.records_lost.get(), 0);
    assert!(session.stop().await.left_group);
    assert_eq!(committed(&secured().kafka.bootstrap(), topic, topic, 0), Some(end));
    assert_none_logged();
}

/// Reads a new topic and commits.
async fn reads(topic: &str, config: Config) {
    topic_of_ten(topic).await;
    assert_none_in(&format!("{config:?}"));
    let mut session = Session::start(config);
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

async fn reads_with_password(mechanism: &str, topic: &str) {
    let password = secured().password(READER);
    reads(topic, secured().with_password(mechanism, topic, READER, password)).await;
}

/// An unsigned JWT.
fn jwt(user: &str, expires_in_seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let expires = now + expires_in_seconds;
    let claims = format!(r#"{{"sub":"{user}","iat":{},"exp":{expires}}}"#, now - 60);
    let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    keep(format!("{header}.{claims}."))
}

fn with_token(listener: Listener, topic: &str, token: String) -> Config {
    secured().config(listener, topic, &[]).oauth_token(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_password_is_accepted() {
    reads_with_password("PLAIN", "open-plain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_sha_256_is_accepted() {
    reads_with_password("SCRAM-SHA-256", "open-scram-256").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_sha_512_is_accepted() {
    reads_with_password("SCRAM-SHA-512", "open-scram-512").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_librdkafka_creates_is_accepted() {
    let topic = "open-unsecured-token";
    let client = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=reader"),
    ];
    reads(topic, secured().config(Listener::Sasl, topic, &client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_settings_is_accepted() {
    let topic = "open-token";
    reads(topic, with_token(Listener::Sasl, topic, jwt(READER, 600))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_over_tls_is_accepted() {
    let topic = "open-token-tls";
    reads(topic, with_token(Listener::SaslTls, topic, jwt(READER, 600))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_broker_certificate_is_accepted() {
    reads("open-tls", secured().config(Listener::Tls, "open-tls", &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_accepted() {
    let topic = "open-mutual-tls";
    let reader = secured().authority.sign(READER, &[]);
    let client =
        [("ssl.certificate.pem", reader.certificate.as_str()), ("ssl.key.pem", &reader.key)];
    reads(topic, secured().config(Listener::MutualTls, topic, &client)).await;
}

/// An engine that is refused logs why, retries, and stops on request.
async fn is_refused(config: Config, reason: &[&str]) {
    assert_none_in(&format!("{config:?}"));
    let mut session = Session::start(config);
    until_logged(&[&["WARN", "Kafka client"], reason].concat()).await;
    assert!(session.try_call().is_none());
    session.stop().await;
    assert_none_logged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_plain_password_is_reported() {
    let config = secured().with_password("PLAIN", "open-refused", READER, &password());
    is_refused(config, &["Authentication failed: Invalid username or password"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_scram_password_is_reported() {
    let config = secured().with_password("SCRAM-SHA-512", "open-refused", READER, &password());
    is_refused(config, &["invalid credentials with SASL mechanism SCRAM-SHA-512"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_reported() {
    let config = with_token(Listener::Sasl, "open-refused", jwt(READER, -1));
    is_refused(config, &["Must supply an unexpired token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_broker_refuses_is_reported() {
    let config = with_token(Listener::Sasl, "open-refused", password());
    is_refused(config, &["SASL authentication error", "invalid_token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mechanism_without_a_token_is_reported() {
    let client = [("sasl.mechanism", "OAUTHBEARER")];
    let config = secured().config(Listener::Sasl, "open-refused", &client);
    is_refused(config, &["neither `oauth` nor `oauth_token` is set"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_broker_certificate_is_reported() {
    let stranger = Authority::new("stranger").certificate();
    let client = [("ssl.ca.pem", stranger.as_str())];
    let config = secured().config(Listener::Tls, "open-refused", &client);
    is_refused(config, &["certificate verify failed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_certificate_for_another_host_is_reported() {
    let client = [("broker.address.family", "v4")];
    let mut config = secured().config(Listener::Tls, "open-refused", &client);
    config.brokers = config.brokers.replace("127.0.0.1", "localhost");
    is_refused(config, &["ssl://localhost", "certificate verify failed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_client_certificate_is_reported() {
    let config = secured().config(Listener::MutualTls, "open-refused", &[]);
    let address = format!("ssl://{}", config.brokers);
    // The TLS alert depends on the version of Java.
    is_refused(config, &[&address, "SSL alert number"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_accepted_after_the_broker_changed_it() {
    let (topic, password) = ("open-latecomer", password());
    topic_of_ten(topic).await;
    let config = secured().with_password("SCRAM-SHA-256", topic, LATECOMER, &password);
    let mut session = Session::start(config);
    until_logged(&["Kafka client", "SASL mechanism SCRAM-SHA-256"]).await;
    secured().change_password(LATECOMER, &password).await;
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

/// An engine of the user [`GUEST`].
fn guest(topic: &str) -> Session {
    Session::start(guest_config(topic))
}

fn guest_config(topic: &str) -> Config {
    let password = secured().password(GUEST);
    secured().with_password("SCRAM-SHA-256", topic, GUEST, password)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_becomes_readable_is_read() {
    let topic = "closed-topic";
    topic_of_ten(topic).await;
    secured().grant(&["Read", "--group", topic]).await;
    let mut session = guest(topic);
    until_logged(&["Topic authorization failed", topic]).await;
    secured().grant(&["Read", "--topic", topic]).await;
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_read_after_read_access_is_granted() {
    let topic = "seen-topic";
    topic_of_ten(topic).await;
    secured().grant(&["Read", "--group", topic]).await;
    secured().grant(&["Describe", "--topic", topic]).await;
    let mut session = guest(topic);
    until_logged(&["no answer yet; repeating the query", topic, "TopicAuthorizationFailed"]).await;
    secured().grant(&["Read", "--topic", topic]).await;
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_joined_after_access_is_granted() {
    let topic = "closed-group";
    topic_of_ten(topic).await;
    secured().grant(&["Read", "--topic", topic]).await;
    let mut session = guest(topic);
    until_logged(&["Kafka client", "Group authorization failed"]).await;
    secured().grant(&["Read", "--group", topic]).await;
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

/// The same with KIP-848, where the broker coordinates the group.
#[tokio::test(flavor = "multi_thread")]
async fn a_kip_848_member_waits_for_access() {
    let topic = "closed-848";
    topic_of_ten(topic).await;
    let group_protocol = GroupProtocol::Consumer;
    let mut session = Session::start(guest_config(topic).group_protocol(group_protocol));
    until_logged(&["Kafka client", "Group authorization failed"]).await;
    secured().grant(&["Read", "--group", topic]).await;
    secured().grant(&["Describe", "--topic", topic]).await;
    until_logged(&["no answer yet; repeating the query", topic, "TopicAuthorizationFailed"]).await;
    secured().grant(&["Read", "--topic", topic]).await;
    assert_complete(&session.apply_until(10).await, 10);
    stop(session, topic, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_lost_if_access_is_revoked_and_granted_again() {
    let topic = "withdrawn";
    topic_of_ten(topic).await;
    secured().grant(&["Read", "--topic", topic, "--group", topic]).await;
    let mut session = guest(topic);
    let mut batches = session.apply_until(10).await;
    let brokers = secured().kafka.bootstrap();
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(10)).await;
    secured().revoke(&["Read", "--topic", topic, "--group", topic]).await;
    until_logged(&["Topic authorization failed", topic]).await;
    produce(&brokers, topic, 0, 10, 10);
    secured().grant(&["Read", "--topic", topic, "--group", topic]).await;
    batches.extend(session.apply_until(20).await);
    assert_complete(&batches, 20);
    stop(session, topic, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_refused_without_being_shown() {
    let reader = secured().authority.sign(READER, &[]);
    let broken = reader.key.replacen('M', "!", 1);
    let client = [("ssl.certificate.pem", reader.certificate.as_str()), ("ssl.key.pem", &broken)];
    let config = secured().config(Listener::MutualTls, "open-refused", &client);
    let error = Session::start(config).ended().await.unwrap_err();
    assert!(error.to_string().contains("ssl.key.pem"), "{error}");
    assert_none_in(&format!("{error} {error:?}"));
    assert_none_logged();
}
