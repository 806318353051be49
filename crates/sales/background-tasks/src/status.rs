//! The status of a task, as clients see it.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_text::from_lines;
use serde::Serialize;

use crate::keys::TaskId;

/// The fields of the hash from which the status is read, in the order of [`TaskStatus::read`].
pub const STATUS_FIELDS: [&str; 12] = [
    "state",
    "subject",
    "version",
    "created_ms",
    "started_ms",
    "ended_ms",
    "attempt",
    "progress",
    "message",
    "cancel",
    "status",
    "reason",
];

/// The fields of the hash with the answer, in the order of [`StoredAnswer::read`].
pub const RESULT_FIELDS: [&str; 5] = ["state", "subject", "status", "headers", "body"];

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The broker has not confirmed the record yet.
    Pending,
    /// It waits for the worker.
    Queued,
    /// The worker has begun an attempt.
    Running,
    /// The service has handled the request.
    Succeeded,
    /// The service has refused the request, or all attempts have failed.
    Failed,
    /// The client did not want it any more.
    Cancelled,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task has ended. Only a dead letter that is sent back begins a task again.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The status of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatus {
    id: String,
    /// The state.
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    /// The status of the answer of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    events: String,
    /// The number of changes.
    #[serde(skip)]
    pub version: u64,
}

impl TaskStatus {
    /// The status of a new task, whose links begin with this path.
    pub fn new(id: &TaskId, state: State, prefix: &str) -> Self {
        Self {
            id: id.as_str().into(),
            state,
            created_ms: None,
            started_ms: None,
            ended_ms: None,
            attempt: None,
            progress: None,
            message: None,
            cancel_requested: false,
            status: None,
            reason: None,
            result: None,
            events: format!("{prefix}/{id}/events"),
            version: 0,
        }
    }

    /// The status in the values of [`STATUS_FIELDS`]; `None` if the subject has no such task.
    pub fn read(
        id: &TaskId,
        subject: &str,
        prefix: &str,
        values: Vec<Option<Vec<u8>>>,
    ) -> Option<Self> {
        let mut texts = values.into_iter().map(|value| value.and_then(text));
        let mut next = || texts.next().flatten();
        let state = State::parse(&next()?)?;
        if next()? != subject {
            return None;
        }
        let mut read = Self::new(id, state, prefix);
        read.version = number(next()).unwrap_or(0);
        read.created_ms = number(next());
        read.started_ms = number(next());
        read.ended_ms = number(next()).filter(|_| state.is_last());
        read.attempt = number(next());
        // The last report may have been one before the end.
        let progress: Option<f64> = number(next());
        read.progress = progress.map(|part| if state == State::Succeeded { 1.0 } else { part });
        read.message = next().filter(|message| !message.is_empty());
        read.cancel_requested = next().is_some() && !state.is_last();
        read.status = number(next());
        read.reason = next();
        read.result = read.status.map(|_| format!("{prefix}/{id}/result"));
        Some(read)
    }

    /// The status as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // This cannot fail: texts and numbers are written to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The status as an event, whose id is the number of changes.
    pub fn to_event(&self) -> String {
        let json = String::from_utf8_lossy(&self.to_json()).into_owned();
        format!("event: status\nid: {}\ndata: {json}\n\n", self.version)
    }
}

fn text(value: Vec<u8>) -> Option<String> {
    String::from_utf8(value).ok()
}

fn number<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text?.parse().ok()
}

/// The answer of the service, as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredAnswer {
    /// The answer.
    Complete(StatusCode, HeaderMap, Bytes),
    /// There is none; the task has this state.
    Missing(State),
}

impl StoredAnswer {
    /// The answer in the values of [`RESULT_FIELDS`]; `None` if the subject has no such task.
    pub fn read(subject: &str, values: Vec<Option<Vec<u8>>>) -> Option<Self> {
        let [state, owner, status, headers, body] = <[_; 5]>::try_from(values).ok()?;
        let state = State::parse(&state.and_then(text)?)?;
        if owner.and_then(text)? != subject {
            return None;
        }
        let answer = || {
            let status = StatusCode::from_u16(number(status.and_then(text))?).ok()?;
            let headers = from_lines(&headers.unwrap_or_default().into())?;
            Some(Self::Complete(status, headers, body.unwrap_or_default().into()))
        };
        Some(answer().unwrap_or(Self::Missing(state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TaskId {
        TaskId::parse("abcdefghijklmnopqrstu_").unwrap()
    }

    fn values(set: &[(&str, &str)], names: &[&str]) -> Vec<Option<Vec<u8>>> {
        let value = |name: &&str| set.iter().find(|(own, _)| own == name);
        names.iter().map(|name| Some(value(name)?.1.as_bytes().to_vec())).collect()
    }

    #[test]
    fn only_the_subject_sees_the_status() {
        let fields = [
            ("state", "running"),
            ("subject", "ada"),
            ("version", "3"),
            ("created_ms", "1"),
            ("attempt", "2"),
            ("progress", "0.25"),
            ("message", "one\ntwo"),
            ("cancel", "1"),
            ("ended_ms", "9"),
        ];
        let read =
            |subject| TaskStatus::read(&id(), subject, "/tasks", values(&fields, &STATUS_FIELDS));
        let status = read("ada").unwrap();
        let json = r#"{"id":"abcdefghijklmnopqrstu_","state":"running","created_ms":1,"attempt":2,"progress":0.25,"message":"one\ntwo","cancel_requested":true,"events":"/tasks/abcdefghijklmnopqrstu_/events"}"#;
        assert_eq!(String::from_utf8(status.to_json()).unwrap(), json);
        assert_eq!(status.to_event(), format!("event: status\nid: 3\ndata: {json}\n\n"));
        assert_eq!((read("bob"), read("")), (None, None));
        assert_eq!(TaskStatus::read(&id(), "", "", values(&[], &STATUS_FIELDS)), None);
    }

    #[test]
    fn an_answer_is_there_when_the_task_has_ended() {
        let ended = [
            ("state", "failed"),
            ("subject", ""),
            ("status", "422"),
            ("headers", "content-type: a/b\r\n"),
            ("body", "why"),
        ];
        let read = |count: usize, subject| {
            StoredAnswer::read(subject, values(&ended[..count], &RESULT_FIELDS))
        };
        let Some(StoredAnswer::Complete(status, headers, body)) = read(5, "") else { panic!() };
        assert_eq!((status.as_u16(), &*body), (422, &b"why"[..]));
        assert_eq!(headers["content-type"], "a/b");
        assert_eq!(read(2, ""), Some(StoredAnswer::Missing(State::Failed)));
        assert_eq!((read(5, "ada"), read(0, "")), (None, None));
    }
}
