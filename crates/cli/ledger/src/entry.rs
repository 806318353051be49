//! The lines of a ledger file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use sale::Sale;
use serde::{Deserialize, Serialize};

/// Beginnings of error texts.
const NO_LINE: &str = "not a line of a ledger";

const CUT_LINE: &str = "the last line is cut off: `load` was killed while it wrote it. Remove the \
                        line to compare the rest; the sale in it may have been accepted, so one \
                        sale more may be counted";

/// Maximum length of a line, in bytes. A sale and its key take at most a quarter of it, even if
/// every character is escaped.
const LINE_BYTES_MAX: u64 = 8 << 10;

/// The result of a request after its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The response was 200: the sale must be counted exactly once.
    Accepted,
    /// There was no response, or one that does not show whether the sale was written: it may be
    /// counted once.
    Unknown,
}

/// One request: its key, its result and its sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The request's idempotency key.
    pub key: String,
    /// The result.
    pub outcome: Outcome,
    /// The sale that was sent.
    pub sale: Sale,
}

/// Appends an entry as one line of JSON.
pub fn write(out: &mut impl Write, entry: &Entry) -> Result<()> {
    serde_json::to_writer(&mut *out, entry)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Reads a ledger line by line, so that its size is not limited by the memory.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Entry>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(entries(path.display().to_string(), BufReader::new(file)))
}

/// The entries of a ledger. Error texts call it `name`.
pub fn entries<R: BufRead>(
    name: String,
    mut from: R,
) -> impl Iterator<Item = Result<Entry>> + use<R> {
    let mut number = 0;
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        number += 1;
        let entry = match read {
            Ok(0) => return None,
            Ok(_) => parse(&line),
            Err(error) => Err(error).context(NO_LINE),
        };
        Some(entry.with_context(|| format!("{name}:{number}")))
    })
}

fn parse(line: &[u8]) -> Result<Entry> {
    let ends = line.ends_with(b"\n");
    let is_whole = (line.len() as u64) < LINE_BYTES_MAX || ends;
    let entry = if is_whole {
        entry(line)
    } else {
        Err(anyhow!("it is longer than {LINE_BYTES_MAX} bytes"))
    };
    entry.context(if ends || !is_whole { NO_LINE } else { CUT_LINE })
}

fn entry(line: &[u8]) -> Result<Entry> {
    let entry: Entry = strict_json::from_slice(line)?;
    entry.sale.validate()?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"key":"k","outcome":"accepted","sale":{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}}"#;

    fn faults(text: &str) -> Vec<Option<String>> {
        let entries = entries("l".into(), text.as_bytes());
        entries.map(|entry| entry.err().map(|error| format!("{error:#}"))).collect()
    }

    #[test]
    fn lines_are_entries() {
        assert_eq!(faults(&format!("{LINE}\n{LINE}\r\n{LINE}")), [None, None, None]);
        assert_eq!(faults(""), []);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (wrong, reason) in [
            (String::new(), "EOF"),
            (LINE.replace("1.5", "-1"), "precio: must be a number from 0"),
            (LINE.replace("vendida\":1", "vendida\":0"), "cantidad_vendida"),
            (LINE.replace("accepted", "lost"), "unknown variant"),
        ] {
            let faults = faults(&format!("{LINE}\n{wrong}\n{LINE}"));
            let [None, Some(fault), None] = faults.as_slice() else { panic!("{faults:?}") };
            assert!(fault.starts_with("l:2: not a line of a ledger: "), "{fault}");
            assert!(fault.contains(reason), "{fault}");
        }
        let endless = format!("{LINE}{}", " ".repeat(9 << 10));
        let first = faults(&endless).into_iter().next().flatten();
        assert!(first.is_some_and(|fault| fault.contains("longer than 8192 bytes")));
    }

    fn bytes(text: &[u8]) -> Vec<Result<Entry>> {
        entries("l".into(), text).collect()
    }

    #[test]
    fn a_last_line_that_is_cut_is_named_so() {
        let sale = Sale { category: 1, product_id: "tv".into(), price: 9.99, quantity: 1 };
        let entry = Entry { key: "1".into(), outcome: Outcome::Accepted, sale };
        let mut text = Vec::new();
        write(&mut text, &entry).unwrap();
        write(&mut text, &entry).unwrap();
        assert!(bytes(&text).iter().all(Result::is_ok));

        let line = text.len() / 2;
        for cut in [1, line - 2] {
            let found = bytes(&text[..line + cut]);
            assert_eq!(found[0].as_ref().unwrap().key, "1");
            let fault = format!("{:#}", found[1].as_ref().unwrap_err());
            assert!(fault.contains(":2: the last line is cut off"), "{fault}");
        }
        // Only the line break at the end is missing.
        assert!(bytes(&text[..text.len() - 1]).iter().all(Result::is_ok));

        let found = bytes(&[&text[..line - 2], b"\n", &text[..line]].concat());
        let fault = format!("{:#}", found[0].as_ref().unwrap_err());
        assert!(fault.contains(":1: not a line of a ledger"), "{fault}");
        assert!(found[1].is_ok());
    }
}
