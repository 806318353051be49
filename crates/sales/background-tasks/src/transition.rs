//! The changes of the state of a task. Each is one call of a script, so the states of a task follow each
//! other in one order, whichever instances change it.

use valkey_codec::{Reply, Scalar, Script};

use crate::keys::AttemptId;
use crate::outcome::{Outcome, stored_headers};
use crate::status::State;

/// Changes the state of a task. The arguments are those of [`Transition::arguments`].
pub static TRANSITION: Script = Script::new(include_str!("transition.lua"));

/// A change.
#[derive(Debug)]
pub enum Transition<'a> {
    /// A new request.
    Create {
        /// The digest of its content.
        digest: &'a str,
        /// Who sent it.
        subject: &'a str,
    },
    /// The broker has confirmed the record.
    Accept,
    /// The worker has the record, and begins an attempt.
    Start {
        /// The digest of the content.
        digest: &'a str,
        /// Who sent the request.
        subject: &'a str,
        /// When it was accepted.
        created_ms: u64,
        /// The topic, the partition and the offset of the record.
        position: &'a str,
        /// The time of the record; 0 if it has none.
        record_ms: i64,
        /// Whether the record is older than tasks are kept.
        is_expired: bool,
        /// Identifies the attempt.
        attempt_id: &'a AttemptId,
        /// The milliseconds within which the attempt ends. Until then, no other record of the task
        /// begins one.
        lease_ms: u64,
        /// The most attempts.
        attempts_max: u32,
    },
    /// An attempt has ended.
    Finish {
        /// Identifies the attempt.
        attempt_id: &'a AttemptId,
        /// The digest of the content.
        digest: &'a str,
        /// Who sent the request.
        subject: &'a str,
        /// When it was accepted.
        created_ms: u64,
        /// The topic, the partition and the offset of the record.
        position: &'a str,
        /// How it ended.
        outcome: &'a Outcome,
        /// The most attempts.
        attempts_max: u32,
        /// The milliseconds for which a service that is not available is called again.
        retry_ms: u64,
    },
    /// The client does not want the task any more.
    Cancel {
        /// Who asks for it.
        subject: &'a str,
    },
    /// The service reports its progress.
    Progress {
        /// Identifies the attempt.
        attempt_id: &'a AttemptId,
        /// The part that is done, 0 to 1.
        part: f64,
        /// What it does.
        message: &'a str,
    },
}

impl Transition<'_> {
    /// The arguments of [`TRANSITION`]. The task is kept for this time after the change.
    pub fn arguments(&self, retention_ms: u64) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let number = |number: u64| number.to_string().into_bytes();
        let (name, mut own) = match *self {
            Self::Create { digest, subject } => ("create", vec![text(digest), text(subject)]),
            Self::Accept => ("accept", Vec::new()),
            Self::Start {
                digest,
                subject,
                created_ms,
                position,
                record_ms,
                is_expired,
                attempt_id,
                lease_ms,
                attempts_max,
            } => {
                let own = vec![
                    text(digest),
                    text(subject),
                    number(created_ms),
                    text(position),
                    record_ms.to_string().into_bytes(),
                    text(if is_expired { "1" } else { "" }),
                    text(attempt_id.as_str()),
                    number(lease_ms),
                    number(attempts_max.into()),
                ];
                ("start", own)
            }
            Self::Finish {
                attempt_id,
                digest,
                subject,
                created_ms,
                position,
                outcome,
                attempts_max,
                retry_ms,
            } => {
                let (word, reason, answer) = match outcome {
                    Outcome::Succeeded(answer) => ("succeeded", "", Some(answer)),
                    Outcome::Failed(answer) => ("failed", "", Some(answer)),
                    Outcome::Again(reason) => ("again", reason.as_str(), None),
                    Outcome::Unavailable(reason, _) => ("unavailable", reason.as_str(), None),
                    Outcome::Rejected(reason) => ("rejected", reason.as_str(), None),
                };
                let (status, headers, body) = answer.map_or_else(Default::default, |answer| {
                    let status = answer.status.as_str().as_bytes().to_vec();
                    (status, stored_headers(&answer.headers), answer.body.to_vec())
                });
                let own = vec![
                    text(attempt_id.as_str()),
                    text(digest),
                    text(subject),
                    number(created_ms),
                    text(position),
                    text(word),
                    text(reason),
                    number(attempts_max.into()),
                    number(retry_ms),
                    status,
                    headers,
                    body,
                ];
                ("finish", own)
            }
            Self::Cancel { subject } => ("cancel", vec![text(subject)]),
            Self::Progress { attempt_id, part, message } => {
                let part = part.to_string().into_bytes();
                ("progress", vec![text(attempt_id.as_str()), part, text(message)])
            }
        };
        let mut arguments = vec![text(name), number(retention_ms)];
        arguments.append(&mut own);
        arguments
    }
}

