//! The text of the manifest that is being read, for errors with line numbers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use toml::Spanned;

use crate::Error;
use crate::app::Source;
use crate::origin::{Origin, Place};

pub(super) struct Reader<'a> {
    pub path: &'a Path,
    pub origin: Origin,
    /// The offsets at which lines begin.
    lines: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub fn new(path: &'a Path, text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_breaks).collect();
        Self { path, origin: Origin::whole(path), lines }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|begin| *begin <= span.start)
    }

    /// An error at this place; at the first line if the place is not known.
    pub fn error(&self, span: Option<Range<usize>>, message: String) -> Error {
        let line = span.map_or(1, |span| self.line(&span));
        Error::Manifest { place: Place::new(self.path, line), message }
    }

    /// The error that the parser found.
    pub fn syntax(&self, error: &toml::de::Error) -> Error {
        self.error(error.span(), error.message().into())
    }

    /// Remembers the line at which a key is set.
    pub fn mark(&mut self, key: String, span: &Range<usize>) {
        let line = self.line(span);
        self.origin.mark(key, line);
    }

    /// Returns the list and remembers its line.
    pub fn marked<T>(&mut self, id: &str, key: &str, list: Option<Spanned<Vec<T>>>) -> Vec<T> {
        list.map(|list| {
            self.mark(format!("component.{id}.{key}"), &list.span());
            list.into_inner()
        })
        .unwrap_or_default()
    }

    /// The manifest's folder.
    pub fn folder(&self) -> PathBuf {
        absolute(&self.path.parent().unwrap_or(Path::new("")).join("."))
    }

    /// The file at a path that is relative to the manifest's folder.
    pub fn file(&self, path: &Path) -> Source {
        Source::file(&absolute(&self.path.parent().unwrap_or(Path::new("")).join(path)))
    }

    pub fn json<T: Serialize>(&self, value: T) -> Result<Value, Error> {
        serde_json::to_value(value).map_err(|e| self.error(None, e.to_string()))
    }

    pub fn table(&self, table: toml::Table) -> Result<Map<String, Value>, Error> {
        table.into_iter().map(|(key, value)| Ok((key, self.json(value)?))).collect()
    }
}

/// Makes the path absolute. That fails only for an empty path, or in a current folder that no
/// longer exists.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}
