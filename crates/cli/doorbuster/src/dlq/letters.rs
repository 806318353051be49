//! Dead letters in a topic of Kafka, or in a queue of RabbitMQ.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use spin_amqp_trigger::DeadLetterQueue;
use spin_kafka_trigger::{
    DeadLetter, DeadLetterTopic, LetterCounts, ReplayLimits, SentBack, is_pattern,
};
use tokio::runtime::Handle;

use crate::application::{AnyTrigger, Application, TriggerType};

/// The letters of one trigger. The methods block.
pub enum Letters {
    Topic(Box<DeadLetterTopic>),
    Queue(DeadLetterQueue),
}

/// The letters, and how many there are.
pub enum Survey<'a> {
    Topic(&'a DeadLetterTopic, spin_kafka_trigger::Survey),
    Queue(&'a DeadLetterQueue, LetterCounts),
}

impl Letters {
    /// Opens the topic or the queue of this name; without one, that of the application's trigger, which has
    /// one of these types.
    pub fn open(
        application: &Application,
        types: &[TriggerType],
        name: Option<&str>,
    ) -> Result<Self> {
        let runtime = Handle::current();
        let (app, variables) = runtime.block_on(application.read())?;
        let engine = match application.any_trigger(&app, &variables, types)? {
            AnyTrigger::Kafka(trigger) => trigger.engine,
            AnyTrigger::Amqp(trigger) => {
                let opened = DeadLetterQueue::open(&trigger.consumer, name);
                return Ok(Self::Queue(runtime.block_on(opened)?));
            }
        };
        let topic = match (name, engine.topics.as_slice()) {
            (Some(topic), _) => topic.to_owned(),
            (None, [topic]) if !is_pattern(topic) => {
                engine.dead_letter_topic_of(topic).into_owned()
            }
            (None, _) if !engine.dead_letter_topic.is_empty() => engine.dead_letter_topic.clone(),
            (None, topics) => {
                bail!("there is a dead-letter topic for each of {topics:?}: name one by --topic")
            }
        };
        Ok(Self::Topic(DeadLetterTopic::open(&engine, &topic)?.into()))
    }

    /// Reads the letters in their order until `visit` breaks.
    pub fn read(&self, visit: impl FnMut(DeadLetter) -> ControlFlow<()>) -> Result<()> {
        match self {
            Self::Topic(topic) => topic.read(visit)?,
            Self::Queue(queue) => Handle::current().block_on(queue.read(visit))?,
        }
        Ok(())
    }

    /// Deletes the first letters, at most `max`, until `visit` breaks.
    pub fn delete(&self, max: u64, visit: impl FnMut(DeadLetter) -> ControlFlow<()>) -> Result<()> {
        match self {
            Self::Topic(_) => {
                bail!(
                    "letters of a topic are deleted by its retention (retention.ms), not one by one"
                )
            }
            Self::Queue(queue) => Ok(Handle::current().block_on(queue.delete(max, visit))?),
        }
    }

    /// Counts the letters.
    pub fn survey(&self) -> Result<Survey<'_>> {
        Ok(match self {
            Self::Topic(topic) => Survey::Topic(topic, topic.survey()?),
            Self::Queue(queue) => Survey::Queue(queue, Handle::current().block_on(queue.counts())?),
        })
    }
}

impl Survey<'_> {
    /// How many letters there were.
    pub fn counts(&self) -> LetterCounts {
        match self {
            Self::Topic(_, survey) => survey.counts(),
            Self::Queue(_, counts) => *counts,
        }
    }

    /// How many there are after some of them were sent back. Those of a queue are removed from it; after a
    /// failure, it is not known which ones, and they are counted again.
    pub fn counts_after(&self, sent: u64, failed: bool) -> Result<LetterCounts> {
        if let (Self::Queue(queue, _), true) = (self, failed) {
            return Ok(Handle::current().block_on(queue.counts())?);
        }
        let LetterCounts { all, open } = self.counts();
        let all = match self {
            Self::Topic(..) => all,
            Self::Queue(..) => all.saturating_sub(sent),
        };
        Ok(LetterCounts { all, open: open.saturating_sub(sent) })
    }

    /// Sends letters back to where they came from.
    pub fn replay(&self, limits: ReplayLimits, report: impl FnMut(SentBack)) -> Result<()> {
        match self {
            Self::Topic(topic, survey) => topic.replay(survey, limits, report)?,
            Self::Queue(queue, _) => Handle::current().block_on(queue.replay(limits, report))?,
        }
        Ok(())
    }
}
