//! Applies the records of a batch.

use std::collections::BTreeMap;

use spin_kafka_state::{Read, State};

use crate::progress::{Judgement, PROGRESS_KEY, Progress};
use crate::sessions::{SessionLimits, Sessions, sessions_key};
use crate::settings::{Kind, Late, Policy, Settings};
use crate::window::WindowKey;
use crate::windows::Entry;
use crate::{Error, RecordError, Windows};

/// The key of the hash with the numbers of late records.
const LATE_KEY: &str = "late";

/// A record that is refused because of the records before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The offset of the record.
    pub offset: i64,
    /// The reason, for the operator.
    pub reason: String,
}

/// Records of a batch that are being applied. Pass all of them to [`add`](Self::add) in the order of
/// their offsets, then call [`finish`](Self::finish).
#[derive(Debug)]
pub struct Pass<'a> {
    windows: &'a Windows,
    progress_field: String,
    progress: Progress,
    accepted: Vec<Accepted>,
    /// Records that were refused, before and now.
    refused: Vec<i64>,
    late: LateCounts,
}

#[derive(Debug)]
struct Accepted {
    offset: i64,
    entry: Entry,
    /// The starts of the windows that accept the record.
    starts: Vec<i64>,
}

/// What [`Pass::apply`] returns.
struct Outcome {
    refused: Vec<Refused>,
    progress: Vec<u8>,
    /// The new sessions of each group.
    sessions: BTreeMap<Vec<u8>, Sessions>,
}

/// Number of late records, and of windows that left out a record which others accepted.
#[derive(Debug, Default)]
struct LateCounts {
    records: i64,
    windows: i64,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(windows: &'a Windows, progress_field: String, progress: Progress) -> Self {
        let (accepted, refused, late) = (Vec::new(), Vec::new(), LateCounts::default());
        Self { windows, progress_field, progress, accepted, refused, late }
    }

    /// Adds a record. An error means that the record is rejected, and depends only on the record.
    pub fn add(&mut self, offset: i64, entry: Entry) -> Result<(), RecordError> {
        let kind = self.settings().window;
        entry.window.check(kind.overlap())?;
        let mut starts = kind.starts(entry.time_ms);
        match self.progress.judgement(offset) {
            Judgement::Refused => {
                self.refused.push(offset);
                return Ok(());
            }
            Judgement::Accepted => {}
            Judgement::New => {
                let watermark = self.watermark_ms();
                self.progress.advance_time(entry.time_ms);
                if let Some(watermark) = watermark {
                    let is_open = |start_ms: i64| start_ms + kind.length_ms() > watermark;
                    let windows = starts.len();
                    starts.retain(|start| is_open(*start));
                    let is_late = match kind {
                        Kind::Session { .. } => !is_open(entry.time_ms),
                        Kind::Tumbling { .. } | Kind::Sliding { .. } => starts.is_empty(),
                    };
                    if is_late {
                        self.refuse(offset);
                        return Ok(());
                    }
                    self.late.add_windows(windows - starts.len());
                }
            }
        }
        self.accepted.push(Accepted { offset, entry, starts });
        Ok(())
    }

    /// The sessions that [`finish`](Self::finish) needs. None for other windows.
    pub fn reads(&self) -> Vec<Read> {
        self.session_groups().into_iter().map(|group| Read::value(sessions_key(group))).collect()
    }

    /// Makes the changes of all records. `kept_from` is the start of the batch as it was handed over,
    /// and `end` is its end. `sessions` are the values of [`reads`](Self::reads). Returns the records
    /// that are rejected because of the records before them.
    pub fn finish(
        self,
        state: &mut State,
        kept_from: i64,
        end: i64,
        sessions: &[Option<Vec<u8>>],
    ) -> Result<Vec<Refused>, Error> {
        let (field, limits) = (self.progress_field.clone(), self.session_limits());
        let Outcome { refused, progress, sessions } =
            self.apply(state, kept_from, end, sessions)?;
        if let Some(limits) = limits {
            sessions.iter().for_each(|(group, sessions)| sessions.store(group, limits, state));
        }
        state.hash(PROGRESS_KEY).set(field, progress);
        Ok(refused)
    }

