//! A table as lines of text, for the terminal and for the plain text.

use crate::text::{Align, chart, fit, printable};

/// A part of the view: a title, a header and rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What the panel shows.
    pub name: &'static str,
    /// The sums, which are shown beside the name.
    pub sums: String,
    /// The columns.
    pub columns: &'static [Column],
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// What is shown instead, if there are no rows.
    pub empty: &'static str,
}

/// A column.
#[derive(Debug, PartialEq)]
pub struct Column {
    /// The header.
    pub title: &'static str,
    /// Width in columns of the terminal.
    pub width: Width,
    /// The alignment of its texts.
    pub align: Align,
}

/// The width of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Always this wide.
    Fixed(usize),
    /// As wide as the other columns leave. A table has at most one such column.
    Rest,
}

/// The content of a row in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A chart of these values, oldest first.
    Chart(Vec<f64>),
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::Text(text.into())
    }
}

impl Column {
    /// A column of names.
    pub const fn left(title: &'static str, width: Width) -> Self {
        Self { title, width, align: Align::Left }
    }

    /// A column of numbers.
    pub const fn right(title: &'static str, width: usize) -> Self {
        Self { title, width: Width::Fixed(width), align: Align::Right }
    }

    fn columns(&self, rest: usize) -> usize {
        match self.width {
            Width::Fixed(width) => width,
            Width::Rest => rest,
        }
    }
}

impl Panel {
    /// A panel. There are no sums before the first answer.
    pub fn new(
        name: &'static str,
        sums: Option<String>,
        columns: &'static [Column],
        rows: Vec<Vec<Cell>>,
        empty: &'static str,
    ) -> Self {
        Self { name, sums: sums.unwrap_or_default(), columns, rows, empty }
    }

    /// The name and the sums.
    pub fn title(&self) -> String {
        let Self { name, sums, .. } = self;
        if sums.is_empty() { (*name).into() } else { format!("{name}: {sums}") }
    }

    /// The header for a table of this width.
    pub fn header(&self, width: usize) -> String {
        let rest = self.rest(width);
        let titles =
            self.columns.iter().map(|column| fit(column.title, column.columns(rest), column.align));
        titles.collect::<Vec<_>>().join(" ")
    }

    /// The rows for a table of this width.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let rest = self.rest(width);
        let line = |cells: &Vec<Cell>| {
            let texts = self.columns.iter().zip(cells).map(|(column, cell)| {
                let width = column.columns(rest);
                match cell {
                    Cell::Text(text) => fit(&printable(text), width, column.align),
                    Cell::Chart(values) => fit(&chart(values, width), width, column.align),
                }
            });
            texts.collect::<Vec<_>>().join(" ")
        };
        self.rows.iter().map(line).collect()
    }

    /// What the columns with a fixed width and the blanks between the columns leave.
    fn rest(&self, width: usize) -> usize {
        let fixed: usize = self.columns.iter().map(|column| column.columns(0)).sum();
        width.saturating_sub(fixed + self.columns.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::left("NAME", Width::Fixed(6)),
        Column::right("COUNT", 6),
        Column::left("PRICES", Width::Rest),
    ];

    #[test]
    fn the_columns_share_the_width() {
        let panel = Panel {
            name: "Things",
            sums: "2 in all".into(),
            columns: &COLUMNS,
            rows: vec![
                vec!["a\nb".into(), "12".into(), Cell::Chart(vec![9.0, 0.0, 1.0])],
                vec!["long name".into(), "1".into(), "-".into()],
            ],
            empty: "nothing",
        };
        assert_eq!(panel.title(), "Things: 2 in all");
        assert_eq!(panel.header(20), "NAME    COUNT PRICES");
        assert_eq!(panel.lines(20), ["a b        12 █▁▂   ", "long …      1 -     "]);
        assert_eq!(panel.lines(16), ["a b        12 ▁█", "long …      1 - "]);
        assert_eq!(panel.lines(3), ["a b        12 ", "long …      1 "]);
    }
}
