//! Compares a ledger with the counts in Valkey.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use printing::Progress;
use redis::aio::MultiplexedConnection;

use crate::actual::{self, Actual, prefixed};
use crate::diff::{Difference, diff};
use crate::entry::{Outcome, read};
use crate::expected::Expected;

/// Interval at which the count is read while it grows.
const POLL: Duration = Duration::from_millis(100);

/// Maximum number of differing keys that are printed; the others are only counted.
const PRINTED_MAX: usize = 20;

/// The result of the comparison.
#[derive(Debug)]
pub struct Report {
    /// Number of requests answered with 200.
    pub accepted: u64,
    /// Number of requests for which it is unknown whether they were written.
    pub unknown: u64,
    /// Number of counted sales.
    pub counted: u64,
    /// The keys that differ. They are not compared while `unknown` is not zero.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether no sale is missing and none was counted twice.
    pub fn agrees(&self) -> bool {
        let most = self.accepted + self.unknown;
        (self.accepted..=most).contains(&self.counted) && self.differences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = self.unknown;
        writeln!(f, "accepted    {}", self.accepted)?;
        if unknown > 0 {
            writeln!(f, "unknown     {unknown}  (no clear answer; each may be counted once)")?;
        }
        writeln!(f, "counted     {}", self.counted)?;
        writeln!(f, "difference  {}", i128::from(self.counted) - i128::from(self.accepted))?;
        for difference in self.differences.iter().take(PRINTED_MAX) {
            let Difference { key, expected, actual } = difference;
            writeln!(f, "  {key}: expected {expected}, found {actual}")?;
        }
        if self.differences.len() > PRINTED_MAX {
            writeln!(f, "  and {} more keys", self.differences.len() - PRINTED_MAX)?;
        }
        f.write_str(if self.agrees() { "The books agree." } else { "The books do not agree." })
    }
}

/// Recounts the ledger, waits until Valkey has counted as many sales or the count has not grown for
/// `wait`, and compares. The names of the keys begin with `prefix` and a colon, unless it is empty. The
/// future is boxed, because otherwise every crate that calls this
/// function would compile the Valkey client again.
pub fn verify<'a>(
    ledger: &'a Path,
    valkey: &'a str,
    prefix: &'a str,
    wait: Duration,
) -> BoxFuture<'a, Result<Report>> {
    compare(ledger, valkey, prefix, wait).boxed()
}

async fn compare(ledger: &Path, valkey: &str, prefix: &str, wait: Duration) -> Result<Report> {
    let mut expected = Expected::default();
    let mut unknown = 0;
    let progress = Progress::count("sales read from the ledger");
    for entry in read(ledger)? {
        let entry = entry?;
        progress.add(1);
        match entry.outcome {
            Outcome::Accepted => expected.add(&entry.sale),
            Outcome::Unknown => unknown += 1,
        }
    }
    drop(progress);
    let mut store = actual::connect(valkey).await?;
    let counted = settle(&mut store, prefix, expected.total, wait).await?;
    let _progress = Progress::work("comparing the counts");
    let mut differences = Vec::new();
    if unknown == 0 {
        differences = diff(&expected, &Actual::read_prefixed(&mut store, prefix).await?);
    }
    for difference in &mut differences {
        difference.key = prefixed(prefix, &difference.key);
    }
    Ok(Report { accepted: expected.total, unknown, counted, differences })
}

/// Waits until the count reaches `wanted`, or stops growing for `wait`. Returns the last count.
async fn settle(
    store: &mut MultiplexedConnection,
    prefix: &str,
    wanted: u64,
    wait: Duration,
) -> Result<u64> {
    let progress = Progress::of_total(wanted, "sales counted");
    let (mut last, mut grown) = (actual::total(store, prefix).await?, Instant::now());
    while last < wanted && grown.elapsed() < wait {
        progress.set(last);
        tokio::time::sleep(POLL).await;
        let total = actual::total(store, prefix).await?;
        if total != last {
            (last, grown) = (total, Instant::now());
        }
    }
    Ok(last)
}
