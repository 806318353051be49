//! The output of the component under test.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// The most bytes of output that are kept for a record and a stream.
const OUTPUT_BYTES_MAX: u64 = 2_048;
/// The most records whose output is kept.
const RECORDS_MAX: usize = 1_000;

/// The files with the output of a component, and the output for single records.
pub struct ComponentOutput {
    folder: TempDir,
    noted: Mutex<HashMap<(i32, i64), String>>,
}

/// The sizes of the files at one point in time.
pub struct Mark(Vec<(PathBuf, u64)>);

impl ComponentOutput {
    pub fn new() -> Result<Self> {
        let folder = TempDir::new().context("no folder for the component's output")?;
        Ok(Self { folder, noted: Mutex::default() })
    }

    /// The folder for the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The current end of the output.
    pub fn mark(&self) -> Mark {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let sized = files.filter_map(|file| Some((file.path(), file.metadata().ok()?.len())));
        let mut sized: Vec<_> = sized.collect();
        sized.sort_unstable();
        Mark(sized)
    }

    /// Keeps the output since `before` for a record, and drops what was kept for it earlier.
    pub fn note(&self, at: (i32, i64), before: Mark) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < RECORDS_MAX || noted.contains_key(&at) {
            let output: String =
                before.0.iter().filter_map(|(path, from)| since(path, *from)).collect();
            noted.insert(at, output);
        }
    }

    /// The output for a record, if there is any.
    pub fn of(&self, partition: i32, offset: i64) -> Option<String> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(&(partition, offset)).filter(|output| !output.is_empty()).cloned()
    }
}

/// The content of a file after an offset. The output is only additional information, so an error is
/// not reported.
fn since(path: &Path, from: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_output_for_a_record_is_kept() {
        let output = ComponentOutput::new().unwrap();
        let file = output.folder().join("a_stderr.txt");
        std::fs::write(&file, "before ").unwrap();
        let first = output.mark();
        std::fs::write(&file, "before first ").unwrap();
        output.note((0, 7), first);
        let second = output.mark();
        std::fs::write(&file, format!("before first {}", "x".repeat(5_000))).unwrap();
        output.note((0, 7), second);
        assert_eq!(output.of(0, 7), Some("x".repeat(2_048)));
        assert_eq!(output.of(1, 7), None);
    }
}
