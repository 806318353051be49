//! The table of the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::books::Tally;
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
    sales: Tally,
    texts: u64,
    windows: Tally,
    recoveries: Vec<Duration>,
}

impl Report {
    /// Adds an episode.
    pub fn enter(&mut self, outcome: &Outcome) {
        let row = self.rows.entry(outcome.fault).or_default();
        row.accepted += outcome.passed.accepted;
        row.sales += outcome.verdict.sales;
        row.texts += outcome.passed.texts;
        row.windows += outcome.verdict.texts;
        row.recoveries.push(outcome.passed.recovery);
    }

    /// The page with the table; `run` describes the run.
    pub fn page(&self, run: &str) -> String {
        PAGE.replace("{run}", run).replace("{table}\n", &self.table())
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| fault | times | sales accepted | lost | doubled | texts | lost | doubled | \
             s to recover: median, most | the design this descends from |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        let mut all = Row::default();
        for (fault, row) in &self.rows {
            all.add(row);
            let mut recoveries = row.recoveries.clone();
            recoveries.sort_unstable();
            let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} | {:.1}, {:.1} | {} |",
                fault.describe(),
                row.counts(),
                seconds(recoveries.get(recoveries.len() / 2)),
                seconds(recoveries.last()),
                fault.before(),
            );
        }
        let _ = writeln!(table, "| all | {} | | |", all.counts());
        table
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.sales += other.sales;
        self.texts += other.texts;
        self.windows += other.windows;
        self.recoveries.extend(&other.recoveries);
    }

    /// The columns with numbers of episodes and records.
    fn counts(&self) -> String {
        let Self { accepted, sales, texts, windows, recoveries } = self;
        let times = recoveries.len();
        let tally = |Tally { lost, doubled }: &Tally| format!("{lost} | {doubled}");
        format!("{times} | {accepted} | {} | {texts} | {}", tally(sales), tally(windows))
    }
}
