//! The results as a table of Markdown, which can be pasted into the documentation.

use std::fmt::Write as _;

use crate::results::{Design, Row};
use crate::statistics::Spread;

/// One line for each row, with a column for each figure and each ratio.
pub fn markdown(design: &Design, rounds: u32, rows: &[Row]) -> String {
    let mut text = introduction(design, rounds);
    let mut headings = vec!["case".to_owned(), "contender".to_owned()];
    for column in design.columns {
        headings.push(column.heading.to_owned());
        if column.ratio {
            headings.push("ratio".to_owned());
        }
    }
    line(&mut text, &headings);
    let numbers = headings.len().saturating_sub(2);
    line(&mut text, &[vec!["---"; 2], vec!["---:"; numbers]].concat());
    for row in rows {
        let mut cells = vec![row.case.label.clone(), row.contender.clone()];
        for column in design.columns {
            cells.push(shown(row.figures.get(column.figure), rounds));
            if column.ratio {
                cells.push(shown(row.ratios.get(column.figure), rounds));
            }
        }
        line(&mut text, &cells);
    }
    text
}

/// One line for each case and figure, with a column for each of two contenders, the base first, and one
/// for the ratio.
pub fn beside(design: &Design, rounds: u32, rows: &[Row]) -> String {
    let mut text = introduction(design, rounds);
    let is_base = |row: &&Row| row.contender == design.base;
    let other = rows.iter().find(|row| !is_base(row)).map_or("", |row| row.contender.as_str());
    let ratio = format!("{other} / {}", design.base);
    line(&mut text, &["", "", design.base, other, ratio.as_str()]);
    line(&mut text, &["---", "---", "---:", "---:", "---:"]);
    for base in rows.iter().filter(is_base) {
        let of_case = |row: &&Row| row.case == base.case && !is_base(row);
        let Some(other) = rows.iter().find(of_case) else { continue };
        for column in design.columns.iter().filter(|c| base.figures.contains_key(c.figure)) {
            let ratio = column.ratio.then(|| other.ratios.get(column.figure)).flatten();
            let figures = [base, other].map(|row| row.figures.get(column.figure));
            let mut cells = vec![base.case.label.clone(), column.heading.to_owned()];
            cells.extend(figures.into_iter().chain([ratio]).map(|spread| shown(spread, rounds)));
            line(&mut text, &cells);
        }
    }
    text
}

fn introduction(design: &Design, rounds: u32) -> String {
    format!(
        "## {}: {}\n\nMedian of {rounds} rounds (lowest–highest), with the number of values if some \
         rounds have none; ratios to {} in the same round; CPU seconds per 100,000 sales, posts \
         or requests.\n\n",
        design.name, design.title, design.base
    )
}

fn line(text: &mut String, cells: &[impl AsRef<str>]) {
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = write!(text, "| {} ", cell.as_ref());
    }
    text.push_str("|\n");
}

fn shown(spread: Option<&Spread>, rounds: u32) -> String {
    let Some(Spread { median, min, max, count }) = spread else { return "–".to_owned() };
    let mut text = number(*median);
    if min != max {
        text += &format!(" ({}–{})", number(*min), number(*max));
    }
    if *count < rounds as usize {
        text += &format!(", n = {count}");
    }
    text
}

/// Three significant digits, or all digits before the decimal point.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        a if a >= 99.95 || a == 0.0 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.0123, 0.999_4, 1.0, 9.99, 12.34, 99.99, 12_345.6].map(number);
        assert_eq!(shown, ["0", "0.012", "0.999", "1.00", "9.99", "12.3", "100", "12346"]);
    }
}
