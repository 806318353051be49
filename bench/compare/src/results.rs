//! The results of a measurement: the figures of every turn, and what they say together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::args::Args;
use crate::statistics::Spread;
use crate::table;

/// The folder of the results.
const FOLDER: &str = "target/bench/results";

/// The figures of a turn, by name. The name ends with the unit.
pub type Figures = BTreeMap<String, f64>;

/// What is measured, and how it is presented.
#[derive(Debug, Clone, Serialize)]
pub struct Design {
    /// The name of the files with the results.
    pub name: &'static str,
    /// What the figures are about.
    pub title: &'static str,
    /// The contender to which ratios refer.
    pub base: &'static str,
    /// What varies beside the contender, if it is a number.
    pub x_axis: Option<&'static str>,
    /// The figures in the table and in the image.
    pub columns: &'static [Column],
}

/// A figure in the table and in the image.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Column {
    /// Its name in [`Figures`].
    pub figure: &'static str,
    /// What the reader sees, with the unit.
    pub heading: &'static str,
    /// Whether its ratio to the base is shown, too.
    pub ratio: bool,
}

impl Column {
    /// A figure without a ratio.
    pub const fn new(figure: &'static str, heading: &'static str) -> Self {
        Self { figure, heading, ratio: false }
    }

    /// A figure that is also shown as a ratio to the base.
    pub const fn with_ratio(figure: &'static str, heading: &'static str) -> Self {
        Self { figure, heading, ratio: true }
    }
}

/// What varies beside the contender, such as the number of connections.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// What the reader sees.
    pub label: String,
    /// The value, if it is a number.
    pub x: Option<f64>,
}

impl Case {
    /// A number of things.
    pub fn number(x: impl Into<f64>, things: &str) -> Self {
        let x = x.into();
        let things = if x == 1.0 { things.trim_end_matches('s') } else { things };
        Self { label: format!("{x} {things}"), x: Some(x) }
    }

    /// A case that is not a number.
    pub fn named(label: impl Into<String>) -> Self {
        Self { label: label.into(), x: None }
    }
}

/// The figures of one contender in one case of one round.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The round, from 1.
    pub round: u32,
    /// The contender.
    pub contender: String,
    /// What else varies.
    pub case: Case,
    /// The figures.
    pub figures: Figures,
}

/// All rounds of one contender in one case.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// The contender.
    pub contender: String,
    /// The figures.
    pub figures: BTreeMap<String, Spread>,
    /// Their ratios to those of the base in the same round. Times have none if requests failed in
    /// one of the two turns: they include failures, and a refusal is fast.
    pub ratios: BTreeMap<String, Spread>,
}

/// The machine, without which the figures have no meaning.
#[derive(Debug, Clone, Serialize)]
struct Machine {
    processors: usize,
    memory_mib: u64,
    kernel: String,
}

/// The content of the JSON file.
#[derive(Debug, Clone, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    design: &'a Design,
    rounds: u32,
    seconds: u64,
    machine: Machine,
    rows: &'a [Row],
    samples: &'a [Sample],
}

/// Makes a table of the results of this number of rounds.
pub type Table = fn(&Design, u32, &[Row]) -> String;

/// Writes the results as JSON and as a table, and prints the table.
pub fn write(design: &Design, args: &Args, samples: &[Sample]) -> Result<()> {
    write_as(table::markdown, design, args, samples)
}

/// The same with another table.
pub fn write_as(table: Table, design: &Design, args: &Args, samples: &[Sample]) -> Result<()> {
    let rows = summarize(design, samples);
    let report = Report {
        design,
        rounds: args.rounds,
        seconds: args.seconds,
        machine: machine()?,
        rows: &rows,
        samples,
    };
    let table = table(design, args.rounds, &rows);
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot create {FOLDER}"))?;
    let file = |extension: &str| Path::new(FOLDER).join(format!("{}.{extension}", design.name));
    for (path, content) in [
        (file("json"), serde_json::to_vec_pretty(&report)?),
        (file("md"), table.clone().into_bytes()),
    ] {
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(printing::result(table)?)
}

/// One row for each case and contender, in the order in which they first appear, by cases.
fn summarize(design: &Design, samples: &[Sample]) -> Vec<Row> {
    let (mut cases, mut contenders) = (Vec::new(), Vec::new());
    for sample in samples {
        if !cases.contains(&&sample.case) {
            cases.push(&sample.case);
        }
        if !contenders.contains(&&sample.contender) {
            contenders.push(&sample.contender);
        }
    }
    let pairs = cases.iter().flat_map(|case| contenders.iter().map(move |c| (*case, *c)));
    pairs.filter_map(|(case, contender)| row(design, samples, case, contender)).collect()
}

fn row(design: &Design, samples: &[Sample], case: &Case, contender: &str) -> Option<Row> {
    let turns = |contender: &str| -> Vec<&Sample> {
        samples.iter().filter(|s| s.case == *case && s.contender == contender).collect()
    };
    let (own, base) = (turns(contender), turns(design.base));
    if own.is_empty() {
        return None;
    }
    // A turn may have no value for a figure.
    let names: BTreeSet<&String> = own.iter().flat_map(|turn| turn.figures.keys()).collect();
    let is_comparable = |name: &str, turn: &Sample| {
        !name.ends_with("_ms") || turn.figures.get("failed_share").is_none_or(|share| *share == 0.0)
    };
    let (mut figures, mut ratios) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        let values = own.iter().filter_map(|turn| turn.figures.get(name).copied());
        figures.extend(Spread::of(values).map(|spread| (name.clone(), spread)));
        let in_rounds = own.iter().filter(|turn| is_comparable(name, turn)).filter_map(|turn| {
            let others = base.iter().filter(|other| other.round == turn.round);
            let others = others.filter(|other| is_comparable(name, other));
            let other = Spread::of(others.filter_map(|other| other.figures.get(name).copied()))?;
            let ratio = turn.figures.get(name)? / other.median;
            ratio.is_finite().then_some(ratio)
        });
        ratios.extend(Spread::of(in_rounds).map(|spread| (name.clone(), spread)));
    }
    Some(Row { case: case.clone(), contender: contender.to_owned(), figures, ratios })
}

