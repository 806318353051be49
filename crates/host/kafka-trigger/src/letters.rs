//! The dead letters at the operator port: the open ones, and sending them back.
//!
//! Only one request at a time uses Kafka. The others wait for it, and get its list if they ask for
//! the list, too.

mod fault;
mod list;
mod replay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use component_host::http::{Answer, text};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use spin_kafka_trigger::Config;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::TriggerConfig;
use fault::Fault;

/// The path of the list.
pub const LIST_PATH: &str = "/dead-letters";
/// The path for sending letters back.
pub const REPLAY_PATH: &str = "/dead-letters/replay";

/// How long a request may use Kafka. Letters that are being sent at that time are still marked.
const KAFKA_LIMIT: Duration = Duration::from_secs(8);
/// The longest time until a request is answered. The host drops an outgoing connection after 12 s
/// of silence, and the live page asks over such a connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// A list is not read again for this time, or for this many times the duration of its read, so that
/// a long topic is not read all the time.
const LIST_AGE_MIN: Duration = Duration::from_secs(2);
const LIST_AGE_PER_READ: u32 = 4;

const JSON: &str = "application/json";

/// The dead letters of the Kafka triggers of a process.
pub struct LetterService {
    topics: Arc<[LetterTopic]>,
    may_replay: bool,
    /// The list that was read last. It is locked as long as a request uses Kafka.
    last: Arc<Mutex<Option<LastList>>>,
}

/// A dead-letter topic, and the settings of a trigger that writes to it.
struct LetterTopic {
    name: String,
    config: Config,
}

struct LastList {
    /// When it is read again.
    stale_at: Instant,
    outcome: Result<Bytes, Fault>,
}

impl LetterService {
    /// The dead letters of these triggers; `None` if no dead-letter topic is known. `may_replay` is
    /// whether they may be sent back.
    pub fn new(triggers: &[TriggerConfig], may_replay: bool) -> Option<Self> {
        let mut topics: Vec<LetterTopic> = Vec::new();
        for TriggerConfig { engine: config, .. } in triggers {
            for name in config.dead_letter_topics() {
                let is_same =
                    |t: &LetterTopic| t.name == name && t.config.brokers == config.brokers;
                if !topics.iter().any(is_same) {
                    topics.push(LetterTopic { name, config: config.clone() });
                }
            }
        }
        (!topics.is_empty()).then(|| Self {
            topics: topics.into(),
            may_replay,
            last: Arc::default(),
        })
    }

    /// Answers a request for the list.
    pub(crate) async fn list(&self, method: &Method) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Fault::Method("GET, HEAD").answer();
        }
        let (topics, may_replay) = (self.topics.clone(), self.may_replay);
        let list = self.exclusively(move |last, deadline| {
            if let Some(list) = last.as_ref().filter(|list| Instant::now() < list.stale_at) {
                return list.outcome.clone();
            }
            let begun = Instant::now();
            let outcome = list::read(&topics, may_replay, deadline).map_err(|error| {
                tracing::warn!("the dead letters cannot be read: {error}");
                Fault::from(&error)
            });
            let age = (begun.elapsed() * LIST_AGE_PER_READ).max(LIST_AGE_MIN);
            *last = Some(LastList { stale_at: Instant::now() + age, outcome: outcome.clone() });
            outcome
        });
        json(list.await)
    }

    /// Answers a request to send letters back. It must have the content type of JSON: a browser does
    /// not send that to another site without asking it first.
    pub(crate) async fn replay(&self, method: &Method, headers: &HeaderMap) -> Answer {
        if *method != Method::POST {
            return Fault::Method("POST").answer();
        }
        if !self.may_replay {
            return Fault::Forbidden.answer();
        }
        if headers.get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes() != JSON.as_bytes())
        {
            return Fault::MediaType.answer();
        }
        let topics = self.topics.clone();
        let sent = self.exclusively(move |last, deadline| {
            // The list changes even if not all letters can be sent.
            *last = None;
            replay::send_back(&topics, deadline)
        });
        json(sent.await)
    }

    /// Runs the work on a thread for blocking work, when no other request uses Kafka. It is not
    /// interrupted if the client disconnects, and then still keeps others out.
    async fn exclusively(
        &self,
        work: impl FnOnce(&mut Option<LastList>, Instant) -> Result<Bytes, Fault> + Send + 'static,
    ) -> Result<Bytes, Fault> {
        let deadline = Instant::now() + KAFKA_LIMIT;
        let answer_by = tokio::time::Instant::now() + ANSWER_LIMIT;
        let last = timeout_at(answer_by, self.last.clone().lock_owned()).await;
        let mut last = last.map_err(|_elapsed| Fault::Busy)?;
        let done = spawn_blocking(move || work(&mut last, deadline));
        match timeout_at(answer_by, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                tracing::error!("a request for dead letters failed: {error}");
                Err(Fault::Unavailable)
            }
            Err(_elapsed) => Err(Fault::TimedOut),
        }
    }
}