    /// Makes the changes except those of sessions and of the progress, which are returned.
    fn apply(
        mut self,
        state: &mut State,
        kept_from: i64,
        end: i64,
        sessions: &[Option<Vec<u8>>],
    ) -> Result<Outcome, Error> {
        let sessions = match self.session_limits() {
            Some(limits) => self.add_to_sessions(limits, sessions)?,
            None => {
                self.add_to_windows(state);
                BTreeMap::new()
            }
        };
        for (field, count) in [("records", self.late.records), ("windows", self.late.windows)] {
            if count > 0 {
                state.hash(LATE_KEY).increment(field, count);
            }
        }
        let rejects = self.settings().late.is_none_or(|late| late.policy == Policy::Reject);
        if !rejects {
            self.refused.clear();
        }
        let progress = self.progress.encode(kept_from, end, &self.refused);
        self.refused.sort_unstable();
        let refused = self.refused.iter().map(|offset| self.refusal(*offset)).collect();
        Ok(Outcome { refused, progress, sessions })
    }

    fn settings(&self) -> &'a Settings {
        &self.windows.settings
    }

    fn session_limits(&self) -> Option<SessionLimits> {
        let Settings { window, retention_s, .. } = self.settings();
        let Kind::Session { gap_s, sessions_max } = *window else { return None };
        Some(SessionLimits { gap_ms: gap_s.ms(), sessions_max, retention_ms: retention_s.ms() })
    }

    /// Windows that end at or before this time are closed. `None` if all are open.
    fn watermark_ms(&self) -> Option<i64> {
        let Late { out_of_orderness_s, lateness_s, .. } = self.settings().late?;
        Some(self.progress.newest_ms()? - out_of_orderness_s.ms() - lateness_s.ms())
    }

    fn refuse(&mut self, offset: i64) {
        self.late.records += 1;
        self.refused.push(offset);
    }

    fn refusal(&self, offset: i64) -> Refused {
        let reason = match self.settings().window {
            Kind::Session { .. } => {
                "the record is late: no session that is still kept can contain its event time"
            }
            Kind::Tumbling { .. } | Kind::Sliding { .. } => {
                "the record is late: all windows of its event time are closed"
            }
        };
        Refused { offset, reason: reason.into() }
    }

    fn add_to_windows(&self, state: &mut State) {
        let Settings { window, retention_s, .. } = self.settings();
        let kept_ms = window.length_ms() + retention_s.ms();
        for Accepted { entry, starts, .. } in &self.accepted {
            for start_ms in starts {
                for (group, additions) in &entry.window.groups {
                    for (aggregate, addition) in additions {
                        let key = WindowKey { aggregate, start_ms: *start_ms };
                        addition.apply(state, &key, group, start_ms + kept_ms);
                    }
                }
            }
        }
    }

    /// The groups whose sessions may change, in a fixed order.
    fn session_groups(&self) -> Vec<&[u8]> {
        if !matches!(self.settings().window, Kind::Session { .. }) {
            return Vec::new();
        }
        let groups = self.accepted.iter().flat_map(|it| it.entry.window.groups.keys());
        let mut groups: Vec<&[u8]> = groups.map(Vec::as_slice).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn add_to_sessions(
        &mut self,
        limits: SessionLimits,
        stored: &[Option<Vec<u8>>],
    ) -> Result<BTreeMap<Vec<u8>, Sessions>, Error> {
        let groups = self.session_groups().into_iter().zip(stored);
        let restored = groups.map(|(group, stored)| {
            Ok((group.to_vec(), Sessions::restore(group, stored.as_deref())?))
        });
        let mut sessions = restored.collect::<Result<BTreeMap<_, _>, Error>>()?;
        for Accepted { offset, entry, .. } in std::mem::take(&mut self.accepted) {
            let (mut accepted, mut refused) = (false, 0);
            for (group, additions) in &entry.window.groups {
                let sessions = sessions.entry(group.clone()).or_default();
                match sessions.add(entry.time_ms, additions, limits)? {
                    true => accepted = true,
                    false => refused += 1,
                }
            }
            // A record that was accepted before stays accepted, although later records may have
            // removed its session.
            let is_new = self.progress.judgement(offset) == Judgement::New;
            if refused > 0 && !accepted && is_new {
                self.refuse(offset);
            } else {
                self.late.add_windows(refused);
            }
        }
        Ok(sessions)
    }
}

