//! The dead letters at the operator port: the open ones, and sending them back.
//!
//! Only one request at a time uses Kafka. A few others wait for it, and get its list if they request
//! the list, too.

mod list;
mod problem;
mod replay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use component_host::http::{Answer, text};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_text::is_address_or_localhost;
use spin_kafka_trigger::Config;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::TriggerConfig;
use list::List;
use problem::Problem;

/// The path of the list.
pub const LIST_PATH: &str = "/dead-letters";
/// The path for sending letters back.
pub const REPLAY_PATH: &str = "/dead-letters/replay";
/// Both paths.
pub const PATHS: [&str; 2] = [LIST_PATH, REPLAY_PATH];

/// How long a request may use Kafka. Letters that are being sent at that time are still marked.
const KAFKA_LIMIT: Duration = Duration::from_secs(8);
/// A request does not use Kafka if it had to wait so long that less than this time is left.
const KAFKA_MIN: Duration = Duration::from_secs(2);
/// The time after which a request that had to wait stops using Kafka.
const WORK_LIMIT: Duration = Duration::from_secs(9);
/// The longest time until a request is answered. The host drops an outgoing connection after 12 s
/// of silence, and the live page uses such a connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The most requests that use Kafka or wait for the one that does, so that they do not take the
/// connections that probes and Prometheus need.
const REQUESTS_MAX: usize = 8;
/// A list is not read again for this time, or for this many times the duration of its read,
/// whichever is longer, so that a long topic is not read all the time.
const LIST_AGE_MIN: Duration = Duration::from_secs(2);
const LIST_AGE_PER_READ: u32 = 4;

const JSON: &str = "application/json";

/// The dead letters of the Kafka triggers of a process.
pub struct LetterService {
    topics: Arc<[LetterTopic]>,
    may_replay: bool,
    /// Permits for the requests that use Kafka or wait.
    places: Semaphore,
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
    outcome: Result<Bytes, Problem>,
}

/// The time in which a request may use Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    deadline: Instant,
    /// Whether it is shorter than usual, because the request had to wait.
    is_shortened: bool,
}

impl Turn {
    fn new(now: Instant, work_by: Instant) -> Self {
        let full = now + KAFKA_LIMIT;
        Self { deadline: full.min(work_by), is_shortened: work_by < full }
    }

    /// Fails if too little time is left.
    fn check(self, now: Instant) -> Result<(), Problem> {
        if self.deadline < now + KAFKA_MIN { Err(Problem::Busy) } else { Ok(()) }
    }
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
            places: Semaphore::new(REQUESTS_MAX),
            last: Arc::default(),
        })
    }

    /// Answers a request for the list.
    pub(crate) async fn list(&self, method: &Method) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Problem::Method("GET, HEAD").answer();
        }
        let (topics, may_replay) = (self.topics.clone(), self.may_replay);
        let list = self.exclusively(Problem::ReadTimedOut(None), move |last, turn| {
            if let Some(list) = last.as_ref().filter(|list| Instant::now() < list.stale_at) {
                return list.outcome.clone();
            }
            let begun = Instant::now();
            turn.check(begun)?;
            let read = list::read(&topics, may_replay, turn.deadline);
            // A read with less time may fail although the next one would not.
            let is_kept = !turn.is_shortened || read.as_ref().is_ok_and(List::is_complete);
            let age = (begun.elapsed() * LIST_AGE_PER_READ).max(LIST_AGE_MIN);
            let stale_at = Instant::now() + age;
            let outcome = match read {
                Ok(list) => Ok(list.into_json(if is_kept { age } else { Duration::ZERO })),
                Err(error) => Err(Problem::of_read(&error, is_kept.then_some(stale_at))),
            };
            if is_kept {
                *last = Some(LastList { stale_at, outcome: outcome.clone() });
            }
            outcome
        });
        json(list.await)
    }

    /// Answers a request to send letters back. It must have the content type of JSON: for a page of
    /// another site, a browser first sends a preflight request, which this API does not permit.
    pub(crate) async fn replay(&self, method: &Method, headers: &HeaderMap) -> Answer {
        if *method != Method::POST {
            return Problem::Method("POST").answer();
        }
        if !self.may_replay {
            return Problem::Forbidden.answer();
        }
        if headers.get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes() != JSON.as_bytes())
        {
            return Problem::MediaType.answer();
        }
        let topics = self.topics.clone();
        let sent = self.exclusively(Problem::StillRunning, move |last, turn| {
            turn.check(Instant::now())?;
            // The list changes even if not all letters can be sent.
            *last = None;
            replay::send_back(&topics, turn.deadline)
        });
        json(sent.await)
    }

    /// Runs the work on a thread for blocking work, when no other request uses Kafka. It is not
    /// interrupted if the client disconnects; other requests wait until it has ended. `at_limit` is
    /// the problem if it has not ended in time.
    async fn exclusively(
        &self,
        at_limit: Problem,
        work: impl FnOnce(&mut Option<LastList>, Turn) -> Result<Bytes, Problem> + Send + 'static,
    ) -> Result<Bytes, Problem> {
        let _place = self.places.try_acquire().map_err(|_all_taken| Problem::Busy)?;
        let work_by = Instant::now() + WORK_LIMIT;
        let answer_by = tokio::time::Instant::now() + ANSWER_LIMIT;
        let last = timeout_at(answer_by, self.last.clone().lock_owned()).await;
        let mut last = last.map_err(|_elapsed| Problem::Busy)?;
        let turn = Turn::new(Instant::now(), work_by);
        let done = spawn_blocking(move || work(&mut last, turn));
        match timeout_at(answer_by, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                tracing::error!("a request for dead letters failed: {error}");
                Err(Problem::Unavailable(None))
            }
            Err(_elapsed) => Err(at_limit),
        }
    }
}

