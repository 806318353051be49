//! The destination of dead letters.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use rdkafka::error::KafkaError;

use crate::dead_letters::DeadLetters;
use crate::letter::Letter;
use crate::refusal::advice;
use crate::{Config, FailureClass};

/// Writes the dead letters of a source that is not Kafka.
pub trait LetterWriter: Send + Sync + 'static {
    /// Writes letters. Resolves when each of them is stored, or it is known or assumed that it is not.
    /// In the latter case it is written again after a pause. Returns one result for each letter.
    fn write<'a>(
        &'a self,
        letters: &'a [Letter<'a>],
    ) -> BoxFuture<'a, Vec<Result<(), LetterFault>>>;
}

/// Why a dead letter was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFault {
    /// The reason.
    pub reason: String,
    /// What an operator can do.
    pub advice: &'static str,
}

/// Why dead letters were not written.
#[derive(Debug)]
pub(crate) enum LetterError {
    Kafka(KafkaError),
    Other(LetterFault),
}

impl LetterError {
    /// What an operator can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Kafka(error) => advice(error),
            Self::Other(fault) => fault.advice,
        }
    }
}

impl fmt::Display for LetterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka(error) => error.fmt(formatter),
            Self::Other(fault) => fault.reason.fmt(formatter),
        }
    }
}

/// The destination of dead letters.
pub(crate) enum LetterSink {
    /// The dead-letter topics.
    Topics(Box<DeadLetters>),
    /// A list, for records that do not come from Kafka. It has at most as many entries as there are
    /// records.
    List(Mutex<Vec<GivenUp>>),
    /// What the source of the records writes to.
    Writer(Arc<dyn LetterWriter>),
}

/// A record that was given up.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub offset: i64,
    pub class: FailureClass,
    pub attempts: u32,
    pub reason: String,
}

impl LetterSink {
    /// The dead-letter topics of these settings.
    pub fn topics(config: Config) -> Self {
        Self::Topics(Box::new(DeadLetters::new(config)))
    }

    /// Writes the letters; resolves when all of them are stored. The error lists those that are not,
    /// with the reason.
    pub async fn send<'a>(
        &self,
        letters: Vec<Letter<'a>>,
    ) -> Result<(), (Vec<Letter<'a>>, LetterError)> {
        match self {
            Self::Topics(topics) => {
                let sent = topics.send(letters).await;
                sent.map_err(|(left, error)| (left, LetterError::Kafka(error)))
            }
            Self::Writer(writer) => {
                let written = writer.write(&letters).await;
                let mut fault = None;
                let mut left = Vec::new();
                let mut written = written.into_iter();
                for letter in letters {
                    // It is not known that a letter without a result is stored.
                    if let Err(reason) = written.next().unwrap_or_else(|| Err(no_result())) {
                        left.push(letter);
                        fault = Some(reason);
                    }
                }
                fault.map_or(Ok(()), |fault| Err((left, LetterError::Other(fault))))
            }
            Self::List(_) => {
                self.keep(letters);
                Ok(())
            }
        }
    }

    /// Adds the letters to the list, if this is one.
    pub fn keep(&self, letters: Vec<Letter<'_>>) {
        if let Self::List(list) = self {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            list.extend(letters.into_iter().map(GivenUp::from));
        }
    }

    /// Takes what is in the list.
    pub fn take(&self) -> Vec<GivenUp> {
        match self {
            Self::Topics(_) | Self::Writer(_) => Vec::new(),
            Self::List(list) => {
                std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

fn no_result() -> LetterFault {
    LetterFault {
        reason: "the writer returned too few results".into(),
        advice: "this is a defect of the trigger: report it",
    }
}

impl From<Letter<'_>> for GivenUp {
    fn from(letter: Letter<'_>) -> Self {
        let Letter { record, class, attempts, reason, .. } = letter;
        Self { offset: record.offset, class, attempts, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::{Batch, Message};

    /// Returns one result only.
    struct OneResult;

    impl LetterWriter for OneResult {
        fn write<'a>(&'a self, _: &'a [Letter<'a>]) -> BoxFuture<'a, Vec<Result<(), LetterFault>>> {
            std::future::ready(vec![Ok(())]).boxed()
        }
    }

    #[tokio::test]
    async fn letters_without_a_result_are_not_taken_for_stored() {
        let record = |offset| Message {
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let batch = Batch {
            topic: "sales".into(),
            log_id: "log".into(),
            partition: 0,
            group: "group".into(),
            expected_position: None,
            start: 0,
            end: 3,
            attempt: 1,
            records: (0..3).map(record).collect(),
        };
        let letters = batch.records.iter().map(|record| Letter {
            batch: &batch,
            record,
            class: FailureClass::Rejected,
            attempts: 1,
            reason: "bad",
        });
        let sink = LetterSink::Writer(Arc::new(OneResult));
        let (left, error) = sink.send(letters.collect()).await.unwrap_err();
        let offsets: Vec<i64> = left.iter().map(|letter| letter.record.offset).collect();
        assert_eq!(offsets, [1, 2]);
        assert_eq!(error.to_string(), "the writer returned too few results");
    }
}