impl LateCounts {
    fn add_windows(&mut self, count: usize) {
        self.windows += i64::try_from(count).unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::Log;
    use crate::record::TestRecord;

    const LATE: &str = "late = { out_of_orderness_s = 20, lateness_s = 10, policy = 'reject' }";

    const LOG: Log<'_> = Log { group: "g", topic: "t", log_id: "a", partition: 3 };

    fn windows(window: &str, late: &str) -> Windows {
        Windows::parse(&format!(
            "name = 'n'\nretention_s = 600\nwindow = {{ {window} }}\n{late}\ngroup = 'key'\n\
             [aggregates]\nrecords = {{ kind = 'count' }}\n"
        ))
        .unwrap()
    }

    fn record(second: i64) -> TestRecord {
        let group = if second % 3 == 0 { "a" } else { "b" };
        TestRecord {
            timestamp_ms: Some(second * 1_000),
            key: Some(group.into()),
            ..TestRecord::default()
        }
    }

    /// What is stored between two runs.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Store {
        progress: Option<Vec<u8>>,
        /// By key.
        sessions: BTreeMap<Vec<u8>, Vec<u8>>,
    }

    /// Runs the windows on records of a log, and returns the refused ones. Stores the results.
    fn run(
        windows: &Windows,
        log: &[TestRecord],
        offsets: Range<usize>,
        kept_from: usize,
        store: &mut Store,
        state: &mut State,
    ) -> Vec<usize> {
        let mut pass = windows.begin(&LOG, store.progress.as_deref()).unwrap();
        for offset in offsets.clone() {
            let entry = windows.entry(&log[offset]).unwrap();
            pass.add(offset as i64, entry).unwrap();
        }
        let keys = pass.session_groups().into_iter().map(sessions_key);
        let sessions: Vec<_> = keys.map(|key| store.sessions.get(&key).cloned()).collect();
        let Outcome { refused, progress, sessions } =
            pass.apply(state, kept_from as i64, offsets.end as i64, &sessions).unwrap();
        store.progress = Some(progress);
        for (group, sessions) in sessions {
            store.sessions.insert(sessions_key(&group), serde_json::to_vec(&sessions).unwrap());
        }
        refused.iter().map(|refused| refused.offset as usize).collect()
    }

    /// Runs the windows on a log that is divided into batches of these sizes, some of which are
    /// handed over again after a crash. Returns what is stored, and the records with dead letters.
    fn run_in_batches(
        windows: &Windows,
        log: &[TestRecord],
        sizes: impl IntoIterator<Item = (usize, bool)>,
    ) -> (State, Store, Vec<usize>) {
        let (mut state, mut store, mut position) = (State::default(), Store::default(), 0);
        let (mut letters, mut from, mut sizes) = (Vec::new(), 0, sizes.into_iter());
        while from < log.len() {
            let (size, crashes) = sizes.next().unwrap_or((usize::MAX, false));
            let end = from.saturating_add(size).min(log.len());
            // The function runs on all records. If some of them were applied before, only their
            // rejections matter, and it runs again on the others.
            let mut unused = store.clone();
            let mut refused =
                run(windows, log, from..end, from, &mut unused, &mut State::default());
            if position < end {
                refused.retain(|offset| *offset < position);
                refused.extend(run(windows, log, position..end, from, &mut store, &mut state));
                position = end;
            }
            // After a crash the dead letters are not written, and the batch is handed over again.
            if !crashes {
                letters.extend(refused);
                from = end;
            }
        }
        (state, store, letters)
    }

