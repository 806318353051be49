//! A line of the ledger file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use sale::Sale;
use serde::{Deserialize, Serialize};

const NO_LINE: &str = "not a line of a ledger";

const CUT_LINE: &str = "the last line is cut off: `load` was killed while it wrote it. Remove the \
                        line to compare the rest; the sale in it may have been accepted, so one \
                        sale more may be counted";

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
    let (path, mut file, mut number) = (path.to_owned(), BufReader::new(file), 0_u64);
    Ok(std::iter::from_fn(move || {
        let mut line = String::new();
        number += 1;
        let entry = match file.read_line(&mut line) {
            Ok(0) => return None,
            Ok(_) => parse(&line),
            Err(error) => Err(error).context(NO_LINE),
        };
        Some(entry.with_context(|| format!("{}:{number}", path.display())))
    }))
}

fn parse(line: &str) -> Result<Entry> {
    serde_json::from_str(line).context(if line.ends_with('\n') { NO_LINE } else { CUT_LINE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &[u8]) -> Vec<Result<Entry>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path()).unwrap().collect()
    }

    #[test]
    fn a_last_line_that_is_cut_is_named_so() {
        let sale = Sale { category: 1, product_id: "tv".into(), price: 9.99, quantity: 1 };
        let entry = Entry { key: "1".into(), outcome: Outcome::Accepted, sale };
        let mut text = Vec::new();
        write(&mut text, &entry).unwrap();
        write(&mut text, &entry).unwrap();
        assert!(entries(&text).iter().all(Result::is_ok));

        let line = text.len() / 2;
        for cut in [1, line - 2] {
            let found = entries(&text[..line + cut]);
            assert_eq!(found[0].as_ref().unwrap().key, "1");
            let fault = format!("{:#}", found[1].as_ref().unwrap_err());
            assert!(fault.contains(":2: the last line is cut off"), "{fault}");
        }
        // All but the end of the line is there.
        assert!(entries(&text[..text.len() - 1]).iter().all(Result::is_ok));

        let found = entries(&[&text[..line - 2], b"\n", &text[..line]].concat());
        let fault = format!("{:#}", found[0].as_ref().unwrap_err());
        assert!(fault.contains(":1: not a line of a ledger"), "{fault}");
        assert!(found[1].is_ok());
    }
}
