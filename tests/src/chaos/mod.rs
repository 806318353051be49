//! Faults at random under load, and books that must agree after each.
//!
//! A [`World`] is a pipeline with everything that it talks to: three brokers, a store, two
//! processes that take and count sales (one chained, one fused), one that only counts, and a
//! network between all of them that can be cut. An episode puts a load on it, strikes with a
//! [`Fault`], heals, sends a fresh sale, waits until the log is counted to its end, and
//! compares every key in the store with the sales that were acknowledged.

mod books;
mod describe;
mod episode;
mod fault;
mod kafka;
mod link;
mod manifest;
mod member;
pub mod mutant;
mod proxy;
mod report;
mod schedule;
mod store;
mod strike;
mod strike_topics;
mod topics;
mod traffic;
mod world;

pub use books::{Books, Verdict};
pub use episode::{Episode, Outcome, Passed};
pub use fault::Fault;
pub use link::{Link, Weather};
pub use manifest::Setup;
pub use proxy::Proxy;
pub use report::Report;
pub use schedule::Schedule;
pub use traffic::Traffic;
pub use world::World;
