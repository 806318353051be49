//! When the keys of an issuer are fetched.

use std::rc::Rc;

use crate::keys::Keys;

/// The age from which keys are fetched again, in milliseconds.
const FRESH_MS: u64 = 300_000;

/// The age up to which keys are used if they cannot be fetched again.
const STALE_MS: u64 = 86_400_000;

/// The least time between two attempts while there are keys. Tokens with invented key ids must not
/// make every request a request to the issuer.
const PAUSE_MS: u64 = 5_000;

/// The least time between two attempts while there are no keys.
const RETRY_MS: u64 = 1_000;

/// The keys that were fetched last.
#[derive(Debug, Default)]
pub struct KeyCache {
    keys: Option<(Rc<Keys>, u64)>,
    tried_ms: Option<u64>,
}

/// What a request does next.
#[derive(Debug, Clone)]
pub enum Next {
    /// Uses these keys.
    Use(Rc<Keys>),
    /// Uses these keys if no other request is fetching newer ones; fetches them otherwise.
    Renew(Rc<Keys>),
    /// Waits until keys are fetched.
    Fetch,
    /// Is refused: keys could not be fetched a moment ago.
    Refuse,
}

impl KeyCache {
    /// What a request does at this time of a monotonic clock.
    pub fn next(&self, now_ms: u64) -> Next {
        let is_due = self.is_due(now_ms);
        match &self.keys {
            Some((keys, at)) if now_ms.saturating_sub(*at) < FRESH_MS => Next::Use(keys.clone()),
            Some((keys, at)) if now_ms.saturating_sub(*at) < STALE_MS => match is_due {
                true => Next::Renew(keys.clone()),
                false => Next::Use(keys.clone()),
            },
            _ if is_due => Next::Fetch,
            _ => Next::Refuse,
        }
    }

    /// Whether keys may be fetched now, for any reason.
    pub fn is_due(&self, now_ms: u64) -> bool {
        let pause_ms = if self.keys.is_some() { PAUSE_MS } else { RETRY_MS };
        self.tried_ms.is_none_or(|tried| now_ms.saturating_sub(tried) >= pause_ms)
    }

    /// Records that keys are being fetched.
    pub fn begin(&mut self, now_ms: u64) {
        self.tried_ms = Some(now_ms);
    }

    /// Stores keys that were fetched.
    pub fn store(&mut self, keys: Keys, now_ms: u64) {
        self.keys = Some((Rc::new(keys), now_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key =
            r#"{"keys": [{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
        Keys::configured(key).unwrap()
    }

    #[test]
    fn keys_are_used_during_an_outage_for_a_day() {
        let mut cache = KeyCache::default();
        assert!(matches!(cache.next(0), Next::Fetch));
        cache.begin(0);
        assert!(matches!(cache.next(RETRY_MS - 1), Next::Refuse));
        assert!(matches!(cache.next(RETRY_MS), Next::Fetch));
        cache.begin(RETRY_MS);
        cache.store(keys(), RETRY_MS);
        let fresh = RETRY_MS + FRESH_MS;
        assert!(matches!(cache.next(fresh - 1), Next::Use(_)));
        assert!(matches!(cache.next(fresh), Next::Renew(_)));
        cache.begin(fresh);
        assert!(matches!(cache.next(fresh + 1), Next::Use(_)));
        assert!(matches!(cache.next(RETRY_MS + STALE_MS - 1), Next::Renew(_)));
        assert!(matches!(cache.next(RETRY_MS + STALE_MS), Next::Fetch));
    }

    #[test]
    fn unknown_keys_cause_few_requests() {
        let mut cache = KeyCache::default();
        cache.begin(0);
        cache.store(keys(), 0);
        let mut attempts = 0;
        for now in (0..60_000).step_by(10) {
            if cache.is_due(now) {
                cache.begin(now);
                attempts += 1;
            }
        }
        assert_eq!(attempts, 11);
    }
}