/// The result of [`Transition::Create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The task is new.
    New,
    /// The same request was sent before; the task has this state.
    Same(State),
    /// The key belongs to a request with other content.
    Other,
}

/// The result of [`Transition::Accept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted;

/// The result of [`Transition::Start`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// An attempt with this number begins.
    Run(u32),
    /// There is nothing to do.
    Done,
    /// The record is skipped for this reason.
    Skip(String),
    /// An attempt of another record of the task is running.
    Busy,
    /// The task has failed for this reason: the record becomes a dead letter.
    Reject(String),
}

/// The result of [`Transition::Finish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// The state is one of the last ones.
    Done,
    /// There will be another attempt.
    Again,
    /// The task has failed for this reason: the record becomes a dead letter.
    Reject(String),
    /// Another attempt has begun meanwhile, and nothing was changed.
    Stale,
}

/// The result of [`Transition::Cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The task has this state now.
    Is(State),
    /// The subject has no such task.
    Missing,
}

/// The result of [`Transition::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progressed {
    /// It is noted.
    Noted {
        /// Whether the client does not want the task any more.
        is_cancel_requested: bool,
    },
    /// The attempt has ended.
    Stale,
}

/// The values of a reply with several; `None` for those that do not exist. The error is a message.
pub fn values(reply: Reply) -> Result<Vec<Option<Vec<u8>>>, String> {
    let value = |scalar| match scalar {
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Nil => Ok(None),
        other => Err(format!("unexpected value of Valkey: {other:?}")),
    };
    match reply {
        Reply::Many(values) => values.into_iter().map(value).collect(),
        Reply::One(Scalar::Error(text)) => Err(text),
        other => Err(format!("unexpected reply of Valkey: {other:?}")),
    }
}

/// The word of a reply and the text after it.
fn words(reply: Reply) -> Result<(String, String), String> {
    let values = values(reply)?.into_iter().map(Option::unwrap_or_default);
    let mut texts = values.map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((texts.next().unwrap_or_default(), texts.next().unwrap_or_default()))
}

/// Conversions of the reply of the script to a result. The errors are messages.
macro_rules! results {
    ($($result:ty: $match:expr;)*) => {$(
        impl TryFrom<Reply> for $result {
            type Error = String;

            fn try_from(reply: Reply) -> Result<Self, String> {
                let (word, text) = words(reply)?;
                let convert: fn(&str, String) -> Option<Self> = $match;
                convert(&word, text).ok_or_else(|| format!("unexpected result `{word}`"))
            }
        }
    )*};
}

results! {
    Created: |word, text| match word {
        "new" => Some(Self::New),
        "same" => State::parse(&text).map(Self::Same),
        "other" => Some(Self::Other),
        _ => None,
    };
    Accepted: |word, _| (word == "accepted").then_some(Self);
    Started: |word, text| match word {
        "run" => text.parse().ok().map(Self::Run),
        "done" => Some(Self::Done),
        "skip" => Some(Self::Skip(text)),
        "busy" => Some(Self::Busy),
        "reject" => Some(Self::Reject(text)),
        _ => None,
    };
    Finished: |word, text| match word {
        "done" => Some(Self::Done),
        "again" => Some(Self::Again),
        "reject" => Some(Self::Reject(text)),
        "stale" => Some(Self::Stale),
        _ => None,
    };
    Cancelled: |word, _| match word {
        "missing" => Some(Self::Missing),
        state => State::parse(state).map(Self::Is),
    };
    Progressed: |word, text| match word {
        "noted" => Some(Self::Noted { is_cancel_requested: !text.is_empty() }),
        "stale" => Some(Self::Stale),
        _ => None,
    };
}
