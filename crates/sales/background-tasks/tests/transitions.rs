//! The states of tasks, with a real Valkey.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::SystemTime;

use background_tasks::{
    Accepted, Answer, AttemptId, Cancelled, Created, Failure, Finished, Keys, Outcome, Progressed,
    RESULT_FIELDS, STATUS_FIELDS, Started, State, StoredAnswer, TRANSITION, TaskId, TaskStatus,
    Transition, values,
};
use http::{HeaderMap, StatusCode};
use redis::{Cmd, Connection, Value};
use secrecy::SecretString;
use test_servers::{Valkey, ValkeyConfig, start_valkey};
use valkey_codec::{Reply, Scalar, ScriptRef};

const RETENTION_MS: u64 = 3_600_000;
const ATTEMPTS_MAX: u32 = 3;

/// A server, and a task in it.
struct Store {
    _valkey: Valkey,
    connection: Connection,
    id: TaskId,
    /// The attempts that the store began.
    attempts: Vec<AttemptId>,
}

impl Store {
    async fn start() -> Self {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let connection = redis::Client::open(valkey.url()).unwrap().get_connection().unwrap();
        let id =
            Keys::new(&SecretString::from("secret")).id("ada", background_tasks::Origin::Key("k"));
        Self { _valkey: valkey, connection, id, attempts: Vec::new() }
    }

    /// Another task.
    fn next(&mut self, key: &str) {
        self.attempts.clear();
        self.id =
            Keys::new(&SecretString::from("secret")).id("ada", background_tasks::Origin::Key(key));
    }

    fn run(&mut self, words: &[&[u8]]) -> Reply {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let value: Value = command.query(&mut self.connection).unwrap();
        let scalar = |value| match value {
            Value::BulkString(text) => Scalar::Text(text),
            Value::Nil => Scalar::Nil,
            other => panic!("{other:?}"),
        };
        let Value::Array(values) = value else { panic!("{value:?}") };
        Reply::Many(values.into_iter().map(scalar).collect())
    }

    fn apply<T: TryFrom<Reply, Error = String>>(&mut self, transition: &Transition<'_>) -> T {
        let [eval, source] = TRANSITION.call(ScriptRef::Source);
        let arguments = transition.arguments(RETENTION_MS);
        let id = self.id.clone();
        let mut words: Vec<&[u8]> = vec![&eval, &source, b"1", id.as_str().as_bytes()];
        words.extend(arguments.iter().map(Vec::as_slice));
        let reply = self.run(&words);
        let lifetime: i64 =
            redis::cmd("PTTL").arg(id.as_str()).query(&mut self.connection).unwrap();
        // -2: there is no such task.
        assert!((-2..=RETENTION_MS as i64).contains(&lifetime) && lifetime != -1, "{lifetime}");
        T::try_from(reply).unwrap()
    }

    fn create(&mut self, digest: &str) -> Created {
        self.apply(&Transition::Create { digest, subject: "ada" })
    }

    /// The record at this offset, of this time.
    fn begin(&mut self, offset: u32, record_ms: i64) -> Started {
        let random = u128::try_from(self.attempts.len()).unwrap().to_be_bytes();
        self.attempts.push(AttemptId::new(random));
        self.begin_again(offset, record_ms, false)
    }

    /// The last attempt, whose reply was lost.
    fn begin_again(&mut self, offset: u32, record_ms: i64, is_expired: bool) -> Started {
        let attempt_id = self.attempts.last().unwrap().clone();
        self.apply(&Transition::Start {
            digest: "d",
            subject: "ada",
            created_ms: 5,
            position: &position(offset),
            record_ms,
            is_expired,
            attempt_id: &attempt_id,
            lease_ms: LEASE_MS,
            attempts_max: ATTEMPTS_MAX,
        })
    }

    /// The error of Valkey, if it refuses another attempt.
    fn try_begin(&mut self, offset: u32) -> redis::RedisResult<Value> {
        let start = Transition::Start {
            digest: "d",
            subject: "ada",
            created_ms: 5,
            position: &position(offset),
            record_ms: 1,
            is_expired: false,
            attempt_id: &AttemptId::new([2; 16]),
            lease_ms: LEASE_MS,
            attempts_max: ATTEMPTS_MAX,
        };
        let [eval, source] = TRANSITION.call(ScriptRef::Source);
        let mut command = Cmd::new();
        command.arg(eval).arg(source).arg(1).arg(self.id.as_str());
        command.arg(start.arguments(RETENTION_MS)).query(&mut self.connection)
    }

