//! The settings of a topic, and the warnings about them.

use std::str::FromStr;
use std::time::Duration;

use crate::Warning;
use crate::span::in_words;

/// Minimum retention without a warning. It covers an outage over a long weekend, and is Kafka's
/// default.
pub const RETENTION_MIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The size of a full batch of the producer: librdkafka's default `batch.size`. librdkafka does not
/// split a batch that the broker rejects as too large.
const BATCH_BYTES: u64 = 1_000_000;

const CLEANUP_POLICY: &str = "cleanup.policy";
const MESSAGE_BYTES: &str = "max.message.bytes";
const MIN_INSYNC: &str = "min.insync.replicas";
const REPLICATION: &str = "replication factor";
const RETENTION_BYTES: &str = "retention.bytes";
const RETENTION_MS: &str = "retention.ms";
const UNCLEAN: &str = "unclean.leader.election.enable";

const REPLICATE: &str =
    "Give the topic 3 replicas on different brokers, and set min.insync.replicas to 2";

/// The settings of a topic; None for those that the brokers do not report.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicSettings {
    cleanup_policy: Option<String>,
    retention_ms: Option<i64>,
    retention_bytes: Option<i64>,
    message_bytes: Option<u64>,
    min_insync: Option<usize>,
    unclean: Option<bool>,
    replicas: Option<usize>,
}

