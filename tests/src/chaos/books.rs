//! What was acknowledged, against what is counted.

use std::path::Path;

use anyhow::{Result, ensure};
use ledger::{Actual, Difference, Expected, Outcome, diff};
use sale::Sale;

/// Every sale that was acknowledged so far.
#[derive(Default)]
pub struct Books(Expected);

/// What the comparison found.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Sales that were acknowledged and are not counted.
    pub lost: u64,
    /// Sales that are counted once too often.
    pub doubled: u64,
    /// Every key that differs.
    pub differences: Vec<Difference>,
}

impl Verdict {
    /// Whether all is as it must be.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Books {
    /// Enters the debts of a ledger; answers how many. Each request must have been answered.
    pub fn enter(&mut self, ledger: &Path) -> Result<u64> {
        let mut accepted = 0;
        for entry in ledger::read(ledger)? {
            let entry = entry?;
            ensure!(entry.outcome == Outcome::Accepted, "nobody knows what became of {entry:?}");
            self.add(&entry.sale);
            accepted += 1;
        }
        Ok(accepted)
    }

    /// Enters one debt.
    pub fn add(&mut self, sale: &Sale) {
        self.0.add(sale);
    }

    /// Collects the debts from a store that has counted everything.
    pub async fn check(&self, url: &str) -> Result<Verdict> {
        let actual = Actual::read(&mut ledger::connect(url).await?).await?;
        let (mut lost, mut doubled) = (0, 0);
        for (category, books) in &self.0.categories {
            let counted = actual.values.get(&format!("contador:{category}"));
            let counted: u64 = counted.and_then(|text| text.parse().ok()).unwrap_or(0);
            lost += books.count.saturating_sub(counted);
            doubled += counted.saturating_sub(books.count);
        }
        Ok(Verdict { lost, doubled, differences: diff(&self.0, &actual) })
    }
}
