//! A retry budget: retries are a share of the requests, so that they never multiply a flood.
//!
//! Only what was surely not written is retried ([`crate::IntakeError::is_surely_unwritten`]): a
//! sale without an idempotency key that may lie in the log already would be counted twice.

/// What a request adds, in hundredths of a retry.
const DEPOSIT: u32 = 20;

/// What a retry takes.
const RETRY: u32 = 100;

/// Most that is saved up: a burst of ten retries.
const SAVED_MAX: u32 = 10 * RETRY;

/// Most tries of one request, the first included.
pub const TRIES_MAX: u32 = 3;

/// A balance of retries.
#[derive(Debug, Default)]
pub struct RetryBudget {
    saved: u32,
}

impl RetryBudget {
    /// A request is made for the first time.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + DEPOSIT).min(SAVED_MAX);
    }

    /// Takes a retry if there is one.
    pub fn withdraw(&mut self) -> bool {
        let enough = self.saved >= RETRY;
        if enough {
            self.saved -= RETRY;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retries_are_at_most_a_fifth_of_requests(requests in prop::collection::vec(0u32..4, 0..500)) {
            let (mut budget, mut retries) = (RetryBudget::default(), 0usize);
            for (index, wanted) in requests.into_iter().enumerate() {
                budget.deposit();
                retries += (0..wanted).filter(|_| budget.withdraw()).count();
                prop_assert!(retries * 5 <= index + 1);
            }
        }
    }
}
