//! Runs the measurements, and draws their results.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::build;
use crate::plots::{draw, text};
use crate::profile::Profile;
use crate::run::{root, run};

/// The folder of the results.
const FOLDER: &str = "target/bench/results";

/// A measurement whose results are published.
struct Published {
    /// The page with its tables. The images are beside it.
    page: &'static str,
    /// The options that differ from the defaults of `bench`.
    options: &'static [(&'static str, &'static str)],
    /// The names of the tables in the page, and of the files with the results.
    results: &'static [&'static str],
}

const BROKERS: Published = Published {
    page: "docs/benchmarks/brokers.md",
    options: &[
        ("--rounds", "3"),
        ("--sales", "500000"),
        ("--rates", "200,1000,2000"),
        ("--seconds", "5"),
    ],
    results: &["brokers-speed", "brokers-latency", "brokers-faults"],
};

const GATEWAY: Published = Published {
    page: "docs/benchmarks/gateway.md",
    options: &[("--rounds", "1"), ("--seconds", "5")],
    results: &["gateway"],
};

/// The end of a table in a page. `<!-- NAME -->` is its beginning.
const TABLE_END: &str = "<!-- end -->";

/// Measures the brokers, and replaces the tables and images of their page.
pub fn compare_brokers(args: &[String]) -> Result<()> {
    publish(&BROKERS, args)
}

/// Measures the gateway, and replaces the table and the image of its page.
pub fn compare_gateway(args: &[String]) -> Result<()> {
    publish(&GATEWAY, args)
}

fn publish(published: &Published, args: &[String]) -> Result<()> {
    let has = |option: &str| args.iter().any(|arg| arg.split('=').next() == Some(option));
    let mut all = args.to_vec();
    // `--short` has values of its own.
    if !has("--short") {
        for (option, value) in published.options.iter().filter(|(option, _)| !has(option)) {
            all.extend([(*option).to_owned(), (*value).to_owned()]);
        }
    }
    measure_and_draw(&all)?;
    if has("--short") || has("--help") || has("-h") {
        return Ok(());
    }
    let page = root().join(published.page);
    let mut text = fs::read_to_string(&page).context(published.page)?;
    for name in published.results {
        let file = |extension: &str| root().join(FOLDER).join(format!("{name}.{extension}"));
        let written = fs::read_to_string(file("md")).with_context(|| format!("{name}.md"))?;
        text = with_table(&text, name, &written)
            .with_context(|| format!("{} has no place for {name}", published.page))?;
        let image = page.with_file_name(format!("{name}.svg"));
        fs::copy(file("svg"), image).with_context(|| format!("{name}.svg"))?;
    }
    fs::write(&page, text).context(published.page)
}

/// The page with the lines of the table in `written`. `None` if it has no place for them.
fn with_table(page: &str, name: &str, written: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(TABLE_END)?;
    let lines: String = written
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    Some(format!("{before}<!-- {name} -->\n\n{lines}\n{TABLE_END}{after}"))
}

/// Builds everything in the optimized profile, measures, and draws. `args` are passed on.
pub fn measure_and_draw(args: &[String]) -> Result<()> {
    build::for_bench()?;
    let begun = SystemTime::now();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&text(&Profile::Release.program("bench")), &args)?;
    let folder = root().join(FOLDER);
    let mut results = Vec::new();
    // `bench --help` writes none.
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let entry = entry.context(FOLDER)?;
        let path = entry.path();
        let is_of_this_run = entry.metadata()?.modified()? >= begun;
        if is_of_this_run && path.extension().is_some_and(|extension| extension == "json") {
            results.push(text(&path));
        }
    }
    if !results.is_empty() {
        results.sort();
        draw("bench.py", &results.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(printing::result(format_args!("Tables, JSON and images: {FOLDER}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_pages_are_replaced() {
        for published in [BROKERS, GATEWAY] {
            let page = fs::read_to_string(root().join(published.page)).unwrap();
            for name in published.results {
                let once = with_table(&page, name, "## title\n\n| new |\n").unwrap();
                assert!(once.contains(&format!("<!-- {name} -->\n\n| new |\n\n{TABLE_END}")));
                assert_eq!(with_table(&once, name, "| new |").unwrap(), once);
            }
            assert!(with_table(&page, "other", "").is_none());
        }
    }
}
