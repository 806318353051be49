//! A line of the ledger file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use sale::Sale;
use serde::{Deserialize, Serialize};

/// What is known of a request after its last try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// 200: the sale is a debt and must be counted once.
    Accepted,
    /// No answer, or one that leaves open whether it was written: it may be counted once.
    Unknown,
}

/// One request: its key, what became of it, and its sale.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The request's idempotency key.
    pub key: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What was sold.
    pub sale: Sale,
}

/// Appends an entry as one line of JSON.
pub fn write(out: &mut impl Write, entry: &Entry) -> Result<()> {
    serde_json::to_writer(&mut *out, entry)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Reads a ledger line by line, so that its length does not matter.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Entry>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let path = path.to_owned();
    Ok(BufReader::new(file).lines().enumerate().map(move |(index, line)| {
        let place = || format!("{}:{}: not a line of a ledger", path.display(), index + 1);
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    }))
}
