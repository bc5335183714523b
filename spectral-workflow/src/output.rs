//! Where a verb's words go: results to standard output, everything else to standard error.

use crate::{Failure, Result};
use spectral_core::plain;
use std::io::Write;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document on standard output.
    Json,
}

/// The result of a verb: text for people and the same as JSON.
pub struct Answer {
    /// For people.
    pub text: String,
    /// For scripts.
    pub json: serde_json::Value,
}

impl Answer {
    /// An answer whose JSON form is `value` serialised.
    pub fn new(text: impl Into<String>, value: &impl serde::Serialize) -> Result<Self> {
        let json = serde_json::to_value(value).map_err(|e| Failure::Check(format!("cannot write the result: {e}")))?;
        Ok(Self { text: text.into(), json })
    }

    /// Prints the answer. A closed pipe is not an error: whoever read had enough.
    pub fn print(&self, format: Format) -> Result<()> {
        let text = match format {
            Format::Text => self.text.trim_end().lines().map(plain).collect::<Vec<_>>().join("\n"),
            Format::Json => serde_json::to_string_pretty(&self.json).unwrap_or_default(),
        };
        match writeln!(std::io::stdout(), "{text}") {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::printing(e)),
            _ => Ok(()),
        }
    }
}

/// A line for people on standard error.
pub fn note(line: impl AsRef<str>) {
    // Nothing can be said about a standard error that is gone.
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// Rows as text columns, the first left-aligned, the others right-aligned: numbers.
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, |column| column == 0)
}

/// Rows as text columns, all left-aligned: words.
pub fn left_columns(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, |_| true)
}

fn aligned(header: &[&str], rows: &[Vec<String>], left: impl Fn(usize) -> bool) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell).into_owned()).collect()).collect();
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|s| s.chars().count())
            .chain([header[c].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(c, (s, &w))| if left(c) { format!("{s:<w$}") } else { format!("{s:>w$}") });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let mut text = line(header.to_vec());
    for row in &rows {
        text.push('\n');
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

pub(crate) use crate::report::bytes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_lines_or_move_the_cursor() {
        let text = columns(&["name", "n"], &[vec!["a\nb\u{1b}[2J".into(), "1".into()]]);
        assert_eq!(text, "name           n\na\\nb\\u{1b}[2J  1");
    }

    #[test]
    fn columns_align() {
        let text = columns(&["name", "n"], &[vec!["a".into(), "10".into()], vec!["long-name".into(), "2".into()]]);
        assert_eq!(text, "name        n\na          10\nlong-name   2");
    }
}
