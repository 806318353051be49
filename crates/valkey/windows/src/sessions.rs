//! The sessions of a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spin_kafka_state::{Decimal, State};

use crate::Error;
use crate::window::Addition;

/// The sessions of one group that are kept, in the order of their starts. No two of them overlap.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Sessions(Vec<Session>);

/// How sessions are formed and kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLimits {
    /// A session ends this long after its last event.
    pub gap_ms: i64,
    /// Number of sessions that are kept for a group.
    pub sessions_max: u32,
    /// How long a session is kept: until a session of its group ends this long after it.
    pub retention_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
struct Session {
    /// The time of the first event.
    start_ms: i64,
    /// The gap after the time of the last event.
    end_ms: i64,
    values: BTreeMap<String, Value>,
}

/// The value of an aggregate.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Count(i64),
    Sum(Amount),
    Average { sum: Amount, count: i64 },
    Minimum(f64),
    Maximum(f64),
}

/// A decimal, which is encoded as a text, so that it is exact in every language.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Amount(Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The key with the sessions of a group.
pub(crate) fn sessions_key(group: &[u8]) -> Vec<u8> {
    [b"sessions:", group].concat()
}

impl Sessions {
    pub fn restore(group: &[u8], stored: Option<&[u8]>) -> Result<Self, Error> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        let key = || String::from_utf8_lossy(&sessions_key(group)).into_owned();
        serde_json::from_slice(stored).map_err(|_| Error::Stored(key()))
    }

    /// Adds an event to the session that it belongs to, which it may create or connect with others.
    /// Returns false if that session is not kept any more.
    pub fn add(
        &mut self,
        time_ms: i64,
        additions: &[(String, Addition)],
        limits: SessionLimits,
    ) -> Result<bool, Error> {
        let mut session = Session::new(time_ms, additions, limits.gap_ms)?;
        let joins =
            |other: &Session| other.start_ms <= session.end_ms && session.start_ms <= other.end_ms;
        let first = self.0.iter().position(joins);
        let Some(first) = first else {
            return Ok(self.insert(session, limits));
        };
        let count = self.0.iter().skip(first).take_while(|other| joins(other)).count();
        let joined: Vec<Session> = self.0.drain(first..first + count).collect();
        for other in joined {
            session.merge(other)?;
        }
        self.0.insert(first, session);
        self.forget(limits);
        Ok(true)
    }

    /// Inserts a session that joins no other one.
    fn insert(&mut self, session: Session, limits: SessionLimits) -> bool {
        let is_expired = session.end_ms + limits.retention_ms <= self.newest_end_ms();
        let at = self.0.partition_point(|other| other.start_ms < session.start_ms);
        if is_expired || at == 0 && self.0.len() >= limits.sessions_max as usize {
            return false;
        }
        self.0.insert(at, session);
        self.forget(limits);
        true
    }

    /// Removes the oldest sessions.
    fn forget(&mut self, limits: SessionLimits) {
        let newest_ms = self.newest_end_ms();
        self.0.retain(|session| session.end_ms + limits.retention_ms > newest_ms);
        let excess = self.0.len().saturating_sub(limits.sessions_max as usize);
        self.0.drain(..excess);
    }

    fn newest_end_ms(&self) -> i64 {
        self.0.last().map_or(i64::MIN, |session| session.end_ms)
    }

    pub fn store(&self, group: &[u8], limits: SessionLimits, state: &mut State) {
        if self.0.is_empty() {
            return;
        }
        let key = sessions_key(group);
        // Numbers and texts can be encoded.
        state.set(&key, serde_json::to_vec(self).unwrap_or_default());
        state.expire_at(&key, self.newest_end_ms() + limits.retention_ms);
    }
}

impl Session {
    fn new(time_ms: i64, additions: &[(String, Addition)], gap_ms: i64) -> Result<Self, Error> {
        let mut values = BTreeMap::new();
        for (aggregate, addition) in additions {
            let value = Value::new(addition);
            let value = value.ok_or_else(|| Error::NotInSessions(aggregate.clone()))?;
            add(&mut values, aggregate.clone(), value)?;
        }
        Ok(Self { start_ms: time_ms, end_ms: time_ms + gap_ms, values })
    }

    fn merge(&mut self, other: Self) -> Result<(), Error> {
        self.start_ms = self.start_ms.min(other.start_ms);
        self.end_ms = self.end_ms.max(other.end_ms);
        other.values.into_iter().try_for_each(|(name, value)| add(&mut self.values, name, value))
    }
}

fn add(values: &mut BTreeMap<String, Value>, name: String, value: Value) -> Result<(), Error> {
    let sum = match values.get(&name) {
        Some(other) => other.plus(&value, &name)?,
        None => value,
    };
    values.insert(name, sum);
    Ok(())
}

impl Value {
    /// The value of a session with one event. None for kinds whose values are too large.
    fn new(addition: &Addition) -> Option<Self> {
        Some(match addition {
            Addition::Count(by) => Self::Count(*by),
            Addition::Sum(amount) => Self::Sum(Amount(*amount)),
            Addition::Average(amount) => Self::Average { sum: Amount(*amount), count: 1 },
            Addition::Minimum(number) => Self::Minimum(*number),
            Addition::Maximum(number) => Self::Maximum(*number),
            Addition::Distinct(_) | Addition::Top(..) | Addition::Quantiles(_) => return None,
        })
    }

