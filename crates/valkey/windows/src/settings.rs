//! The settings of windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spin_kafka_state::{Fingerprint, is_valid_name};

use crate::SettingsError;
use crate::aggregate::Aggregate;
use crate::duration::Seconds;
use crate::event_time::{EventTime, TimeUnit};
use crate::limits::{AGGREGATES_MAX, OVERLAP_MAX, SESSIONS_MAX, SETTINGS_BYTES_MAX};
use crate::selector::Selector;

/// The settings, as they are written in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The name of the state.
    pub name: String,
    /// The version of what is counted.
    #[serde(default = "first_version")]
    pub version: u32,
    /// How long windows are kept after their end.
    pub retention_s: Seconds,
    /// The maximum time by which an event may be after the timestamp of its record.
    time_ahead_max_s: Option<Seconds>,
    /// When a record is late. If it is missing, no record is.
    pub late: Option<Late>,
    /// Where the event time is.
    #[serde(default)]
    pub time: EventTime,
    /// The unit of event times that are numbers.
    #[serde(default)]
    pub time_unit: TimeUnit,
    /// The kind of the windows.
    pub window: Kind,
    /// The group of a record. Without one, the aggregates of the settings have no groups.
    pub group: Option<Selector>,
    /// The aggregates, by name.
    #[serde(default)]
    pub aggregates: BTreeMap<String, Aggregate>,
}

/// The kind of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Kind {
    /// Consecutive windows of the same length.
    Tumbling { size_s: Seconds },
    /// Windows of the same length that overlap.
    Sliding { size_s: Seconds, hop_s: Seconds },
    /// A window of a group lasts until there is no event for a time.
    Session {
        gap_s: Seconds,
        #[serde(default = "default_sessions_max")]
        sessions_max: u32,
    },
}

/// When a record is late, and what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Late {
    /// By how much the event times of a partition may be out of order.
    #[serde(default)]
    pub out_of_orderness_s: Seconds,
    /// How long a window still accepts records after the watermark has passed its end.
    #[serde(default)]
    pub lateness_s: Seconds,
    /// What happens to late records.
    pub policy: Policy,
}

/// What happens to late records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// They are only counted as late.
    Count,
    /// They are counted as late, and rejected.
    Reject,
}

const fn first_version() -> u32 {
    1
}

const fn default_sessions_max() -> u32 {
    100
}

