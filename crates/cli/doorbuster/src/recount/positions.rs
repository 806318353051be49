//! A position in each partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use spin_kafka_trigger::RecountRange;

/// The position in each partition, by topic and number. A partition without a position is left
/// out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<(Arc<str>, i32), i64>);

/// The offsets of a partition between two positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
}

impl Positions {
    pub fn insert(&mut self, topic: &Arc<str>, partition: i32, offset: i64) {
        self.0.insert((topic.clone(), partition), offset);
    }

    /// The topic, the partition and the position of each partition.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, i64)> {
        self.0.iter().map(|((topic, partition), offset)| (topic, *partition, *offset))
    }

    /// The position of a partition; 0 if it has none.
    pub fn get(&self, topic: &Arc<str>, partition: i32) -> i64 {
        self.0.get(&(topic.clone(), partition)).copied().unwrap_or_default()
    }

    /// Whether a partition has a position.
    pub fn contains(&self, topic: &Arc<str>, partition: i32) -> bool {
        self.0.contains_key(&(topic.clone(), partition))
    }

    /// Whether another position is further in a partition.
    pub fn is_behind(&self, other: &Self) -> bool {
        !self.gaps_to(other).is_empty()
    }

    /// What lies between these positions and others that are further.
    pub fn gaps_to(&self, end: &Self) -> Vec<Gap> {
        self.ranges_to(end).into_iter().filter(|gap| gap.start < gap.end).collect()
    }

    /// The gaps as a text. If there are none, empty ones at the position of each partition.
    pub fn shown_gaps_to(&self, end: &Self) -> String {
        let gaps = self.gaps_to(end);
        listed(if gaps.is_empty() { self.ranges_to(end) } else { gaps })
    }

    fn ranges_to(&self, end: &Self) -> Vec<Gap> {
        let range = |(topic, partition, end): (&Arc<str>, i32, i64)| {
            let start = self.get(topic, partition);
            Gap { topic: topic.clone(), partition, start, end }
        };
        end.iter().map(range).collect()
    }

    /// The ranges that end at these positions, for the engine. A partition that was not counted yet
    /// begins at its position in `starts`.
    pub fn ranges_from(&self, starts: &Self) -> Vec<RecountRange> {
        let range = |(topic, partition, end): (&Arc<str>, i32, i64)| RecountRange {
            topic: topic.to_string(),
            partition,
            start: starts.get(topic, partition),
            end,
        };
        self.iter().map(range).collect()
    }
}

/// A list of gaps as a text.
pub fn listed(gaps: Vec<Gap>) -> String {
    gaps.iter().map(Gap::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, start, end } = self;
        write!(f, "{topic}/{partition} {start}..{end}")
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (topic, partition, offset)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{topic}/{partition} up to {offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(offsets: &[(i32, i64)]) -> Positions {
        let mut positions = Positions::default();
        offsets
            .iter()
            .for_each(|(partition, offset)| positions.insert(&"t".into(), *partition, *offset));
        positions
    }

    #[test]
    fn ranges_are_those_in_which_something_lies() {
        let (from, to) = (positions(&[(0, 3), (1, 7)]), positions(&[(0, 5), (1, 7), (2, 1)]));
        assert_eq!(from.shown_gaps_to(&to), "t/0 3..5, t/2 0..1");
        assert_eq!(from.shown_gaps_to(&from), "t/0 3..3, t/1 7..7");
    }

    #[test]
    fn a_partition_is_behind_if_its_position_is_smaller_or_missing() {
        let (live, counted) = (positions(&[(0, 3)]), positions(&[(0, 3), (1, 7)]));
        assert!(live.is_behind(&counted) && !counted.is_behind(&live));
        let gap = Gap { topic: "t".into(), partition: 1, start: 0, end: 7 };
        assert_eq!(live.gaps_to(&counted), [gap]);
    }
}
