//! Small tables of results: what strategies and trackers measured, for reports, CSV files and plots.

use serde::{Deserialize, Serialize};

/// A table with named columns, and how to draw it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// One entry a column.
    pub rows: Vec<Vec<Cell>>,
    /// How to draw it, if a plot says more than the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plot: Option<Plot>,
}

/// An entry of a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A word or two.
    Text(String),
}

/// Lines over a common axis: columns of a [`Table`], by position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// The column along the axis.
    pub x: usize,
    /// One line a column.
    pub y: Vec<usize>,
    /// A column whose text splits the rows into lines of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<usize>,
}

impl Table {
    /// An empty table.
    pub fn new<C: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { title: title.into(), columns, rows: Vec::new(), plot: None }
    }

    /// The same table, drawn as lines.
    #[must_use]
    pub fn plotted(mut self, x: usize, y: impl IntoIterator<Item = usize>) -> Self {
        self.plot = Some(Plot { x, y: y.into_iter().collect(), by: None });
        self
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }

    /// The table as comma-separated values, header first.
    pub fn to_csv(&self) -> String {
        let quoted = |text: &str| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let mut out = self.columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(",");
        for row in &self.rows {
            out.push('\n');
            let cells = row.iter().map(|cell| match cell {
                Cell::Number(n) => n.to_string(),
                Cell::Text(t) => quoted(t),
            });
            out.push_str(&cells.collect::<Vec<_>>().join(","));
        }
        out.push('\n');
        out
    }
}

impl From<f64> for Cell {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

/// Nothing is an empty text.
impl From<Option<f64>> for Cell {
    fn from(n: Option<f64>) -> Self {
        n.map_or_else(|| Self::Text(String::new()), Self::Number)
    }
}

impl From<usize> for Cell {
    fn from(n: usize) -> Self {
        Self::Number(n as f64)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let mut table = Table::new("t", ["a, b", "c"]);
        table.push([1.5.into(), "say \"x\"".into()]);
        assert_eq!(table.to_csv(), "\"a, b\",c\n1.5,\"say \"\"x\"\"\"\n");
    }
}