    /// The last attempt ends.
    fn finish(&mut self, answered: Result<Answer, Failure>) -> Finished {
        let last = self.attempts.len().saturating_sub(1);
        self.finish_earlier(last, answered, RETENTION_MS)
    }

    fn finish_earlier(
        &mut self,
        index: usize,
        answered: Result<Answer, Failure>,
        retry_ms: u64,
    ) -> Finished {
        let attempt_id = self.attempts[index].clone();
        self.apply(&Transition::Finish {
            attempt_id: &attempt_id,
            digest: "d",
            subject: "ada",
            created_ms: 5,
            position: &position(1),
            outcome: &Outcome::of(answered, SystemTime::UNIX_EPOCH),
            attempts_max: ATTEMPTS_MAX,
            retry_ms,
        })
    }

    fn forget(&mut self) {
        let id = self.id.clone();
        redis::cmd("DEL").arg(id.as_str()).exec(&mut self.connection).unwrap();
    }

    fn cancel(&mut self, subject: &str) -> Cancelled {
        self.apply(&Transition::Cancel { subject })
    }

    /// The service reports its progress in this attempt.
    fn progress(&mut self, index: usize) -> Progressed {
        let attempt_id = self.attempts[index].clone();
        self.apply(&Transition::Progress { attempt_id: &attempt_id, part: 0.5, message: "half" })
    }

    fn fields(&mut self, names: &[&str]) -> Vec<Option<Vec<u8>>> {
        let id = self.id.clone();
        let mut words: Vec<&[u8]> = vec![b"HMGET", id.as_str().as_bytes()];
        words.extend(names.iter().map(|name| name.as_bytes()));
        values(self.run(&words)).unwrap()
    }

    fn status(&mut self) -> serde_json::Value {
        let fields = self.fields(&STATUS_FIELDS);
        let status = TaskStatus::read(&self.id, "ada", "/tasks", fields).unwrap();
        serde_json::from_slice(&status.to_json()).unwrap()
    }

    fn state(&mut self) -> String {
        self.status()["state"].as_str().unwrap().to_owned()
    }
}

fn answer(status: u16) -> Result<Answer, Failure> {
    let status = StatusCode::from_u16(status).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().unwrap());
    Ok(Answer { status, headers, body: "done".into() })
}

fn position(offset: u32) -> String {
    format!("tasks/0@{offset}")
}

/// No attempt exceeds it in this test.
const LEASE_MS: u64 = 3_600_000;

/// A time after all that Valkey notes in this test.
const LATER_MS: i64 = i64::MAX / 4;

#[tokio::test]
async fn a_task_has_one_state_after_the_other() {
    let mut store = Store::start().await;
    succeed(&mut store);
    cancel(&mut store);
    take_over(&mut store);
    fail(&mut store);
    lose_the_state(&mut store);
    expire(&mut store);
    fill_the_memory(&mut store);
}

