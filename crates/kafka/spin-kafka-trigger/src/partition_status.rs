//! The progress of one partition.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The progress of one partition at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionProgress {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Number of offsets from the position up to the end of the log. It includes transaction
    /// markers and the records after the start of an open transaction.
    pub lag: u64,
    /// Age of the oldest record that is not applied yet, by its timestamp. `None` if no such record
    /// has been read.
    pub oldest: Option<Duration>,
    /// For how long there have been records to read and none was applied; `None` if that is shorter
    /// than `Config::stalled_after`.
    pub stalled_for: Option<Duration>,
}

/// The state of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionStatus(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The next offset to apply.
    position: i64,
    /// The offset up to which the log can be read: its end, or the start of an open transaction.
    readable: i64,
    /// The log's end.
    end: i64,
    /// When the log's end was last updated.
    updated: Option<Instant>,
    /// Since when there have been records to read and none was applied.
    waiting_since: Option<Instant>,
    /// Timestamp of the first record that was read and is not applied yet.
    oldest_ms: Option<i64>,
}

impl State {
    fn move_to(&mut self, position: i64) {
        self.position = position;
        self.oldest_ms = None;
    }
}

impl PartitionStatus {
    /// Everything before `position` is applied.
    pub fn advance(&self, position: i64) {
        let mut state = self.lock();
        state.move_to(position);
        state.waiting_since = (state.readable > position).then(Instant::now);
    }

    /// Reading begins at `position`. This does not count as progress: otherwise a partition that
    /// restarts again and again would never count as stalled.
    pub fn begin_at(&self, position: i64) {
        let mut state = self.lock();
        state.move_to(position);
        if state.readable > position {
            state.waiting_since.get_or_insert_with(Instant::now);
        } else {
            state.waiting_since = None;
        }
    }

    /// Notes that the log can be read up to `readable` and ends at `end`.
    pub fn set_log_end(&self, readable: i64, end: i64) {
        let mut state = self.lock();
        state.readable = readable;
        state.end = end;
        state.updated = Some(Instant::now());
        if readable <= state.position {
            state.waiting_since = None;
        } else {
            state.waiting_since.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that records were read that are not applied yet, and the timestamp of the first one.
    /// The log ends at `end`, if that is known.
    pub fn set_oldest_pending(&self, timestamp_ms: Option<i64>, end: Option<i64>) {
        let mut state = self.lock();
        state.oldest_ms = timestamp_ms;
        state.waiting_since.get_or_insert_with(Instant::now);
        if let Some(end) = end {
            state.end = end;
            state.updated = Some(Instant::now());
        }
    }

    /// Whether the end of the log was updated at this time or later. An end that was never
    /// updated is not.
    pub fn is_updated_since(&self, since: Instant) -> bool {
        self.lock().updated >= Some(since)
    }

    pub fn progress(
        &self,
        topic: Arc<str>,
        partition: i32,
        stalled_after: Duration,
    ) -> PartitionProgress {
        let state = self.lock();
        let waiting = state.waiting_since.map(|since| since.elapsed());
        PartitionProgress {
            topic,
            partition,
            lag: u64::try_from(state.end.max(state.readable).saturating_sub(state.position))
                .unwrap_or(0),
            oldest: state.oldest_ms.map(age),
            stalled_for: waiting.filter(|waiting| *waiting >= stalled_after),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age(timestamp_ms: i64) -> Duration {
    let written = UNIX_EPOCH + Duration::from_millis(u64::try_from(timestamp_ms).unwrap_or(0));
    SystemTime::now().duration_since(written).unwrap_or_default()
}
