//! A handler that records what it applied, in files that outlive its process.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use spin_kafka_trigger::{Batch, Failure, Handler, Position, Rejection};

/// Bytes of a line: two offsets, each with a blank or a line end after it.
const LINE: u64 = 42;

/// One file for each partition, one line for each batch. A line is written with one call, so that a
/// process that is killed leaves a complete line or none.
pub struct Journal {
    folder: PathBuf,
    /// Whether the end of the last line is the handler's position, so that the result and the
    /// position are stored with one write.
    pub keeps_position: bool,
}

impl Journal {
    pub fn new(folder: &Path, keeps_position: bool) -> Self {
        Self { folder: folder.into(), keeps_position }
    }

    fn open(&self, partition: i32) -> std::io::Result<File> {
        let path = self.folder.join(partition.to_string());
        File::options().read(true).append(true).create(true).open(path)
    }

    /// The batches that were applied to a partition, in the order of their application.
    pub fn batches(&self, partition: i32) -> Vec<(i64, i64)> {
        let mut text = String::new();
        self.open(partition).unwrap().read_to_string(&mut text).unwrap();
        let numbers = |line: &str| {
            let (start, end) = line.trim().split_once(' ').unwrap();
            (start.trim().parse().unwrap(), end.trim().parse().unwrap())
        };
        text.lines().map(numbers).collect()
    }

    /// The offset up to which every record of a partition was applied.
    pub fn covered(&self, partition: i32) -> i64 {
        let mut batches = self.batches(partition);
        batches.sort_unstable();
        batches.into_iter().fold(0, |to, (start, end)| if start <= to { to.max(end) } else { to })
    }
}

/// The end of the last line.
fn last_end(file: &mut File) -> std::io::Result<Option<i64>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-(LINE as i64 / 2)))?;
    let mut end = String::new();
    file.read_to_string(&mut end)?;
    Ok(end.trim().parse().ok())
}

impl Handler for Journal {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let mut file = self.open(batch.partition).unwrap();
        file.lock().unwrap();
        let mut start = batch.start;
        if self.keeps_position {
            let position = last_end(&mut file).unwrap().unwrap_or(start);
            if position < start {
                return Err(Failure::Rewind(position));
            }
            start = position;
        }
        if start < batch.end {
            let line = format!("{start:>20} {:>20}\n", batch.end);
            assert_eq!(line.len() as u64, LINE);
            file.write_all(line.as_bytes()).unwrap();
        }
        Ok(Vec::new())
    }

    async fn position(
        &self,
        _: &str,
        _: &str,
        _: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        if !self.keeps_position {
            return Ok(Position::Committed);
        }
        let mut file = self.open(partition).unwrap();
        file.lock().unwrap();
        Ok(last_end(&mut file).unwrap().map_or(Position::Start, Position::At))
    }
}
