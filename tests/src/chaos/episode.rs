//! One episode: a fault under load, up to the comparison of the books.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;

use super::books::{Books, Verdict};
use super::fault::Fault;
use super::traffic::{Manners, Traffic, fresh_sale};
use super::world::World;
use super::writers::Writers;

/// A fault under load.
#[derive(Debug, Clone, Copy)]
pub struct Episode {
    /// The fault.
    pub fault: Fault,
    /// Seed for its details and for the sales.
    pub seed: u64,
}

/// The results of the load.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// Number of acknowledged sales.
    pub accepted: u64,
    /// Number of acknowledged texts.
    pub texts: u64,
    /// Time from the end of the fault until a new sale was counted.
    pub recovery: Duration,
}

/// The result of an episode.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The fault.
    pub fault: Fault,
    /// The results of the load.
    pub passed: Passed,
    /// The result of the comparison.
    pub verdict: Verdict,
}

impl Episode {
    /// Runs the episode in a world whose books agree, and compares them afterwards.
    pub async fn run(self, world: &mut World, books: &mut Books) -> Result<Outcome> {
        let passed = self.happen(world, books).await?;
        world.settle().await?;
        let verdict = books.check(world).await?;
        Ok(Outcome { fault: self.fault, passed, verdict })
    }

    /// Runs the fault under load, and adds the acknowledged sales to the books.
    pub async fn happen(self, world: &mut World, books: &mut Books) -> Result<Passed> {
        let Self { fault, seed } = self;
        let manners =
            Manners { keyless: fault.spares_intake(), repeat_all: fault == Fault::Repeats };
        let writers = Writers::start(&world.texts, seed, manners);
        let traffic = Traffic::start(world, seed, manners).await?;
        let foreign = fault.inject(world, &mut Rng::with_seed(seed)).await?;
        foreign.iter().for_each(|sale| books.add(sale));
        let (fresh, recovery) = fresh_sale(world, seed).await?;
        books.add(&fresh);
        let ledgers = traffic.finish().await?;
        let texts = writers.finish().await?;
        let mut accepted = 1 + foreign.len() as u64;
        for file in &ledgers.files {
            accepted += books.enter(file)?;
        }
        Ok(Passed { accepted, texts, recovery })
    }
}
