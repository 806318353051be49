//! Medians and their spread.

use serde::Serialize;

/// The median of some values, with the lowest and the highest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are lower. With an even number of values, the mean of the middle two.
    pub median: f64,
    /// The lowest value.
    pub min: f64,
    /// The highest value.
    pub max: f64,
    /// The number of values.
    pub count: usize,
}

impl Spread {
    /// None if there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let upper = *values.get(half)?;
        let lower =
            if values.len() % 2 == 1 { upper } else { *values.get(half.checked_sub(1)?)? };
        Some(Self {
            median: f64::midpoint(lower, upper),
            min: *values.first()?,
            max: *values.last()?,
            count: values.len(),
        })
    }
}

/// The value below which this share of the values lies: the nearest rank.
pub fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let spread = |median, min, max, count| Some(Spread { median, min, max, count });
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0, 4));
        assert_eq!(Spread::of([7.0]), spread(7.0, 7.0, 7.0, 1));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(100.0));
        assert_eq!(percentile(&mut values, 0.99), Some(198.0));
        assert_eq!(percentile(&mut values, 1.0), Some(200.0));
        assert_eq!(percentile(&mut [5.0], 0.99), Some(5.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
