//! One fault from its beginning to the books.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;

use super::books::{Books, Verdict};
use super::fault::Fault;
use super::traffic::{Manners, Traffic, fresh_sale};
use super::world::World;

/// A fault under load.
#[derive(Debug, Clone, Copy)]
pub struct Episode {
    /// What happens.
    pub fault: Fault,
    /// For its details and the sales.
    pub seed: u64,
}

/// What came of the load.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// Sales that were acknowledged.
    pub accepted: u64,
    /// From the end of the fault until a fresh sale was counted.
    pub recovery: Duration,
}

/// How an episode ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened.
    pub fault: Fault,
    /// What came of the load.
    pub passed: Passed,
    /// What the books say.
    pub verdict: Verdict,
}

impl Episode {
    /// Lets it happen to a world whose books agree, and compares them.
    pub async fn run(self, world: &mut World, books: &mut Books) -> Result<Outcome> {
        let passed = self.happen(world, books).await?;
        world.settle().await?;
        let verdict = books.check(&world.store.direct_url()).await?;
        Ok(Outcome { fault: self.fault, passed, verdict })
    }

    /// Lets it happen under load; enters what was acknowledged.
    pub async fn happen(self, world: &mut World, books: &mut Books) -> Result<Passed> {
        let Self { fault, seed } = self;
        let manners =
            Manners { keyless: fault.spares_intake(), repeat_all: fault == Fault::Repeats };
        let traffic = Traffic::start(world, seed, manners).await?;
        let foreign = fault.strike(world, &mut Rng::with_seed(seed)).await?;
        foreign.iter().for_each(|sale| books.add(sale));
        let (fresh, recovery) = fresh_sale(world, seed).await?;
        books.add(&fresh);
        let ledgers = traffic.finish().await?;
        let mut accepted = 1 + foreign.len() as u64;
        for file in &ledgers.files {
            accepted += books.enter(file)?;
        }
        Ok(Passed { accepted, recovery })
    }
}
