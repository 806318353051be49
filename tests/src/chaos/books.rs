//! Compares the acknowledged sales and texts with the counts in Valkey.

use std::path::Path;

use anyhow::{Result, ensure};
use ledger::{Actual, Difference, Expected, Outcome, diff};
use sale::Sale;

use super::world::World;

/// All sales that were acknowledged so far.
#[derive(Default)]
pub struct Books(Expected);

/// The result of the comparison.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The sales.
    pub sales: Tally,
    /// The texts, in all of their windows.
    pub texts: Tally,
    /// The keys with wrong values, and wrong dead letters.
    pub differences: Vec<Difference>,
}

/// How counts differ from the expected ones.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Number of records that were acknowledged but not counted.
    pub lost: u64,
    /// Number by which the counted records exceed the acknowledged ones.
    pub doubled: u64,
}

impl Tally {
    /// Adds the difference between an expected and an actual count.
    pub fn add(&mut self, expected: u64, actual: u64) {
        self.lost += expected.saturating_sub(actual);
        self.doubled += actual.saturating_sub(expected);
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

impl Verdict {
    /// Whether all keys have the correct value.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Books {
    /// Adds the accepted sales of a ledger, and returns their number. Fails if a request has no
    /// known result.
    pub fn enter(&mut self, ledger: &Path) -> Result<u64> {
        let mut accepted = 0;
        for entry in ledger::read(ledger)? {
            let entry = entry?;
            ensure!(
                entry.outcome == Outcome::Accepted,
                "the result of a request is unknown: {entry:?}"
            );
            self.add(&entry.sale);
            accepted += 1;
        }
        Ok(accepted)
    }

    /// Adds one acknowledged sale.
    pub fn add(&mut self, sale: &Sale) {
        self.0.add(sale);
    }

    /// Compares with the counts in Valkey, where everything must be counted.
    pub async fn check(&self, world: &World) -> Result<Verdict> {
        let url = world.store.direct_url();
        let actual = Actual::read(&mut ledger::connect(&url).await?).await?;
        let mut sales = Tally::default();
        for (category, books) in &self.0.categories {
            let counted = actual.values.get(&format!("contador:{category}"));
            let counted: u64 = counted.and_then(|text| text.parse().ok()).unwrap_or(0);
            sales.add(books.count, counted);
        }
        let mut differences = diff(&self.0, &actual);
        let (texts, different_windows) = world.compare_texts().await?;
        differences.extend(different_windows);
        Ok(Verdict { sales, texts, differences })
    }
}
