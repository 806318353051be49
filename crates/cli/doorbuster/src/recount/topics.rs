//! The topics of a trigger and the extent of their logs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kafka_client::{BasicContext, ClientSettings};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use spin_kafka_trigger::{Config, Start, is_pattern};

use super::Positions;

/// How long one query to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The topics of a trigger and the extent of their logs at one point in time.
#[derive(Debug, Clone)]
pub struct Topics {
    /// The offset of the oldest record of each partition that has records.
    pub begins: Positions,
    /// The offset after the newest record of each partition that has records.
    pub ends: Positions,
    /// The topics without records.
    pub empty: Vec<String>,
}

impl Topics {
    /// Queries the extent of the logs.
    pub async fn query(config: &Config) -> Result<Self> {
        for topic in &config.topics {
            ensure!(
                !is_pattern(topic),
                "the topic `{topic}` is a pattern, which cannot be counted again"
            );
        }
        let config = config.clone();
        tokio::task::spawn_blocking(move || extent(&config)).await?
    }

    /// Fails if a topic has no records, or if the log may lack records that the group has counted.
    pub fn check_complete(&self, config: &Config) -> Result<()> {
        if let Some(topic) = self.empty.first() {
            bail!("the topic {topic} has no records");
        }
        ensure!(
            config.start == Start::Earliest,
            "the trigger does not begin at the oldest record (`start`), so it is not known which \
             records it has counted"
        );
        let cut = self.begins.iter().find(|(_, _, offset)| *offset > 0);
        if let Some((topic, partition, offset)) = cut {
            bail!(
                "the log of {topic}/{partition} begins at offset {offset}: the records before it \
                 were deleted and cannot be counted again"
            );
        }
        Ok(())
    }

    /// Fails if it is not known where the application will begin to count a partition, of which it
    /// has counted nothing at these positions.
    pub fn check_begun(&self, counted: &Positions, config: &Config) -> Result<()> {
        if config.start == Start::Earliest {
            return Ok(());
        }
        let not_begun =
            self.ends.iter().find(|(topic, partition, _)| !counted.contains(topic, *partition));
        if let Some((topic, partition, _)) = not_begun {
            bail!(
                "the application has not counted {topic}/{partition} yet, and the trigger does not \
                 begin at the oldest record (`start`), so it is not known where it will begin"
            );
        }
        Ok(())
    }
}

fn extent(config: &Config) -> Result<Topics> {
    let tokens = config.tokens();
    let mut settings = ClientSettings::new(&config.brokers, &config.client);
    settings.set_tokens(tokens.as_ref());
    let consumer: BaseConsumer<BasicContext> = settings.create(BasicContext::default())?;
    if let Some(tokens) = tokens {
        // The client is never polled, so librdkafka does not request a token.
        tokens.authenticate(consumer.client(), ANSWER_TIMEOUT)?;
    }
    let (mut begins, mut ends) = (Positions::default(), Positions::default());
    let mut empty = config.topics.clone();
    for topic in &config.topics {
        let topic = &Arc::from(topic.as_str());
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        let metadata = metadata.with_context(|| format!("cannot find the topic {topic}"))?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let partition = partition.id();
            let extent = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT);
            let (begin, end) =
                extent.with_context(|| format!("cannot find the ends of {topic}/{partition}"))?;
            if begin < end {
                begins.insert(topic, partition, begin);
                ends.insert(topic, partition, end);
                empty.retain(|name| name.as_str() != &**topic);
            }
        }
    }
    Ok(Topics { begins, ends, empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(start: Start, begin: i64, empty: &[&str]) -> Option<String> {
        let mut begins = Positions::default();
        begins.insert(&"sales".into(), 3, begin);
        let empty = empty.iter().map(|name| (*name).into()).collect();
        let topics = Topics { ends: begins.clone(), begins, empty };
        let config = Config::default().start(start);
        topics.check_complete(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn a_partition_that_is_not_begun_is_refused_unless_it_begins_at_the_oldest_record() {
        let mut ends = Positions::default();
        ends.insert(&"sales".into(), 0, 5);
        let mut counted = ends.clone();
        ends.insert(&"sales".into(), 1, 7);
        let topics = Topics { begins: Positions::default(), ends, empty: Vec::new() };
        let config = |start| Config::default().start(start);
        let refused = topics.check_begun(&counted, &config(Start::Latest)).unwrap_err().to_string();
        assert!(refused.contains("has not counted sales/1 yet"), "{refused}");
        topics.check_begun(&counted, &config(Start::Earliest)).unwrap();
        counted.insert(&"sales".into(), 1, 0);
        topics.check_begun(&counted, &config(Start::Latest)).unwrap();
    }

    #[test]
    fn a_log_that_may_lack_counted_records_is_refused() {
        assert_eq!(refusal(Start::Earliest, 0, &[]), None);
        for (refusal, part) in [
            (refusal(Start::Earliest, 7, &[]), "sales/3 begins at offset 7"),
            (refusal(Start::Latest, 0, &[]), "`start`"),
            (refusal(Start::Earliest, 0, &["returns"]), "the topic returns has no records"),
        ] {
            assert!(refusal.as_ref().is_some_and(|text| text.contains(part)), "{refusal:?}");
        }
    }
}
