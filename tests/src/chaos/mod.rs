//! Random faults under load, after each of which the books must agree.
//!
//! A [`World`] is a pipeline with all its servers: three brokers, Valkey, two processes that accept
//! and count sales (one chained, one fused), one that only counts, and a network between them that
//! can be interrupted. An episode sends a load, causes a [`Fault`], repairs it, sends a new sale,
//! waits until the log is counted up to its end, and compares every key in Valkey with the
//! acknowledged sales. A second function counts the words of texts in windows of event time, with
//! `spin-kafka-sdk`. The texts are written during the fault, too, and its windows are compared with a
//! naive recount of them.

mod books;
mod describe;
mod episode;
mod fault;
mod inject;
mod inject_topics;
mod kafka;
mod letters;
mod link;
mod manifest;
mod member;
pub mod mutant;
mod proxy;
mod report;
mod schedule;
mod store;
mod texts;
mod topics;
mod traffic;
mod word_books;
mod words;
mod world;
mod writers;

pub use books::{Books, Tally, Verdict};
pub use episode::{Episode, Outcome, Passed};
pub use fault::Fault;
pub use link::{Link, LinkState};
pub use manifest::Setup;
pub use proxy::Proxy;
pub use report::Report;
pub use schedule::Schedule;
pub use traffic::Traffic;
pub use world::World;
