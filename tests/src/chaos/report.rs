//! The table of the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::episode::Outcome;
use super::fault::Fault;

/// The page around the table.
const PAGE: &str = include_str!("delivery.md");

/// All episodes of a run.
#[derive(Default)]
pub struct Report {
    rows: BTreeMap<Fault, Row>,
}

#[derive(Default)]
struct Row {
    accepted: u64,
    lost: u64,
    doubled: u64,
    recoveries: Vec<Duration>,
}

impl Report {
    /// Adds an episode.
    pub fn enter(&mut self, outcome: &Outcome) {
        let row = self.rows.entry(outcome.fault).or_default();
        row.accepted += outcome.passed.accepted;
        row.lost += outcome.verdict.lost;
        row.doubled += outcome.verdict.doubled;
        row.recoveries.push(outcome.passed.recovery);
    }

    /// Number of episodes, and of accepted, lost and doubled sales.
    pub fn totals(&self) -> (usize, u64, u64, u64) {
        self.rows.values().fold((0, 0, 0, 0), |(times, accepted, lost, doubled), row| {
            let times = times + row.recoveries.len();
            (times, accepted + row.accepted, lost + row.lost, doubled + row.doubled)
        })
    }

    /// The page with the table; `run` describes the run.
    pub fn page(&self, run: &str) -> String {
        PAGE.replace("{run}", run).replace("{table}\n", &self.table())
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| fault | times | accepted | lost | doubled | s to recover: median, most | \
             the design this descends from |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (fault, row) in &self.rows {
            let mut recoveries = row.recoveries.clone();
            recoveries.sort_unstable();
            let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {:.1}, {:.1} | {} |",
                fault.describe(),
                recoveries.len(),
                row.accepted,
                row.lost,
                row.doubled,
                seconds(recoveries.get(recoveries.len() / 2)),
                seconds(recoveries.last()),
                fault.before(),
            );
        }
        let (times, accepted, lost, doubled) = self.totals();
        let _ = writeln!(table, "| all | {times} | {accepted} | {lost} | {doubled} | | |");
        table
    }
}