impl Settings {
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        if text.len() > SETTINGS_BYTES_MAX {
            return Err(SettingsError::TooLong);
        }
        let parsed = toml::from_str::<Self>(text);
        let settings = parsed.map_err(|error| SettingsError::Syntax(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let Self { name, version, window, aggregates, .. } = self;
        if !is_valid_name(name) {
            let problem = "must have 1 to 100 letters, digits, `-`, `_` or `.`";
            return Err(SettingsError::value("name", problem));
        }
        if *version == 0 {
            return Err(SettingsError::value("version", "must be at least 1"));
        }
        window.check()?;
        self.check_retention()?;
        if let Some(selector) = self.time.selector() {
            selector.check("time")?;
        }
        if let Some(selector) = &self.group {
            selector.check("group")?;
        }
        if aggregates.len() > AGGREGATES_MAX {
            let problem = format!("has more than {AGGREGATES_MAX} entries");
            return Err(SettingsError::value("aggregates", problem));
        }
        for (name, aggregate) in aggregates {
            let setting = format!("aggregates.{name}");
            if !is_valid_name(name) {
                let problem = "must have a name of 1 to 100 letters, digits, `-`, `_` or `.`";
                return Err(SettingsError::value(setting, problem));
            }
            if matches!(window, Kind::Session { .. }) && !aggregate.is_in_sessions() {
                return Err(SettingsError::value(
                    setting,
                    "is of a kind that sessions do not support",
                ));
            }
            aggregate.check(&setting)?;
        }
        Ok(())
    }

    /// A window must not be deleted while it accepts records: the rest would be a wrong count.
    fn check_retention(&self) -> Result<(), SettingsError> {
        let open_ms =
            self.late.map_or(0, |late| late.out_of_orderness_s.ms() + late.lateness_s.ms());
        let gap_ms = match self.window {
            Kind::Session { gap_s, .. } => 2 * gap_s.ms(),
            _ => 0,
        };
        if self.retention_s.is_zero() || self.retention_s.ms() < open_ms + gap_ms {
            let problem = "must be at least 1, and at least `out_of_orderness_s` and `lateness_s` \
                           together; for sessions, with twice `gap_s` in addition";
            return Err(SettingsError::value("retention_s", problem));
        }
        Ok(())
    }

    /// The maximum time by which an event may be after the timestamp of its record. An event that is
    /// ahead makes later records late, so the default is short if records can be late.
    pub fn time_ahead_max(&self) -> Seconds {
        let default = if self.late.is_some() { Seconds::MINUTE } else { Seconds::DAY };
        self.time_ahead_max_s.unwrap_or(default)
    }

    /// Identifies the settings that determine what is counted. Windows that were counted with others
    /// are not comparable.
    pub fn digest(&self) -> String {
        let Self { time, time_unit, window, group, aggregates, .. } = self;
        // All parts can be encoded: their maps have texts as keys.
        let text = serde_json::to_vec(&(time, time_unit, window, group, aggregates));
        let bytes = Fingerprint::new(b"", &text.unwrap_or_default()).to_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a part of the value is needed.
    pub fn needs_json(&self) -> bool {
        let time = matches!(self.time, EventTime::Pointer(_));
        let group = self.group.as_ref().is_some_and(Selector::is_pointer);
        let mut selectors = self.aggregates.values().flat_map(Aggregate::selectors);
        time || group || selectors.any(Selector::is_pointer)
    }
}

impl Kind {
    fn check(self) -> Result<(), SettingsError> {
        let positive = |setting: &str, value: Seconds| match value.is_zero() {
            true => Err(SettingsError::value(setting, "must be at least 1")),
            false => Ok(()),
        };
        match self {
            Self::Tumbling { size_s } => positive("window.size_s", size_s),
            Self::Sliding { size_s, hop_s } => {
                positive("window.hop_s", hop_s)?;
                let windows = size_s.ms() / hop_s.ms();
                let divides = size_s.ms() % hop_s.ms() == 0;
                if !divides || windows == 0 || windows.unsigned_abs() > OVERLAP_MAX {
                    let problem = format!("must be 1 to {OVERLAP_MAX} times `hop_s`");
                    return Err(SettingsError::value("window.size_s", problem));
                }
                Ok(())
            }
            Self::Session { gap_s, sessions_max } => {
                positive("window.gap_s", gap_s)?;
                if !(1..=SESSIONS_MAX).contains(&sessions_max) {
                    let problem = format!("must be 1 to {SESSIONS_MAX}");
                    return Err(SettingsError::value("window.sessions_max", problem));
                }
                Ok(())
            }
        }
    }

    /// The starts of the windows that contain this time, in order. None for sessions.
    pub fn starts(self, time_ms: i64) -> Vec<i64> {
        let (size, hop) = match self {
            Self::Tumbling { size_s } => (size_s.ms(), size_s.ms()),
            Self::Sliding { size_s, hop_s } => (size_s.ms(), hop_s.ms()),
            Self::Session { .. } => return Vec::new(),
        };
        let last = time_ms.div_euclid(hop) * hop;
        (0..size / hop).rev().map(|earlier| last - earlier * hop).collect()
    }

    /// How long after its start a window ends; for a session, after its last event.
    pub fn length_ms(self) -> i64 {
        match self {
            Self::Tumbling { size_s } | Self::Sliding { size_s, .. } => size_s.ms(),
            Self::Session { gap_s, .. } => gap_s.ms(),
        }
    }

    /// The number of windows that a record belongs to.
    pub fn overlap(self) -> usize {
        match self {
            Self::Sliding { size_s, hop_s } => {
                usize::try_from(size_s.ms() / hop_s.ms()).unwrap_or(usize::MAX)
            }
            Self::Tumbling { .. } | Self::Session { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: &str =
        "name = 'n'\nretention_s = 60\nwindow = { kind = 'tumbling', size_s = 60 }";

    fn problem(text: &str) -> String {
        Settings::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn invalid_settings_are_refused_with_the_name_of_the_setting() {
        let sessions = "name = 'n'\nretention_s = 60\nwindow = { kind = 'session', gap_s = 30 }";
        for (text, expected) in [
            ("name = 'n'", "retention_s"),
            (&format!("{MINUTES}\nretention = 1"), "retention"),
            (&MINUTES.replace("'n'", "'a:b'"), "`name`"),
            (&format!("version = 0\n{MINUTES}"), "`version`"),
            (&MINUTES.replace("size_s = 60", "size_s = 0"), "`window.size_s`"),
            (&MINUTES.replace("size_s", "gap_s"), "gap_s"),
            (&MINUTES.replace("retention_s = 60", "retention_s = 0"), "`retention_s`"),
            (&MINUTES.replace("size_s = 60", "size_s = 400000000"), "400000000"),
            (
                &MINUTES.replace("'tumbling'", "'sliding', hop_s = 7"),
                "`window.size_s` must be 1 to 100 times `hop_s`",
            ),
            (
                &format!("{MINUTES}\nlate = {{ lateness_s = 61, policy = 'count' }}"),
                "`retention_s`",
            ),
            (&format!("{MINUTES}\nlate = {{ lateness_s = 1 }}"), "policy"),
            (&sessions.replace("60", "59"), "`retention_s`"),
            (&format!("{sessions}\naggregates.a = {{ kind = 'top', of = 'key' }}"), "sessions"),
            (&format!("{MINUTES}\naggregates.a = {{ kind = 'sum' }}"), "of"),
            (&format!("{MINUTES}\naggregates.'a:b' = {{ kind = 'count' }}"), "`aggregates.a:b`"),
            (&format!("{MINUTES}\ngroup = {{ pointer = 'a' }}"), "`group`"),
            (
                &format!(
                    "{MINUTES}\naggregates.a = {{ kind = 'quantiles', of = 'key', decimals = 10 }}"
                ),
                "`aggregates.a.decimals`",
            ),
            (&" ".repeat(SETTINGS_BYTES_MAX + 1), "more than"),
        ] {
            let problem = problem(text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn only_settings_that_determine_the_counts_change_the_digest() {
        let of = |text: &str| Settings::parse(text).unwrap().digest();
        let counted = of(MINUTES);
        assert_eq!(of(&MINUTES.replace("retention_s = 60", "retention_s = 90")), counted);
        assert_eq!(of(&format!("{MINUTES}\nlate = {{ policy = 'count' }}")), counted);
        assert_ne!(of(&MINUTES.replace("size_s = 60", "size_s = 90")), counted);
        assert_ne!(of(&format!("{MINUTES}\naggregates.a = {{ kind = 'count' }}")), counted);
        // It is stored, so another version must compute the same one.
        assert_eq!(counted, "a54f4bf0a71c10e22f1daa4f542a801f");
    }

    #[test]
    fn an_event_may_be_less_ahead_if_records_can_be_late() {
        let of = |text: &str| Settings::parse(text).unwrap().time_ahead_max();
        assert_eq!(of(MINUTES), Seconds::DAY);
        let late = format!("{MINUTES}\nlate = {{ policy = 'count' }}");
        assert_eq!(of(&late), Seconds::MINUTE);
        assert_eq!(of(&format!("{late}\ntime_ahead_max_s = 86400")), Seconds::DAY);
    }

    #[test]
    fn a_time_is_in_the_windows_that_contain_it() {
        let seconds = |number: u64| Seconds::try_from(number).unwrap();
        let tumbling = Kind::Tumbling { size_s: seconds(60) };
        assert_eq!(tumbling.starts(59_999), [0]);
        assert_eq!(tumbling.starts(60_000), [60_000]);
        let sliding = Kind::Sliding { size_s: seconds(60), hop_s: seconds(20) };
        assert_eq!(sliding.starts(65_000), [20_000, 40_000, 60_000]);
        assert_eq!(sliding.overlap(), 3);
    }
}
