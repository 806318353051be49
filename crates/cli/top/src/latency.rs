//! Histograms of durations, and their quantiles.

/// A histogram of durations: the cumulative counts by the upper bounds of the buckets in seconds,
/// in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency(Vec<(f64, f64)>);

impl Latency {
    /// A histogram with these counts.
    #[cfg(test)]
    pub fn of(counts: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self(counts.into_iter().collect())
    }

    /// Adds the count of a bucket.
    pub fn add(&mut self, bound: f64, count: f64) {
        match self.0.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(at) => self.0.iter_mut().skip(at).take(1).for_each(|(_, sum)| *sum += count),
            Err(at) => self.0.insert(at, (bound, count)),
        }
    }

    /// The number of requests.
    fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// What was counted after `earlier`. If this has counted less, the process was started again,
    /// and everything was counted after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        if self.count() < earlier.count() || self.0.len() != earlier.0.len() {
            return self.clone();
        }
        let pairs = self.0.iter().zip(&earlier.0);
        Self(pairs.map(|((bound, now), (_, before))| (*bound, now - before)).collect())
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bound, count) in &other.0 {
            self.add(*bound, *count);
        }
    }

    /// The duration that this share of the requests did not exceed; `None` without requests. Inside
    /// a bucket the durations are assumed to be evenly distributed.
    pub fn quantile(&self, share: f64) -> Option<Quantile> {
        let wanted = share * self.count();
        if wanted <= 0.0 {
            return None;
        }
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted {
                let part = (wanted - below) / (count - below);
                let is_last = bound.is_infinite();
                return Some(if is_last {
                    Quantile::Above(lower)
                } else {
                    Quantile::At(lower + (bound - lower) * part)
                });
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

/// A quantile in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// About this long.
    At(f64),
    /// Longer than the highest bound of the histogram.
    Above(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up to 0.1 s, 1 s, and of all requests.
    fn latency(counts: [f64; 3]) -> Latency {
        Latency::of([0.1, 1.0, f64::INFINITY].into_iter().zip(counts))
    }

    #[test]
    fn a_quantile_lies_inside_its_bucket() {
        assert_eq!(latency([0.0, 0.0, 0.0]).quantile(0.99), None);
        assert_eq!(Latency::default().quantile(0.99), None);
        assert_eq!(latency([100.0, 100.0, 100.0]).quantile(0.5), Some(Quantile::At(0.05)));
        assert_eq!(latency([0.0, 100.0, 100.0]).quantile(0.5), Some(Quantile::At(0.55)));
        assert_eq!(latency([50.0, 98.0, 100.0]).quantile(0.99), Some(Quantile::Above(1.0)));
    }

    #[test]
    fn a_histogram_of_a_restarted_process_begins_again() {
        let earlier = latency([5.0, 8.0, 10.0]);
        assert_eq!(latency([6.0, 9.0, 12.0]).since(&earlier), latency([1.0, 1.0, 2.0]));
        assert_eq!(latency([1.0, 2.0, 3.0]).since(&earlier), latency([1.0, 2.0, 3.0]));
        assert_eq!(earlier.since(&Latency::default()), earlier);
    }

    #[test]
    fn histograms_of_several_processes_are_added() {
        let mut sum = Latency::default();
        sum.merge(&latency([1.0, 2.0, 3.0]));
        sum.merge(&latency([1.0, 1.0, 1.0]));
        assert_eq!(sum, latency([2.0, 3.0, 4.0]));
    }
}
