//! The report on a terminal.

use super::format;
use super::schema::{Report, Stage, StrategyStep};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Whether the terminal understands colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// ANSI escape codes.
    Ansi,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.into(),
            Self::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn yes_no(self, ok: bool) -> String {
        if ok { self.paint("32", "yes") } else { self.paint("31", "no") }
    }
}

#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
}

struct Column {
    head: String,
    align: Align,
    cells: Vec<String>,
}

impl Report {
    /// The stage table, the proof lines and the verdict lines, without colours.
    pub fn table(&self) -> String {
        self.table_in(Style::Plain)
    }

    /// [`Report::table`] in a style.
    pub fn table_in(&self, style: Style) -> String {
        let mut text = String::new();
        if !self.stages.is_empty() {
            lay_out(&mut text, &self.stage_columns(), style);
        }
        for StrategyStep { name, summary, .. } in &self.strategies {
            let _ = write!(text, "\nstrategy {name}: {summary}\n");
        }
        for (i, line) in self.sparse_training().into_iter().enumerate() {
            let gap = if i == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}trained in {line}");
        }
        if !self.proof.is_empty() {
            text.push('\n');
            self.proof_lines(&mut text, style);
        }
        text.push('\n');
        for warning in &self.warnings {
            let _ = writeln!(text, "{} {warning}", style.paint("33", "warning:"));
        }
        if !self.warnings.is_empty() {
            text.push('\n');
        }
        let verdict = &self.verdict;
        let smaller = match verdict.smaller.ratio {
            r if r > 0.0 && r.is_finite() => Some(format!("{}x", format::ratio(r))),
            _ => None,
        };
        let quality = self.quality_detail();
        let (change, quality) = match verdict.as_good.change() {
            Some(_) => (quality.first().cloned(), quality.get(1..).unwrap_or_default().to_vec()),
            None => (None, quality),
        };
        for (name, ok, figure, detail) in [
            ("smaller:", verdict.smaller.ok, smaller, self.size_detail()),
            ("faster:", verdict.faster.ok, None, self.speed_detail()),
            ("equal:", verdict.equal.ok, None, self.proof_detail()),
            ("as good:", verdict.as_good.ok, change, quality),
        ] {
            let (answer, detail) = (style.yes_no(ok), detail.join("; "));
            let line = match (figure, detail.is_empty()) {
                (Some(figure), true) => format!("{answer}, {figure}"),
                (Some(figure), false) => format!("{answer}, {figure} ({detail})"),
                (None, true) => answer,
                (None, false) => format!("{answer}, {detail}"),
            };
            let _ = writeln!(text, "{name:<8} {line}");
        }
        text
    }

    fn stage_columns(&self) -> Vec<Column> {
        let dense = self.baseline();
        let mut columns = Vec::new();
        let mut add = |head: &str, align, cell: &dyn Fn(&Stage) -> String| {
            columns.push(Column { head: head.into(), align, cells: self.stages.iter().map(cell).collect() });
        };
        add("stage", Align::Left, &|s| s.name.clone());
        match self.stages.iter().any(|s| s.accuracy.is_some()) {
            true => add("accuracy", Align::Right, &|s| s.accuracy.map_or("-".into(), |a| format::percent(a, 2))),
            false => add("loss", Align::Right, &|s| format::significant(s.loss, 3)),
        }
        add("parameters", Align::Right, &|s| format::count(s.parameters));
        add("nonzeros", Align::Right, &|s| format::count(s.nonzeros));
        add("units", Align::Left, &|s| s.units.iter().map(ToString::to_string).collect::<Vec<_>>().join("-"));
        add("file", Align::Right, &|s| known_bytes(s.file_bytes));
        let other = |s: &Stage| dense.filter(|d| d.name != s.name);
        add("", Align::Right, &|s| against(s.file_bytes as f64, other(s).map(|d| d.file_bytes as f64)));
        let batches: BTreeSet<usize> = self.stages.iter().flat_map(|s| s.latency_us.keys().copied()).collect();
        for batch in batches {
            let p50 = |s: &Stage| s.latency_us.get(&batch).map_or(0.0, |l| l.p50);
            add(&format!("b{batch} p50"), Align::Right, &|s| format::micros(p50(s)));
            add("", Align::Right, &|s| against(p50(s), other(s).map(p50)));
        }
        columns
    }

    fn proof_lines(&self, text: &mut String, style: Style) {
        let width = self.proof.iter().map(|p| p.a.len() + p.b.len() + 3).max().unwrap_or(0);
        for p in &self.proof {
            let sign = if p.equal { '=' } else { '≠' };
            let _ = write!(
                text,
                "{:<width$}  {} inputs, largest relative difference {} (tolerance {}), {} different",
                format!("{} {sign} {}", p.a, p.b),
                format::count(p.inputs),
                format::tiny(p.max_rel_diff),
                format::tiny(p.tolerance),
                super::summary::plural(p.labels_differ, "label", "labels"),
            );
            let outcome = match p.equal {
                true => style.paint("32", "equal"),
                false => format!("{}, worst at input {}", style.paint("31", "not equal"), p.worst_input),
            };
            let _ = writeln!(text, ": {outcome}");
        }
    }
}

