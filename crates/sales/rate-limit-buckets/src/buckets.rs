//! The buckets of one instance.

use std::collections::HashMap;

use crate::limit::{Grant, Limit};

/// Maximum number of buckets.
const BUCKETS_MAX: usize = 10_000;

/// The least time between two searches for full buckets, in microseconds.
const SWEEP_US: u64 = 1_000_000;

/// A bucket for each key that was used a short time ago. A bucket that is full again is the same as
/// none.
#[derive(Debug, Default)]
pub struct Buckets {
    full_us: HashMap<String, u64>,
    /// The bucket that further keys share while there are too many.
    shared_full_us: u64,
    swept_us: Option<u64>,
}

impl Buckets {
    /// Takes a token from the bucket of this key at this time of a monotonic clock, in microseconds.
    pub fn take(&mut self, limit: &Limit, key: &str, now_us: u64) -> Grant {
        if let Some(full_us) = self.full_us.get_mut(key) {
            let (grant, next_us) = limit.take(*full_us, now_us);
            *full_us = next_us;
            return grant;
        }
        if self.full_us.len() >= BUCKETS_MAX {
            self.sweep(now_us);
        }
        if self.full_us.len() >= BUCKETS_MAX {
            let (grant, next_us) = limit.take(self.shared_full_us, now_us);
            self.shared_full_us = next_us;
            return grant;
        }
        let (grant, next_us) = limit.take(0, now_us);
        self.full_us.insert(key.to_owned(), next_us);
        grant
    }

    fn sweep(&mut self, now_us: u64) {
        if self.swept_us.is_none_or(|swept| now_us.saturating_sub(swept) >= SWEEP_US) {
            self.swept_us = Some(now_us);
            self.full_us.retain(|_, full_us| *full_us > now_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn many_keys_do_not_need_more_memory_and_get_no_more_requests() {
        let settings = Settings { average: "1", period_s: "60", burst: "1" };
        let limit = Limit::new(&settings).unwrap();
        let mut buckets = Buckets::default();
        let now = 1_000_000;
        let permitted = |buckets: &mut Buckets, now| {
            let keys = (0..BUCKETS_MAX + 500).map(|key| key.to_string());
            keys.filter(|key| buckets.take(&limit, key, now).is_permitted).count()
        };
        assert_eq!(permitted(&mut buckets, now), BUCKETS_MAX + 1, "the rest share one bucket");
        assert_eq!(buckets.full_us.len(), BUCKETS_MAX);
        assert_eq!(permitted(&mut buckets, now), 0);
        assert!(!buckets.take(&limit, "1", now + 59_000_000).is_permitted);
        // The buckets are full again.
        let later = now + 61_000_000;
        assert!(buckets.take(&limit, "another", later).is_permitted);
        assert_eq!(buckets.full_us.len(), 1);
        assert!(buckets.take(&limit, "0", later).is_permitted);
    }
}
