//! The buckets of quantiles.

use std::collections::BTreeMap;

/// Number of significant bits that a bucket keeps. The largest bucket is 1/128 of its values wide.
const BITS: u32 = 8;

/// The smallest value in the bucket of a value. Buckets are those of HdrHistogram with 2 significant
/// digits. They depend only on the value, so the counts of buckets can be added in any order.
pub(crate) fn bucket(value: u64) -> u64 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS);
    value >> shift << shift
}

/// Returns a quantile, from 0.0 to 1.0, of the values in these buckets. The keys are the smallest
/// values of the buckets, as they are stored, and the values are the counts. The result is the
/// middle of a bucket, at most 0.4 % from an exact one. `None` if there are no values.
///
/// ```
/// use spin_kafka_windows::quantile;
///
/// let latencies = [(7, 90), (200, 9), (3_008, 1)].into();
/// assert_eq!(quantile(&latencies, 0.5), Some(7));
/// assert_eq!(quantile(&latencies, 0.99), Some(200));
/// assert_eq!(quantile(&latencies, 1.0), Some(3_016));
/// ```
pub fn quantile(buckets: &BTreeMap<u64, u64>, quantile: f64) -> Option<u64> {
    let total: u64 = buckets.values().sum();
    let rank = ((total as f64 * quantile).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    let (lowest, _) = buckets.iter().find(|(_, count)| {
        seen += **count;
        seen >= rank
    })?;
    let shift = (u64::BITS - lowest.leading_zeros()).saturating_sub(BITS);
    Some(lowest + (1 << shift >> 1))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_are_those_of_hdr_histogram(shift in 0..64_u32, bits in any::<u64>()) {
            let value = bits >> shift;
            let histogram = Histogram::<u64>::new(2).unwrap();
            prop_assert_eq!(bucket(value), histogram.lowest_equivalent(value));
        }

        #[test]
        fn a_quantile_is_near_the_exact_one(
            mut values in prop::collection::vec(0_u64..1_000_000, 1..200),
            percent in 0..=100_u32,
        ) {
            let mut buckets = BTreeMap::new();
            for value in &values {
                *buckets.entry(bucket(*value)).or_default() += 1;
            }
            values.sort_unstable();
            let quantile_of = f64::from(percent) / 100.0;
            let rank = ((values.len() as f64 * quantile_of).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            let found = quantile(&buckets, quantile_of).unwrap() as f64;
            prop_assert!((found - exact).abs() <= exact / 250.0, "{found} instead of {exact}");
        }
    }

    #[test]
    fn without_values_there_is_no_quantile() {
        assert_eq!(quantile(&BTreeMap::new(), 0.5), None);
    }
}