impl TopicSettings {
    /// Creates the settings from the minimum number of replicas, and a look-up by Kafka's setting
    /// names.
    pub fn new<'a>(replicas: Option<usize>, value: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            cleanup_policy: value(CLEANUP_POLICY).map(str::to_owned),
            retention_ms: parsed(value(RETENTION_MS)),
            retention_bytes: parsed(value(RETENTION_BYTES)),
            message_bytes: parsed(value(MESSAGE_BYTES)),
            min_insync: parsed(value(MIN_INSYNC)),
            unclean: parsed(value(UNCLEAN)),
            replicas,
        }
    }

    /// A warning for each setting that can break the guarantee.
    pub fn warnings(&self) -> Vec<Warning> {
        let found = [
            self.cleanup(),
            self.retention_time(),
            self.retention_size(),
            self.replication(),
            self.insync(),
            self.unclean_election(),
            self.message_size(),
            self.not_known(),
        ];
        found.into_iter().flatten().collect()
    }

    fn has_policy(&self, wanted: &str) -> bool {
        let policies = self.cleanup_policy.as_deref().unwrap_or_default();
        policies.split(',').any(|policy| policy.trim() == wanted)
    }

    /// Whether records are deleted after the retention, which is the default.
    fn deletes(&self) -> bool {
        self.cleanup_policy.is_none() || self.has_policy("delete")
    }

    fn cleanup(&self) -> Option<Warning> {
        let policy = self.cleanup_policy.as_deref().filter(|_| self.has_policy("compact"))?;
        Some(Warning::new(
            CLEANUP_POLICY,
            policy,
            "compaction keeps only the last record of each key: older records can be deleted \
             before they are counted, or before an empty store is rebuilt",
            "Set cleanup.policy to delete",
        ))
    }

    fn retention_time(&self) -> Option<Warning> {
        // A negative value means that records are kept for ever.
        let ms = self.retention_ms.and_then(|ms| u64::try_from(ms).ok())?;
        let span = Duration::from_millis(ms);
        let covered = in_words(span);
        let min_ms = RETENTION_MIN.as_millis();
        (self.deletes() && span < RETENTION_MIN).then(|| {
            Warning::new(
                RETENTION_MS,
                format!("{ms} ({covered})"),
                "a sale is deleted at that age, even if it was not counted: a longer outage of the \
                 aggregator loses records, and an empty store cannot be rebuilt from older ones",
                format!("Set retention.ms to {min_ms} ({}) or more", in_words(RETENTION_MIN)),
            )
        })
    }

    fn retention_size(&self) -> Option<Warning> {
        let bytes = self.retention_bytes.filter(|bytes| *bytes >= 0 && self.deletes())?;
        Some(Warning::new(
            RETENTION_BYTES,
            bytes,
            "the oldest records of a partition that exceeds this size are deleted, so many new \
             records can cause records to be deleted before they are counted",
            "Set retention.bytes to -1, so that only retention.ms applies",
        ))
    }

    fn replication(&self) -> Option<Warning> {
        let replicas = self.replicas.filter(|replicas| *replicas < 2)?;
        Some(Warning::new(
            REPLICATION,
            replicas,
            "each record is on one broker only: acknowledged records are lost if its disk fails, \
             or if its machine fails before they are written to disk",
            REPLICATE,
        ))
    }

    fn insync(&self) -> Option<Warning> {
        let min_insync = self.min_insync?;
        let warning = |consequence: String, remedy: &str| {
            Some(Warning::new(MIN_INSYNC, min_insync, consequence, remedy))
        };
        match self.replicas {
            Some(replicas) if min_insync > replicas => warning(
                format!("partitions accept no sales, because they have only {replicas} replicas"),
                REPLICATE,
            ),
            // There is another warning for too few replicas.
            Some(..2) => None,
            Some(replicas) if min_insync == replicas => warning(
                format!(
                    "all writes fail while one broker is down, because all {replicas} replicas are \
                     needed"
                ),
                if replicas == 2 { REPLICATE } else { "Set min.insync.replicas to 2" },
            ),
            replicas if min_insync < 2 => warning(
                "a sale may be acknowledged while only one broker has it, and is lost if that \
                 broker fails"
                    .into(),
                if replicas == Some(2) { REPLICATE } else { "Set min.insync.replicas to 2" },
            ),
            _ => None,
        }
    }

    fn unclean_election(&self) -> Option<Warning> {
        self.unclean.filter(|allowed| *allowed).map(|allowed| {
            Warning::new(
                UNCLEAN,
                allowed,
                "a replica without the latest records may become leader: acknowledged records are \
                 lost, and new records get their offsets",
                "Set unclean.leader.election.enable to false",
            )
        })
    }

    fn message_size(&self) -> Option<Warning> {
        let bytes = self.message_bytes.filter(|bytes| *bytes < BATCH_BYTES)?;
        Some(Warning::new(
            MESSAGE_BYTES,
            bytes,
            format!(
                "under load the producer sends batches of up to {BATCH_BYTES} bytes, and a batch \
                 that exceeds this setting is rejected with every sale in it"
            ),
            format!("Set max.message.bytes to {BATCH_BYTES} or more"),
        ))
    }

    fn not_known(&self) -> Option<Warning> {
        let known = [
            (CLEANUP_POLICY, self.cleanup_policy.is_some()),
            (RETENTION_MS, self.retention_ms.is_some()),
            (RETENTION_BYTES, self.retention_bytes.is_some()),
            (REPLICATION, self.replicas.is_some()),
            (MIN_INSYNC, self.min_insync.is_some()),
            (UNCLEAN, self.unclean.is_some()),
            (MESSAGE_BYTES, self.message_bytes.is_some()),
        ];
        let missing: Vec<&str> =
            known.iter().filter(|(_, known)| !known).map(|(name, _)| *name).collect();
        Warning::not_known(
            &missing,
            "Grant this user DescribeConfigs on the topic, or check the topic's settings by hand",
        )
    }
}