fn machine() -> Result<Machine> {
    let info = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's version")?;
    Ok(Machine {
        processors: std::thread::available_parallelism()?.get(),
        memory_mib: kib.context("/proc/meminfo has no MemTotal")? >> 10,
        kernel: kernel.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: Design = Design {
        name: "test",
        title: "a test",
        base: "native",
        x_axis: None,
        columns: &[Column::with_ratio("per_s", "sales/s"), Column::new("absent", "absent")],
    };

    fn sample(round: u32, contender: &str, per_s: f64) -> Sample {
        let figures = Figures::from([("per_s".into(), per_s)]);
        Sample { round, contender: contender.into(), case: Case::named("one"), figures }
    }

    #[test]
    fn ratios_are_within_a_round() {
        // The machine became ten times slower after the first round.
        let samples = [
            sample(1, "native", 1_000.0),
            sample(1, "fused", 500.0),
            sample(2, "fused", 60.0),
            sample(2, "native", 100.0),
            sample(3, "native", 100.0),
            sample(3, "fused", 70.0),
        ];
        let rows = summarize(&DESIGN, &samples);
        let names: Vec<_> = rows.iter().map(|row| row.contender.as_str()).collect();
        assert_eq!(names, ["native", "fused"]);
        let ratio = rows[1].ratios["per_s"];
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.6, 0.7));
        assert_eq!(rows[1].figures["per_s"].median, 70.0);
        let shown = table::markdown(&DESIGN, 3, &rows);
        assert!(
            shown.contains("| one | fused | 70.0 (60.0–500) | 0.600 (0.500–0.700) | – |"),
            "{shown}"
        );
    }

    #[test]
    fn a_figure_that_the_first_turn_lacks_is_shown() {
        let mut samples = [1, 2, 3].map(|round| sample(round, "native", 100.0));
        samples[0].figures.clear();
        samples[2].figures.insert("absent".into(), 5.0);
        let rows = summarize(&DESIGN, &samples);
        assert_eq!(rows[0].figures["per_s"].count, 2);
        let shown = table::markdown(&DESIGN, 3, &rows);
        assert!(
            shown.contains("| one | native | 100, n = 2 | 1.00, n = 2 | 5.00, n = 1 |"),
            "{shown}"
        );
    }

    #[test]
    fn two_contenders_are_shown_beside_each_other() {
        let samples = [sample(1, "native", 100.0), sample(1, "fused", 50.0)];
        let shown = table::beside(&DESIGN, 1, &summarize(&DESIGN, &samples));
        assert!(shown.contains("|  |  | native | fused | fused / native |"), "{shown}");
        assert!(shown.ends_with("---: |\n| one | sales/s | 100 | 50.0 | 0.500 |\n"), "{shown}");
    }

    #[test]
    fn times_with_failures_have_no_ratio() {
        let turn = |round, contender: &str, failed_share| {
            let mut sample = sample(round, contender, 100.0);
            sample.figures.extend([("p50_ms".into(), 2.0), ("failed_share".into(), failed_share)]);
            sample
        };
        let samples = [
            turn(1, "native", 0.0),
            turn(1, "fused", 0.0),
            turn(2, "native", 0.0),
            turn(2, "fused", 0.1),
            turn(3, "native", 0.1),
            turn(3, "fused", 0.0),
        ];
        let fused = &summarize(&DESIGN, &samples)[1];
        assert_eq!((fused.ratios["p50_ms"].count, fused.ratios["per_s"].count), (1, 3));
        assert_eq!(fused.figures["p50_ms"].count, 3);
    }

    #[test]
    fn a_base_of_zero_gives_no_ratio() {
        let rows = summarize(&DESIGN, &[sample(1, "native", 0.0), sample(1, "fused", 1.0)]);
        assert!(rows[1].ratios.is_empty());
    }
}