    /// The changes and the refused records, computed one record after the other.
    fn recount(log: &[TestRecord], size: i64, hop: i64, late: Option<i64>) -> (State, Vec<usize>) {
        let (mut state, mut refused, mut newest) = (State::default(), Vec::new(), i64::MIN);
        for (offset, record) in log.iter().enumerate() {
            let time = record.timestamp_ms.unwrap() / 1_000;
            let all = (time - size + 1..=time).filter(|start| start.rem_euclid(hop) == 0);
            let watermark = late.map_or(i64::MIN, |late| newest.saturating_sub(late));
            let open: Vec<i64> = all.clone().filter(|start| start + size > watermark).collect();
            newest = newest.max(time);
            if open.is_empty() {
                refused.push(offset);
                state.hash("late").increment("records", 1);
            } else if open.len() < all.clone().count() {
                let left_out = all.count() - open.len();
                state.hash("late").increment("windows", left_out as i64);
            }
            for start in open {
                let key = format!("records:{start}");
                state.hash(&key).increment(record.key.as_ref().unwrap(), 1);
                state.expire_at(&key, (start + size + 600) * 1_000);
            }
        }
        (state, refused)
    }

    proptest! {
        /// However a log is divided into batches, and however often they are handed over again, the
        /// same records are counted once, and the same ones are refused.
        #[test]
        fn the_same_log_has_the_same_result(
            seconds in prop::collection::vec(60..300_i64, 1..60),
            sizes in prop::collection::vec((1..12_usize, any::<bool>()), 200),
            (window, size, hop) in prop::sample::select(vec![
                ("kind = 'tumbling', size_s = 60", 60, 60),
                ("kind = 'sliding', size_s = 60, hop_s = 20", 60, 20),
            ]),
        ) {
            let log: Vec<TestRecord> = seconds.into_iter().map(record).collect();
            let windows = windows(window, LATE);
            let (state, _, letters) = run_in_batches(&windows, &log, sizes);
            let (expected, refused) = recount(&log, size, hop, Some(30));
            prop_assert_eq!(state, expected);
            prop_assert_eq!(letters, refused);
        }

        /// The same for sessions, of which only the newest are kept.
        #[test]
        fn the_same_log_has_the_same_sessions(
            seconds in prop::collection::vec(60..300_i64, 1..60),
            sizes in prop::collection::vec((1..12_usize, any::<bool>()), 200),
        ) {
            let log: Vec<TestRecord> = seconds.into_iter().map(record).collect();
            let windows = windows("kind = 'session', gap_s = 5, sessions_max = 2", LATE);
            let (state, store, letters) = run_in_batches(&windows, &log, sizes);
            let (expected, one_by_one, refused) =
                run_in_batches(&windows, &log, log.iter().map(|_| (1, false)));
            prop_assert_eq!(state, expected);
            prop_assert_eq!(store.sessions, one_by_one.sessions);
            prop_assert_eq!(letters, refused);
        }
    }

    /// A batch whose records all repeat earlier ones has no records in its second run.
    #[test]
    fn a_repetition_that_is_handed_over_again_is_not_late() {
        let log: Vec<TestRecord> = [500, 100].into_iter().map(record).collect();
        let windows = windows("kind = 'tumbling', size_s = 60", LATE);
        let (mut store, mut state) = (Store::default(), State::default());
        assert_eq!(run(&windows, &log, 0..1, 0, &mut store, &mut state), [0; 0]);
        let mut unused = store.clone();
        let first_run = run(&windows, &log, 1..2, 1, &mut unused, &mut State::default());
        assert_eq!(first_run, [1], "it is not known yet that it is a repetition");
        assert_eq!(run(&windows, &log, 2..2, 1, &mut store, &mut state), [0; 0]);
        assert_eq!(run(&windows, &log, 1..2, 1, &mut store, &mut State::default()), [0; 0]);
    }

