//! Compares the acknowledged sales with the counts in Valkey.

use std::path::Path;

use anyhow::{Result, ensure};
use ledger::{Actual, Difference, Expected, Outcome, diff};
use sale::Sale;

use super::windows;

/// All sales that were acknowledged so far.
#[derive(Default)]
pub struct Books(Expected);

/// The result of the comparison.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Number of sales that were acknowledged but not counted.
    pub lost: u64,
    /// Number by which the counted sales exceed the acknowledged ones.
    pub doubled: u64,
    /// The keys with wrong values.
    pub differences: Vec<Difference>,
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

    /// Compares with the counts in Valkey, which must have counted everything.
    pub async fn check(&self, url: &str) -> Result<Verdict> {
        let actual = Actual::read(&mut ledger::connect(url).await?).await?;
        let (mut lost, mut doubled) = (0, 0);
        for (category, books) in &self.0.categories {
            let counted = actual.values.get(&format!("contador:{category}"));
            let counted: u64 = counted.and_then(|text| text.parse().ok()).unwrap_or(0);
            lost += books.count.saturating_sub(counted);
            doubled += counted.saturating_sub(books.count);
        }
        let mut differences = diff(&self.0, &actual);
        differences.extend(windows::differences(&self.0, url).await?);
        Ok(Verdict { lost, doubled, differences })
    }
}