fn known_bytes(n: u64) -> String {
    if n == 0 { "-".into() } else { format::bytes(n) }
}

/// `0.12x` of the dense value; nothing for the dense one itself or where one of them is not known.
fn against(value: f64, dense: Option<f64>) -> String {
    match dense {
        Some(dense) if dense > 0.0 && value > 0.0 => format!("{}x", format::ratio(value / dense)),
        _ => String::new(),
    }
}

fn lay_out(text: &mut String, columns: &[Column], style: Style) {
    let rows = columns.iter().map(|c| c.cells.len()).max().unwrap_or(0);
    let widths: Vec<usize> =
        columns.iter().map(|c| c.cells.iter().chain([&c.head]).map(|t| t.chars().count()).max().unwrap_or(0)).collect();
    let mut line = |cells: &mut dyn Iterator<Item = (&str, Align)>, code: Option<&str>| {
        let mut row = String::new();
        for ((cell, align), width) in cells.zip(&widths) {
            let _ = match align {
                Align::Left => write!(row, "{cell:<width$}  "),
                Align::Right => write!(row, "{cell:>width$}  "),
            };
        }
        let row = row.trim_end();
        let _ = writeln!(text, "{}", code.map_or_else(|| row.into(), |code| style.paint(code, row)));
    };
    line(&mut columns.iter().map(|c| (c.head.as_str(), c.align)), Some("2"));
    for row in 0..rows {
        line(&mut columns.iter().map(|c| (c.cells.get(row).map_or("", String::as_str), c.align)), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_full_table_looks_like_this() {
        let expected = "\
stage      accuracy  parameters  nonzeros  units             file           b1 p50         b128 p50
dense       97.78 %      51,010    51,010  64-300-100-10   207 kB          4.20 µs          61.4 µs
pruned      88.06 %      51,010     7,538  64-43-17-10    41.8 kB   0.20x  4.22 µs  1.00x   61.1 µs  1.00x
finetuned   96.94 %      51,010     7,538  64-43-17-10    42.3 kB   0.20x  4.19 µs  1.00x   61.6 µs  1.00x
compact     96.94 %       3,723     2,279  64-43-17-10    12.1 kB  0.058x  1.42 µs  0.34x   18.9 µs  0.31x
sparse      96.94 %       3,723     2,279  64-43-17-10    14.6 kB  0.071x  1.31 µs  0.31x   18.6 µs  0.30x

strategy metric_based: removed 30 % of the units

trained in finetune: hidden from step 29 sparse: 15 % of its weights are left, up to 30 % train faster stored; out dense: 43 % of its weights are left, above 30 %

finetuned = compact  1,360 inputs, largest relative difference 3.1e-7 (tolerance 1e-5), no labels different: equal
finetuned = sparse   1,360 inputs, largest relative difference 4.8e-7 (tolerance 1e-5), no labels different: equal

warning: layer `hidden2` keeps 17 of 100 units, and this is an example of a warning

smaller: yes, 0.058x (207 kB -> 12.1 kB)
faster:  yes, 0.30x at batch 128 (0.28x to 0.33x); level at batch 1 (0.96x to 1.03x)
equal:   yes, compact and sparse to finetuned; largest relative difference 4.8e-7 (tolerance 1e-5); no labels different over 1,360 inputs
as good: yes, 97.78 % -> 96.94 % (limit 2 points; 95 % interval of the drop: -0.2 to 1.9 points)
";
        let table = example::digits().table();
        assert_eq!(table, expected, "\n{table}");
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn failures_name_the_reason_and_colours_only_come_when_asked_for() {
        let table = example::refused().table();
        for line in [
            "finetuned ≠ compact  1,360 inputs, largest relative difference 1.2e-2 (tolerance 1e-5), 3 labels different: not equal, worst at input 812",
            "smaller: no, 1.02x (207 kB -> 42.3 kB; the compact file is not smaller than the dense one)",
            "; compact differs from finetuned",
            "faster:  no, level at batch 128 (0.97x to 1.02x); 1.28x at batch 1 (1.20x to 1.31x); no kernel won",
            "as good: no, 86.11 % -> 9.17 % (limit 2 points; 95 % interval of the drop: 72 to 81 points; prune less)",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
        let colourful = example::refused().table_in(Style::Ansi);
        assert!(colourful.contains("\u{1b}[31mno\u{1b}[0m"));
        let plain = colourful
            .replace("\u{1b}[31m", "")
            .replace("\u{1b}[2m", "")
            .replace("\u{1b}[32m", "")
            .replace("\u{1b}[33m", "");
        assert_eq!(plain.replace("\u{1b}[0m", ""), table);
    }

    #[test]
    fn poor_reports_make_tables_too() {
        for (name, report) in example::degenerate() {
            let table = report.table();
            assert!(table.contains("smaller:") && !table.contains("NaN") && !table.contains("inf"), "{name}\n{table}");
        }
        let values = example::degenerate().into_iter().find(|(name, _)| *name == "values").map(|(_, r)| r.table());
        let values = values.unwrap_or_default();
        assert!(values.starts_with("stage        loss  parameters") && !values.contains("accuracy"), "{values}");
        assert_eq!(example::empty().table(), "\nsmaller: no\nfaster:  no\nequal:   no\nas good: no\n");
    }
}
