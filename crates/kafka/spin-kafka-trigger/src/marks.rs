//! The offsets of the letters of a partition that were sent back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A set of offsets, stored as ranges: consecutive offsets take no more memory than one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks(BTreeMap<i64, i64>);

impl Marks {
    /// Parses the list of a marker: `0-4,6`. Returns `None` if the text is not such a list.
    pub fn parse(text: &str) -> Option<Self> {
        let mut marks = Self::default();
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
            if first < 0 || last < first || last == i64::MAX {
                return None;
            }
            marks.insert(first, last + 1);
        }
        Some(marks)
    }

    /// The list that a marker carries.
    pub fn list(&self) -> String {
        let mut list = String::new();
        for (first, end) in &self.0 {
            let comma = if list.is_empty() { "" } else { "," };
            let last = end - 1;
            // Writing to a `String` does not fail.
            let _ = if *first == last {
                write!(list, "{comma}{first}")
            } else {
                write!(list, "{comma}{first}-{last}")
            };
        }
        list
    }

    /// Adds an offset.
    pub fn add(&mut self, offset: i64) {
        self.insert(offset, offset.saturating_add(1));
    }

    /// Adds the offsets of another set that are below `end`.
    pub fn merge(&mut self, other: &Self, end: i64) {
        for (first, last) in &other.0 {
            self.insert(*first, end.min(*last));
        }
    }

    /// Adds the offsets from `first` up to, not including, `end`.
    fn insert(&mut self, mut first: i64, mut end: i64) {
        if first >= end {
            return;
        }
        // Ranges that overlap or touch the new one are merged with it.
        while let Some((&from, &to)) = self.0.range(..=end).next_back() {
            if to < first {
                break;
            }
            self.0.remove(&from);
            (first, end) = (first.min(from), end.max(to));
        }
        self.0.insert(first, end);
    }

    /// Whether the offset is in the set.
    pub fn contains(&self, offset: i64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// The number of offsets of the set from `low` up to, not including, `high`.
    pub fn count_within(&self, low: i64, high: i64) -> u64 {
        let within = |(first, end): (&i64, &i64)| {
            u64::try_from(high.min(*end).saturating_sub(low.max(*first))).unwrap_or(0)
        };
        self.0.iter().map(within).sum()
    }

    /// The first offset from `low` on that is not in the set.
    pub fn first_outside(&self, low: i64) -> i64 {
        let before = self.0.range(..=low).next_back();
        before.map_or(low, |(_, end)| low.max(*end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_short_and_can_be_parsed() {
        let mut marks = Marks::default();
        for offset in [6, 0, 2, 1, 3, 4] {
            marks.add(offset);
        }
        assert_eq!(marks.list(), "0-4,6");
        assert_eq!(Marks::parse("0-4,6"), Some(marks));
        assert_eq!(Marks::parse(""), Some(Marks::default()));
    }

    #[test]
    fn text_that_is_not_a_list_is_rejected() {
        for text in ["x", "4-", "-4", "5-4", "1;2", "1-9223372036854775807", "1-2-3"] {
            assert_eq!(Marks::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn marks_are_the_set_of_what_was_added(
            chunks in prop::collection::vec(prop::collection::vec(0_i64..60, 0..20), 0..10),
            (low, high) in (0_i64..60, 0_i64..60),
        ) {
            let (mut marks, mut set) = (Marks::default(), BTreeSet::new());
            for chunk in chunks {
                let mut added = Marks::default();
                chunk.iter().for_each(|offset| added.add(*offset));
                marks.merge(&Marks::parse(&added.list()).unwrap(), 50);
                set.extend(chunk.into_iter().filter(|offset| *offset < 50));
            }
            for offset in 0..60 {
                prop_assert_eq!(marks.contains(offset), set.contains(&offset));
            }
            let within = set.iter().filter(|offset| (low..high).contains(*offset)).count();
            prop_assert_eq!(marks.count_within(low, high), within as u64);
            let outside = (low..).find(|offset| !set.contains(offset));
            prop_assert_eq!(Some(marks.first_outside(low)), outside);
            // Ranges that touch are merged.
            let ranges: Vec<_> = marks.0.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