/// The problem for a request whose host is a name other than `localhost`. The caller checks only
/// requests on a port that is bound to a loopback address, and requests from a loopback address.
///
/// Another site can make a browser send requests to such a port: it gives its own name that address,
/// so the browser considers the request to be one to the same site (DNS rebinding). The host of the
/// request is then that name.
pub fn host_problem(authority: Option<&str>, headers: &HeaderMap) -> Option<Answer> {
    let field = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let mut hosts = authority.into_iter().chain(field).peekable();
    let is_local = hosts.peek().is_some() && hosts.all(is_address_or_localhost);
    (!is_local).then(|| Problem::Host.answer())
}

/// The answer if the operator has not enabled the dead letters, or if there are none to serve.
pub fn not_served() -> Answer {
    Problem::NotServed.answer()
}

fn json(outcome: Result<Bytes, Problem>) -> Answer {
    match outcome {
        Ok(json) => {
            let mut answer = text(StatusCode::OK, JSON, json);
            // Letters contain data of customers, which no cache may keep.
            answer
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer
        }
        Err(problem) => problem.answer(),
    }
}

#[cfg(test)]
mod tests {
    use component_host::http::Answer;

    use super::*;

    fn service(may_replay: bool) -> LetterService {
        // Nothing listens there.
        let engine = Config::new("127.0.0.1:1", ["sales", "^other"], "group");
        let trigger = |component: &str| TriggerConfig {
            component: component.into(),
            engine: engine.clone(),
            schema: None,
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
    async fn only_a_few_requests_wait() {
        let service = service(true);
        let _others = service.places.try_acquire_many(REQUESTS_MAX as u32).unwrap();
        let begun = Instant::now();
        assert_eq!(status(&service.list(&Method::GET).await), 503);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_failure_is_reported_in_time_and_kept_like_a_list() {
        let service = service(false);
        let begun = Instant::now();
        let failed = service.list(&Method::GET).await;
        assert!(matches!(status(&failed), 503 | 504), "{failed:?}");
        assert!(begun.elapsed() < ANSWER_LIMIT + Duration::from_secs(1));
        let pause: u64 = failed.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((2..=4 * 8 + 4).contains(&pause), "{pause}");
        let begun = Instant::now();
        assert_eq!(status(&service.list(&Method::GET).await), status(&failed));
        assert!(begun.elapsed() < Duration::from_secs(1), "it is not read again");
    }

    #[test]
    fn the_time_for_kafka_begins_after_the_wait() {
        let begun = Instant::now();
        let after = |seconds| {
            let now = begun + Duration::from_secs(seconds);
            let turn = Turn::new(now, begun + WORK_LIMIT);
            (turn.deadline.duration_since(begun).as_secs(), turn.is_shortened, turn.check(now))
        };
        assert_eq!(after(0), (8, false, Ok(())));
        assert_eq!(after(1), (9, false, Ok(())));
        assert_eq!(after(5), (9, true, Ok(())));
        assert_eq!(after(8), (9, true, Err(Problem::Busy)));
    }

    #[tokio::test]
    async fn a_failure_after_a_wait_is_not_kept() {
        let service = service(false);
        let other = service.last.clone().lock_owned().await;
        let release = async {
            tokio::time::sleep(WORK_LIMIT - Duration::from_secs(3)).await;
            drop(other);
        };
        let (failed, ()) = tokio::join!(service.list(&Method::GET), release);
        assert!(matches!(status(&failed), 503 | 504), "{failed:?}");
        assert!(service.last.lock().await.is_none());
    }

    #[test]
    fn a_name_is_no_host_of_a_local_port() {
        let host = |value: &'static str| {
            [(header::HOST, HeaderValue::from_static(value))].into_iter().collect::<HeaderMap>()
        };
        for local in ["127.0.0.1:3001", "localhost:3001", "[::1]:3001", "LOCALHOST"] {
            assert!(host_problem(None, &host(local)).is_none(), "{local}");
            assert!(host_problem(Some(local), &HeaderMap::new()).is_none(), "{local}");
        }
        let evil = "evil.example:3001";
        for problem in [
            host_problem(None, &host(evil)),
            host_problem(Some(evil), &host("localhost")),
            host_problem(Some("localhost"), &host(evil)),
            host_problem(None, &HeaderMap::new()),
        ] {
            assert_eq!(problem.map(|answer| status(&answer)), Some(403));
        }
    }
}