fn parsed<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of a topic without warnings.
    const SOUND: [(&str, &str); 6] = [
        (CLEANUP_POLICY, "delete"),
        (RETENTION_MS, "604800000"),
        (RETENTION_BYTES, "-1"),
        (MIN_INSYNC, "2"),
        (UNCLEAN, "false"),
        (MESSAGE_BYTES, "1048588"),
    ];

    /// The warnings about a correct topic after these changes.
    fn warnings(replicas: usize, changed: &[(&str, &'static str)]) -> Vec<Warning> {
        let value = |name: &str| {
            let mut values = changed.iter().chain(&SOUND);
            values.find(|(known, _)| *known == name).map(|(_, value)| *value)
        };
        TopicSettings::new(Some(replicas), value).warnings()
    }

    /// The only warning about such a topic.
    #[track_caller]
    fn only(replicas: usize, changed: &[(&str, &'static str)]) -> Warning {
        let [warning] = warnings(replicas, changed).try_into().unwrap();
        warning
    }

    #[test]
    fn a_sound_topic_gives_no_warning() {
        assert_eq!(warnings(3, &[]), []);
        assert_eq!(warnings(3, &[(RETENTION_MS, "-1")]), []);
        assert_eq!(warnings(4, &[(MIN_INSYNC, "3")]), []);
    }

    #[test]
    fn compaction_causes_a_warning_with_any_other_policy() {
        assert_eq!(only(3, &[(CLEANUP_POLICY, "compact")]).found, "compact");
        assert_eq!(only(3, &[(CLEANUP_POLICY, "delete,compact")]).setting, CLEANUP_POLICY);
    }

    #[test]
    fn a_warning_about_a_short_retention_contains_the_duration() {
        let warning = only(3, &[(RETENTION_MS, "604799999")]);
        assert_eq!(warning.found, "604799999 (6 days 23 hours)");
        assert_eq!(warning.remedy, "Set retention.ms to 604800000 (7 days) or more");
        assert_eq!(only(3, &[(RETENTION_MS, "3600000")]).found, "3600000 (1 hour)");
    }

    #[test]
    fn a_limit_of_the_size_causes_a_warning() {
        assert_eq!(only(3, &[(RETENTION_BYTES, "1073741824")]).setting, RETENTION_BYTES);
    }

    #[test]
    fn retention_does_not_matter_where_nothing_is_deleted() {
        let short = [(RETENTION_MS, "1"), (RETENTION_BYTES, "1")];
        let [compact] = [(CLEANUP_POLICY, "compact")];
        assert_eq!(only(3, &[&short[..], &[compact]].concat()).setting, CLEANUP_POLICY);
        assert_eq!(warnings(3, &[&short[..], &[(CLEANUP_POLICY, "")]].concat()), []);
    }

    #[test]
    fn one_replica_is_one_warning() {
        assert_eq!(only(1, &[(MIN_INSYNC, "1")]).setting, REPLICATION);
    }

    #[test]
    fn too_few_replicas_for_the_minimum_is_a_separate_warning() {
        let [one, none] = warnings(1, &[(MIN_INSYNC, "2")]).try_into().unwrap();
        assert_eq!((one.setting.as_str(), none.setting.as_str()), (REPLICATION, MIN_INSYNC));
        assert!(none.consequence.contains("accept no sales"), "{none}");
    }

    #[test]
    fn one_broker_must_be_able_to_fail_without_loss_and_without_a_stop() {
        let lost = only(3, &[(MIN_INSYNC, "1")]);
        assert!(lost.consequence.contains("is lost if that broker fails"), "{lost}");
        assert_eq!(lost.remedy, "Set min.insync.replicas to 2");
        assert_eq!(only(2, &[(MIN_INSYNC, "1")]).remedy, REPLICATE);

        let stopped = only(3, &[(MIN_INSYNC, "3")]);
        assert!(
            stopped.consequence.starts_with("all writes fail while one broker is down"),
            "{stopped}"
        );
        assert_eq!(stopped.remedy, "Set min.insync.replicas to 2");
        assert_eq!(only(2, &[]).remedy, REPLICATE);
    }

    #[test]
    fn unclean_elections_cause_a_warning() {
        assert_eq!(only(3, &[(UNCLEAN, "true")]).found, "true");
    }

    #[test]
    fn a_topic_that_rejects_a_full_batch_causes_a_warning() {
        assert_eq!(only(3, &[(MESSAGE_BYTES, "999999")]).setting, MESSAGE_BYTES);
        assert_eq!(warnings(3, &[(MESSAGE_BYTES, "1000000")]), []);
    }

    #[test]
    fn unknown_settings_are_named_in_one_warning() {
        let warning = only(3, &[(UNCLEAN, "perhaps"), (RETENTION_MS, "")]);
        assert_eq!(warning.setting, "retention.ms, unclean.leader.election.enable");
        let [all] = TopicSettings::default().warnings().try_into().unwrap();
        for (name, _) in SOUND {
            assert!(all.setting.contains(name), "{all}");
        }
        assert!(all.setting.contains(REPLICATION), "{all}");
    }
}
