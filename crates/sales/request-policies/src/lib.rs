//! Policies for requests to services that may fail: when a request is repeated ([`retry`]) or
//! refused ([`breaker`]), and to which upstream it is sent ([`balance`]).
//!
//! The components `retry`, `breaker` and `balance` call them with the values of their Spin variables,
//! the time of a monotonic clock, and random numbers.

pub mod balance;
pub mod breaker;
pub mod retry;
mod setting;

pub use setting::SettingError;
