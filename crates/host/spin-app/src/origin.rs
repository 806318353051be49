//! The file that an application came from, and places in it for error messages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that an application was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    path: PathBuf,
    /// Line numbers, from 1, by key: `component.ingest.files`.
    lines: BTreeMap<String, usize>,
}

/// A place in an application, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    line: Option<usize>,
}

/// The line, from 1, of the byte at this offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

impl Origin {
    /// A file whose line numbers are of no use in an error message.
    pub fn whole(path: &Path) -> Self {
        Self { path: path.into(), lines: BTreeMap::new() }
    }

    /// Remembers the line of a key.
    pub(crate) fn mark(&mut self, key: String, line: usize) {
        self.lines.insert(key, line);
    }

    /// The line of a key; only the file if the line is not known.
    pub fn place(&self, key: &str) -> Place {
        Place { path: self.path.clone(), line: self.lines.get(key).copied() }
    }
}

impl Place {
    pub(crate) fn new(path: &Path, line: usize) -> Self {
        Self { path: path.into(), line: Some(line) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}
