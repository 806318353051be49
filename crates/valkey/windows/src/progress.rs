//! How far a partition was judged: its watermark, and the records that were refused.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A partition of one log, as it is read by one consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Identifies the log; empty if the broker reports no id.
    pub log_id: &'a str,
    /// The number of the partition.
    pub partition: i32,
}

impl Log<'_> {
    /// The field of the partition in the hash of all progress.
    pub(crate) fn field(&self) -> String {
        format!("{}:{}:{}", self.group, self.topic, self.partition)
    }
}

/// The key of the hash with the progress of all partitions.
pub(crate) const PROGRESS_KEY: &str = "progress";

/// The progress of a partition. It is stored together with the position, so the same records of a log
/// are late however often they are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Progress {
    /// Identifies the settings.
    settings: String,
    log_id: String,
    /// Records before this offset were judged.
    next: i64,
    /// The largest event time of the records before `next`.
    newest_ms: Option<i64>,
    /// The offsets of the judged records that were refused because of earlier records. They are kept
    /// while the records may be handed over again, because then they must be refused again: their
    /// dead letters may not have been written.
    refused: Vec<i64>,
}

/// How records before a batch judge a record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is judged now.
    New,
    /// It was accepted before.
    Accepted,
    /// It was refused before.
    Refused,
}

impl Progress {
    /// Parses the stored progress. Without one, and for another log, the progress begins.
    pub fn restore(stored: Option<&[u8]>, log: &Log<'_>, settings: String) -> Result<Self, Error> {
        let new = Self {
            settings,
            log_id: log.log_id.into(),
            next: 0,
            newest_ms: None,
            refused: Vec::new(),
        };
        let Some(stored) = stored else { return Ok(new) };
        let mut progress: Self = serde_json::from_slice(stored)
            .map_err(|_| Error::Stored(format!("{PROGRESS_KEY} {}", log.field())))?;
        if progress.settings != new.settings {
            return Err(Error::SettingsChanged);
        }
        let known = |id: &str| !id.is_empty();
        if known(&progress.log_id) && known(log.log_id) && progress.log_id != log.log_id {
            return Ok(new);
        }
        if known(log.log_id) {
            progress.log_id = new.log_id;
        }
        Ok(progress)
    }

    pub fn judgement(&self, offset: i64) -> Judgement {
        match offset < self.next {
            false => Judgement::New,
            true if self.refused.binary_search(&offset).is_ok() => Judgement::Refused,
            true => Judgement::Accepted,
        }
    }

    /// The largest event time of the records so far.
    pub fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    pub fn advance_time(&mut self, time_ms: i64) {
        self.newest_ms = self.newest_ms.max(Some(time_ms));
    }

    /// Stores that the records before `end` were judged, and which of them were refused. Records before
    /// `kept_from` are not handed over again, so it does not matter which of them were refused.
    pub fn encode(&mut self, kept_from: i64, end: i64, refused: &[i64]) -> Vec<u8> {
        self.next = end;
        self.refused.extend(refused);
        self.refused.retain(|offset| *offset >= kept_from);
        self.refused.sort_unstable();
        self.refused.dedup();
        // Numbers and texts can be encoded.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