/// The answer if the operator has not enabled the dead letters, or if there are none to serve.
pub fn not_served() -> Answer {
    Fault::NotServed.answer()
}

fn json(outcome: Result<Bytes, Fault>) -> Answer {
    match outcome {
        Ok(json) => {
            let mut answer = text(StatusCode::OK, JSON, json);
            // Letters contain data of customers, which no cache may keep.
            answer
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer
        }
        Err(fault) => fault.answer(),
    }
}

#[cfg(test)]
mod tests {
    use component_host::http::Answer;

    use super::*;

    fn service(may_replay: bool) -> LetterService {
        let engine = Config {
            // Nothing listens there.
            brokers: "127.0.0.1:1".into(),
            topics: vec!["sales".into(), "^other".into()],
            group: "group".into(),
            ..Config::default()
        };
        let trigger = |component: &str| TriggerConfig {
            component: component.into(),
            engine: engine.clone(),
            handler_deadline: Duration::ZERO,
        };
        LetterService::new(&[trigger("one"), trigger("two")], may_replay).unwrap()
    }

    fn json_headers() -> HeaderMap {
        [(header::CONTENT_TYPE, HeaderValue::from_static(JSON))].into_iter().collect()
    }

    fn status(answer: &Answer) -> u16 {
        answer.status().as_u16()
    }

    #[test]
    fn each_known_topic_is_read_once() {
        let names: Vec<_> = service(false).topics.iter().map(|topic| topic.name.clone()).collect();
        assert_eq!(names, ["sales.dead-letter"]);
        assert!(LetterService::new(&[], true).is_none());
    }

    #[tokio::test]
    async fn letters_are_sent_back_only_if_that_is_enabled_and_asked_for_with_json() {
        let (json, none) = (json_headers(), HeaderMap::new());
        let (enabled, disabled) = (service(true), service(false));
        assert_eq!(status(&disabled.replay(&Method::POST, &json).await), 403);
        assert_eq!(status(&enabled.replay(&Method::POST, &none).await), 415);
        assert_eq!(status(&enabled.replay(&Method::GET, &json).await), 405);
        let answer = enabled.list(&Method::DELETE).await;
        assert_eq!(
            (status(&answer), &answer.headers()[header::ALLOW]),
            (405, &"GET, HEAD".parse().unwrap())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_does_not_wait_for_others_without_a_limit() {
        let service = service(true);
        let _other = service.last.clone().lock_owned().await;
        let answer = service.list(&Method::GET).await;
        assert_eq!(
            (status(&answer), answer.headers().contains_key(header::RETRY_AFTER)),
            (503, true)
        );
        assert_eq!(status(&service.replay(&Method::POST, &json_headers()).await), 503);
    }

    #[tokio::test]
    async fn a_failure_is_reported_in_time_and_kept_like_a_list() {
        let service = service(false);
        let begun = Instant::now();
        let failed = status(&service.list(&Method::GET).await);
        assert!(matches!(failed, 503 | 504) && begun.elapsed() < ANSWER_LIMIT * 2, "{failed}");
        let begun = Instant::now();
        assert_eq!(status(&service.list(&Method::GET).await), failed);
        assert!(begun.elapsed() < Duration::from_secs(1), "it is not read again");
    }
}