/// The usual way, and a repeated request.
fn succeed(store: &mut Store) {
    assert_eq!(store.create("d"), Created::New);
    assert_eq!(store.create("d"), Created::Same(State::Pending));
    assert_eq!(store.create("other"), Created::Other);
    assert_eq!(store.apply::<Accepted>(&Transition::Accept), Accepted);
    assert_eq!(store.state(), "queued");
    assert_eq!(store.begin(1, 1), Started::Run(1));
    assert_eq!(store.begin_again(1, 1, false), Started::Run(1), "the reply was lost");
    assert_eq!(store.apply::<Accepted>(&Transition::Accept), Accepted);
    assert_eq!(store.state(), "running", "a late confirmation changes nothing");
    assert_eq!(store.progress(0), Progressed::Noted { is_cancel_requested: false });
    let status = store.status();
    assert_eq!((&status["progress"], &status["message"]), (&0.5.into(), &"half".into()));
    for _ in 0..2 {
        assert_eq!(store.finish(answer(200)), Finished::Done, "also if the reply was lost");
    }
    let status = store.status();
    assert_eq!((&status["state"], &status["status"]), (&"succeeded".into(), &200.into()));
    assert_eq!(status["progress"], 1.0, "what the service reported was half");
    assert!(status["created_ms"].as_u64() <= status["started_ms"].as_u64());
    assert!(status["started_ms"].as_u64() <= status["ended_ms"].as_u64());
    let fields = store.fields(&RESULT_FIELDS);
    let Some(StoredAnswer::Complete(code, headers, body)) = StoredAnswer::read("ada", fields)
    else {
        panic!()
    };
    let content_type = headers["content-type"].to_str().unwrap();
    assert_eq!((code.as_u16(), content_type, &*body), (200, "text/plain", &b"done"[..]));
    // The record again, a record of the same request, and one that was sent back.
    for (offset, record_ms) in [(1, 1), (2, 1), (3, LATER_MS)] {
        assert_eq!(store.begin(offset, record_ms), Started::Done);
    }
    assert_eq!(store.cancel("ada"), Cancelled::Is(State::Succeeded));
    assert_eq!(store.create("d"), Created::Same(State::Succeeded));
    assert_eq!(store.progress(0), Progressed::Stale);
}

/// Cancelled before an attempt, during one, and between two.
fn cancel(store: &mut Store) {
    store.next("unwanted");
    store.create("d");
    assert_eq!(store.cancel("bob"), Cancelled::Missing);
    assert_eq!(store.cancel("ada"), Cancelled::Is(State::Cancelled));
    assert_eq!(store.cancel("ada"), Cancelled::Is(State::Cancelled));
    assert_eq!(store.apply::<Accepted>(&Transition::Accept), Accepted);
    assert_eq!(store.begin(9, 1), Started::Done);
    assert_eq!(store.state(), "cancelled");
    for (key, outcome, state) in [
        ("stopped", answer(500), "cancelled"),
        ("refused", answer(409), "cancelled"),
        ("completed", answer(200), "succeeded"),
    ] {
        store.next(key);
        assert_eq!(store.begin(10, 1), Started::Run(1));
        assert_eq!(store.cancel("ada"), Cancelled::Is(State::Running));
        assert_eq!(store.status()["cancel_requested"], true);
        assert_eq!(store.progress(0), Progressed::Noted { is_cancel_requested: true });
        assert_eq!(store.finish(outcome), Finished::Done);
        assert_eq!(store.state(), state);
    }
    store.next("interrupted");
    assert_eq!(store.begin(11, 1), Started::Run(1));
    assert_eq!(store.cancel("ada"), Cancelled::Is(State::Running));
    assert_eq!(store.begin(11, 1), Started::Done);
    assert_eq!(store.state(), "cancelled");
    store.next("unknown");
    assert_eq!(store.cancel("ada"), Cancelled::Missing);
}

/// The first worker was killed or is frozen: it cannot change the state any more.
fn take_over(store: &mut Store) {
    store.next("late");
    assert_eq!(store.begin(4, 1), Started::Run(1), "the state was lost, but not the record");
    assert_eq!(store.status()["created_ms"], 5);
    assert_eq!(store.begin(5, 1), Started::Busy, "another record of the task");
    store.attempts.pop();
    assert_eq!(store.begin(4, 1), Started::Run(2));
    assert_eq!(store.finish_earlier(0, answer(200), 0), Finished::Stale);
    assert_eq!(store.progress(0), Progressed::Stale);
    assert_eq!(store.finish(answer(503)), Finished::Again);
    assert_eq!(store.begin(5, 1), Started::Run(3), "no attempt is running");
    assert_eq!(store.finish(answer(404)), Finished::Done);
    assert_eq!(store.finish_earlier(1, answer(200), 0), Finished::Stale);
    assert_eq!(store.state(), "failed");
    assert_eq!(store.begin(4, 1), Started::Done, "an answer is no dead letter");
}

