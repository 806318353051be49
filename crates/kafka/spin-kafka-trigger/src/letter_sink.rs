//! The destination of dead letters.

use std::sync::{Mutex, PoisonError};

use rdkafka::error::KafkaError;

use crate::dead_letters::DeadLetters;
use crate::letter::Letter;
use crate::{Config, FailureClass};

/// The destination of dead letters.
pub(crate) enum LetterSink {
    /// The dead-letter topics.
    Topics(Box<DeadLetters>),
    /// A list, for records that do not come from Kafka. It has at most as many entries as there are
    /// records.
    List(Mutex<Vec<GivenUp>>),
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
    ) -> Result<(), (Vec<Letter<'a>>, KafkaError)> {
        match self {
            Self::Topics(topics) => topics.send(letters).await,
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
            Self::Topics(_) => Vec::new(),
            Self::List(list) => {
                std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl From<Letter<'_>> for GivenUp {
    fn from(letter: Letter<'_>) -> Self {
        let Letter { record, class, attempts, reason, .. } = letter;
        Self { offset: record.offset, class, attempts, reason: reason.into() }
    }
}