    #[test]
    fn without_settings_for_late_records_none_is_late() {
        let log: Vec<TestRecord> = [500, 0, 60].into_iter().map(record).collect();
        let windows = windows("kind = 'tumbling', size_s = 60", "");
        let mut state = State::default();
        assert_eq!(run(&windows, &log, 0..3, 0, &mut Store::default(), &mut state), [0; 0]);
        assert_eq!(state, recount(&log, 60, 60, None).0);
    }

    #[test]
    fn late_records_are_counted_without_a_rejection_if_the_policy_says_so() {
        let log: Vec<TestRecord> = [500, 0].into_iter().map(record).collect();
        let windows = windows("kind = 'tumbling', size_s = 60", "late = { policy = 'count' }");
        let (mut state, mut store) = (State::default(), Store::default());
        assert_eq!(run(&windows, &log, 0..2, 0, &mut store, &mut state), [0; 0]);
        assert_eq!(state, recount(&log, 60, 60, Some(0)).0, "it is counted as late");
        let text = String::from_utf8(store.progress.unwrap()).unwrap();
        assert!(text.ends_with(r#""next":2,"newest_ms":500000,"refused":[]}"#), "{text}");
    }

    #[test]
    fn a_session_that_is_too_late_is_refused() {
        let log: Vec<TestRecord> = [500, 100, 440].into_iter().map(record).collect();
        let late = "late = { out_of_orderness_s = 60, policy = 'reject' }";
        let windows = windows("kind = 'session', gap_s = 10", late);
        let mut state = State::default();
        assert_eq!(run(&windows, &log, 0..3, 0, &mut Store::default(), &mut state), [1]);
    }

    #[test]
    fn progress_of_another_log_is_ignored_and_that_of_other_settings_is_an_error() {
        let windows_of = |size| windows(&format!("kind = 'tumbling', size_s = {size}"), "");
        let windows = windows_of(60);
        let log = [record(100)];
        let mut store = Store::default();
        run(&windows, &log, 0..1, 0, &mut store, &mut State::default());
        let progress = store.progress.unwrap();
        let begin = |log, windows: &Windows| {
            windows.begin(&log, Some(&progress)).map(|pass| pass.progress.newest_ms())
        };
        assert_eq!(begin(LOG, &windows), Ok(Some(100_000)));
        assert_eq!(begin(Log { log_id: "", ..LOG }, &windows), Ok(Some(100_000)));
        assert_eq!(begin(Log { log_id: "b", ..LOG }, &windows), Ok(None));
        assert_eq!(begin(LOG, &windows_of(30)), Err(Error::SettingsChanged));
        let error = windows.begin(&LOG, Some(b"x")).map(drop).unwrap_err();
        assert_eq!(error, Error::Stored("progress g:t:3".into()));
    }

    #[test]
    fn a_record_with_too_many_additions_is_refused() {
        let windows = windows("kind = 'sliding', size_s = 60, hop_s = 10", "");
        let mut pass = windows.begin(&LOG, None).unwrap();
        let with = |count: usize| {
            let mut entry = windows.entry(&record(60)).unwrap();
            (0..count).for_each(|_| entry.window.count("more", 1));
            entry
        };
        assert_eq!(pass.add(0, with(crate::ADDITIONS_MAX / 6 - 1)), Ok(()));
        let error = pass.add(1, with(crate::ADDITIONS_MAX / 6)).unwrap_err();
        assert_eq!(error, RecordError::TooManyAdditions);
    }

    #[test]
    fn a_wrong_name_of_an_aggregate_rejects_the_record() {
        let windows = windows("kind = 'tumbling', size_s = 60", "");
        let mut pass = windows.begin(&LOG, None).unwrap();
        for (name, shown) in [("a:b", "a:b"), ("", ""), (&"x".repeat(101), &"x".repeat(100))] {
            let mut entry = windows.entry(&record(60)).unwrap();
            entry.window.count(name, 1);
            assert_eq!(pass.add(0, entry), Err(RecordError::Name(shown.into())));
        }
    }
}
