//! Random faults under load, after each of which the books must agree.
//!
//! A [`World`] is a pipeline with all its servers: three brokers, Valkey, two processes that accept
//! and count sales (one chained, one fused), one that only counts, and a network between them that
//! can be interrupted. An episode sends a load, causes a [`Fault`], repairs it, sends a new sale,
//! waits until the log is counted up to its end, and compares every key in Valkey with the
//! acknowledged sales. A second function, which uses the state of `spin-kafka-sdk`, counts the same
//! records in another way and is compared, too.

mod books;
mod describe;
mod episode;
mod fault;
mod inject;
mod inject_topics;
mod kafka;
mod link;
mod manifest;
mod member;
pub mod mutant;
mod proxy;
mod report;
mod schedule;
mod store;
mod topics;
mod traffic;
mod windows;
mod world;

pub use books::{Books, Verdict};
pub use episode::{Episode, Outcome, Passed};
pub use fault::Fault;
pub use link::{Link, LinkState};
pub use manifest::Setup;
pub use proxy::Proxy;
pub use report::Report;
pub use schedule::Schedule;
pub use traffic::Traffic;
pub use world::World;
