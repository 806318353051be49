//! Policies for requests to services that may fail: when a request is repeated ([`retry`]) or
//! refused ([`breaker`]), and to which upstream it is sent ([`balance`]).
//!
//! The components `retry`, `breaker` and `balance` call them with the values of their Spin variables,
//! the time of a monotonic clock, and random numbers.

pub mod balance;
pub mod breaker;
pub mod retry;
mod setting;

pub use setting::TIMEOUT_MAX;

#[cfg(test)]
mod tests {
    use super::{TIMEOUT_MAX, balance, breaker, retry};

    /// Otherwise a service that hangs would be a failure only for the outer one.
    #[test]
    fn each_default_time_limit_ends_before_the_one_of_the_middleware_before_it() {
        assert!(balance::TIMEOUT * 3 < retry::policy::TIMEOUT);
        assert!(balance::TIMEOUT < breaker::TIMEOUT);
        assert!(breaker::TIMEOUT < retry::policy::TIMEOUT && retry::policy::TIMEOUT < TIMEOUT_MAX);
    }
}