/// All attempts fail, and the letter is sent back.
fn fail(store: &mut Store) {
    store.next("failing");
    for attempt in 1..ATTEMPTS_MAX {
        assert_eq!(store.begin(1, 1), Started::Run(attempt));
        assert_eq!(store.finish(answer(500)), Finished::Again);
        assert_eq!(store.state(), "running");
    }
    assert_eq!(store.begin(1, 1), Started::Run(3));
    let reason = "the service answered 500".to_owned();
    for _ in 0..2 {
        assert_eq!(store.finish(answer(500)), Finished::Reject(reason.clone()));
    }
    assert_eq!(store.status()["reason"], reason);
    // The letter may not have been written; the record of a repeated request has no letter.
    assert_eq!(store.begin(1, 1), Started::Reject(reason));
    assert!(matches!(store.begin(6, 1), Started::Skip(_)));
    // The letter was sent back. The workers of the earlier attempts cannot change the state.
    assert_eq!(store.begin(7, LATER_MS), Started::Run(4));
    assert_eq!(store.finish_earlier(0, answer(200), 0), Finished::Stale);
    assert_eq!(store.status()["reason"], serde_json::Value::Null);
    assert_eq!(store.finish(Err(Failure::TooLong)), {
        Finished::Reject("the answer of the service is longer than permitted".into())
    });
    let mut attempts = 0;
    while let Started::Run(_) = store.begin(8, LATER_MS) {
        attempts += 1;
    }
    assert_eq!(attempts, ATTEMPTS_MAX, "attempts without an end count, too");
    assert_eq!(store.begin(8, 1), Started::Reject("none of 3 attempts was completed".into()));

    // A service that is not available.
    store.next("unavailable");
    for attempt in 1..=2 * ATTEMPTS_MAX {
        assert_eq!(store.begin(1, 1), Started::Run(attempt));
        for _ in 0..2 {
            assert_eq!(store.finish(Err(Failure::Unreachable)), Finished::Again);
        }
    }
    let mut attempts = 0;
    loop {
        store.begin(1, 1);
        attempts += 1;
        let index = store.attempts.len() - 1;
        match store.finish_earlier(index, answer(503), 0) {
            Finished::Again => {}
            finished => {
                assert_eq!(finished, Finished::Reject("the service answered 503".into()));
                break;
            }
        }
    }
    assert_eq!(attempts, ATTEMPTS_MAX, "after the time, attempts count");
}

/// The state is lost during an attempt.
fn lose_the_state(store: &mut Store) {
    for (key, outcome, finished, state) in [
        ("lost", answer(200), Finished::Done, Some("succeeded")),
        ("lost again", answer(500), Finished::Again, None),
    ] {
        store.next(key);
        store.create("d");
        assert_eq!(store.begin(1, 1), Started::Run(1));
        store.forget();
        assert_eq!(store.finish(outcome), finished);
        let fields = store.fields(&STATUS_FIELDS);
        let status = TaskStatus::read(&store.id, "ada", "/tasks", fields);
        assert_eq!(status.map(|status| status.state.name()), state);
    }
    assert_eq!(store.begin(1, 1), Started::Run(1));
    assert_eq!(store.finish_earlier(0, answer(200), 0), Finished::Stale);
    assert_eq!(store.state(), "running", "an attempt with the same number");
}

/// A record is older than tasks are kept.
fn expire(store: &mut Store) {
    store.next("expired");
    store.attempts.push(AttemptId::new([1; 16]));
    assert!(matches!(store.begin_again(1, 1, true), Started::Skip(_)), "nobody knows the task");
    store.create("d");
    assert_eq!(store.begin_again(1, 1, true), Started::Reject("the record has expired".into()));
    assert_eq!(store.state(), "failed");
    store.next("expired later");
    assert_eq!(store.begin(1, 1), Started::Run(1));
    assert_eq!(store.finish(answer(200)), Finished::Done);
    assert_eq!(store.begin_again(1, 1, true), Started::Done);
}

/// Valkey refuses a change as a whole if its memory is full.
fn fill_the_memory(store: &mut Store) {
    store.next("full");
    assert_eq!(store.begin(1, 1), Started::Run(1));
    assert_eq!(store.finish(answer(500)), Finished::Again);
    let limit = |store: &mut Store, bytes: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(bytes).exec(&mut store.connection).unwrap();
    };
    limit(store, "1");
    let refused = store.try_begin(1);
    limit(store, "0");
    assert!(refused.unwrap_err().to_string().contains("OOM"));
    assert_eq!(store.status()["attempt"], 1, "the attempt did not begin");
}