    fn plus(&self, other: &Self, name: &str) -> Result<Self, Error> {
        let overflow = || Error::Overflow(name.into());
        let count = |a: i64, b: i64| a.checked_add(b).ok_or_else(overflow);
        let sum = |a: Amount, b: Amount| a.0.checked_add(b.0).map(Amount).ok_or_else(overflow);
        Ok(match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(count(*a, *b)?),
            (Self::Sum(a), Self::Sum(b)) => Self::Sum(sum(*a, *b)?),
            (Self::Average { sum: a, count: m }, Self::Average { sum: b, count: n }) => {
                Self::Average { sum: sum(*a, *b)?, count: count(*m, *n)? }
            }
            (Self::Minimum(a), Self::Minimum(b)) => Self::Minimum(a.min(*b)),
            (Self::Maximum(a), Self::Maximum(b)) => Self::Maximum(a.max(*b)),
            _ => return Err(Error::Kind(name.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SessionLimits =
        SessionLimits { gap_ms: 10, sessions_max: 100, retention_ms: 1_000_000 };

    fn count(by: i64) -> [(String, Addition); 1] {
        [("events".to_owned(), Addition::Count(by))]
    }

    fn of(times: &[i64], limits: SessionLimits) -> (Vec<(i64, i64, i64)>, Vec<i64>) {
        let (mut sessions, mut refused) = (Sessions::default(), Vec::new());
        for time in times {
            // As the sessions are stored and read again.
            let stored = serde_json::to_vec(&sessions).unwrap();
            sessions = Sessions::restore(b"g", Some(&stored)).unwrap();
            if !sessions.add(*time, &count(1), limits).unwrap() {
                refused.push(*time);
            }
        }
        let session = |session: &Session| {
            let Value::Count(events) = session.values["events"] else { panic!() };
            (session.start_ms, session.end_ms, events)
        };
        (sessions.0.iter().map(session).collect(), refused)
    }

    proptest! {
        #[test]
        fn sessions_do_not_depend_on_the_order(
            times in prop::collection::vec(0..400_i64, 1..40),
        ) {
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let mut expected: Vec<(i64, i64, i64)> = Vec::new();
            for time in sorted {
                match expected.last_mut() {
                    Some((_, end, events)) if time <= *end => {
                        (*end, *events) = (time + 10, *events + 1);
                    }
                    _ => expected.push((time, time + 10, 1)),
                }
            }
            prop_assert_eq!(of(&times, LIMITS), (expected, vec![]));
        }
    }

    #[test]
    fn only_the_newest_sessions_are_kept() {
        let limits = SessionLimits { sessions_max: 2, ..LIMITS };
        let (sessions, refused) = of(&[100, 200, 300, 50, 205, 250], limits);
        assert_eq!(sessions, [(250, 260, 1), (300, 310, 1)]);
        assert_eq!(refused, [50], "its session would be older than those that are kept");
        let limits = SessionLimits { retention_ms: 100, ..LIMITS };
        let (sessions, refused) = of(&[100, 199, 200, 100], limits);
        assert_eq!(sessions, [(199, 210, 2)]);
        assert_eq!(refused, [100]);
    }

    #[test]
    fn all_values_of_sessions_are_joined() {
        let mut sessions = Sessions::default();
        let mut add = |time: i64, amount: &str, number: f64| {
            let amount: Decimal = amount.parse().unwrap();
            let additions = [
                ("sum".to_owned(), Addition::Sum(amount)),
                ("average".to_owned(), Addition::Average(amount)),
                ("low".to_owned(), Addition::Minimum(number)),
                ("high".to_owned(), Addition::Maximum(number)),
            ];
            sessions.add(time, &additions, LIMITS).unwrap();
        };
        add(0, "0.1", 3.0);
        add(20, "0.2", 1.5);
        add(10, "1", 2.0);
        let text = serde_json::to_string(&sessions).unwrap();
        let values = r#"{"average":{"average":{"sum":"1.3","count":3}},"high":{"maximum":3.0},"low":{"minimum":1.5},"sum":{"sum":"1.3"}}"#;
        assert_eq!(text, format!(r#"[{{"start_ms":0,"end_ms":30,"values":{values}}}]"#));
    }

    #[test]
    fn what_a_session_cannot_contain_is_an_error() {
        let mut sessions = Sessions::default();
        let distinct = [("a".to_owned(), Addition::Distinct(b"x".into()))];
        let error = sessions.add(0, &distinct, LIMITS).unwrap_err();
        assert_eq!(error, Error::NotInSessions("a".into()));
        sessions.add(0, &count(i64::MAX), LIMITS).unwrap();
        let kind = [("events".to_owned(), Addition::Minimum(1.0))];
        assert_eq!(sessions.clone().add(0, &kind, LIMITS), Err(Error::Kind("events".into())));
        assert_eq!(sessions.add(0, &count(1), LIMITS), Err(Error::Overflow("events".into())));
        let stored = Sessions::restore(b"g", Some(b"x")).unwrap_err();
        assert_eq!(stored, Error::Stored("sessions:g".into()));
    }
}
