//! A retry budget: retries are limited to a share of the requests, so that they cannot multiply an
//! overload.
//!
//! Of the sales, only one that was certainly not written is retried
//! ([`crate::IntakeError::is_surely_unwritten`]): a sale without an idempotency key that is in the
//! log already would be counted twice.

/// What each request adds by default, in hundredths of a retry. 20 allows one retry for five
/// requests.
const DEPOSIT: u32 = 20;

/// What a retry costs, in hundredths of a retry.
const RETRY: u32 = 100;

/// Maximum balance: a burst of ten retries.
const BALANCE_MAX: u32 = 10 * RETRY;

/// Maximum number of attempts for one request, including the first.
pub const ATTEMPTS_MAX: u32 = 3;

/// The balance of retries of one instance.
#[derive(Debug)]
pub struct RetryBudget {
    deposit: u32,
    balance: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { deposit: DEPOSIT, balance: 0 }
    }
}

impl RetryBudget {
    /// A budget that permits a burst of ten retries at once, and then this number of retries for 100
    /// requests, at most 100.
    pub fn with_burst(percent: u32) -> Self {
        Self { deposit: percent.min(RETRY), balance: BALANCE_MAX }
    }

    /// Adds the share of a new request. Must not be called for its retries.
    pub fn deposit(&mut self) {
        self.balance = (self.balance + self.deposit).min(BALANCE_MAX);
    }

    /// Takes one retry from the balance. Returns false if the balance is too low.
    pub fn withdraw(&mut self) -> bool {
        let enough = self.balance >= RETRY;
        if enough {
            self.balance -= RETRY;
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

        #[test]
        fn a_burst_is_permitted_once(
            percent in 1u32..=100, requests in prop::collection::vec(0u32..20, 1..500),
        ) {
            let mut budget = RetryBudget::with_burst(percent);
            let mut retries = 0usize;
            for (index, wanted) in requests.into_iter().enumerate() {
                budget.deposit();
                let granted = (0..wanted).filter(|_| budget.withdraw()).count();
                prop_assert!(index > 0 || granted == wanted.min(10) as usize);
                retries += granted;
                prop_assert!(retries <= 10 + (index + 1) * percent as usize / 100);
            }
        }
    }
}
