//! What a repetition looks like: text, JSON, Markdown, a page, CSV files.

use super::{Check, Outcome, Published};
use crate::{Failure, Result};
use serde_json::{Value, json};
use spectral_core::Table;
use spectral_workflow::files::write;
use spectral_workflow::output::left_columns;
use spectral_workflow::report::html::render_tables;
use spectral_workflow::report::{Machine, cell_text, seconds};
use std::fmt::Write;
use std::path::Path;

/// A result that was repeated.
pub(crate) struct Repetition {
    pub(crate) published: &'static Published,
    /// Whether it was the quick version, which is not judged.
    pub(crate) quick: bool,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
}

/// Longer tables are for the files; a terminal shows the others.
const SHOWN_ROWS: usize = 60;

impl Repetition {
    /// What was missed, in a sentence, if anything was.
    pub(crate) fn missed(&self) -> Option<String> {
        let missed: Vec<String> = self.outcome.checks.iter().filter(|c| !c.ok).map(line).collect();
        let judged = !self.quick && !missed.is_empty();
        judged.then(|| format!("{} differs from what was published: {}", self.published.id, missed.join("; ")))
    }

    fn verdict(&self) -> String {
        match (self.quick, self.missed()) {
            (true, _) => "QUICK: too small to be judged; leave --quick out".into(),
            (false, None) => "PASS".into(),
            (false, Some(missed)) => format!("DIFFERS: {missed}"),
        }
    }

    /// The verdict and how it was done, line by line.
    fn facts(&self) -> Vec<String> {
        let took = format!("{} on {}, {} thread(s)", seconds(self.seconds), self.machine.cpu, self.machine.threads);
        let source = self.published.source.to_string();
        [self.verdict(), source].into_iter().chain(self.outcome.setting.iter().cloned()).chain([took]).collect()
    }

    /// The tables that are not too long, with a table of the bars.
    fn shown(&self) -> Vec<Table> {
        let mut bars = Table::new("Bars", ["what", "wanted", "got", "reached"]);
        for Check { what, wanted, got, ok } in &self.outcome.checks {
            let reached = if self.quick { "not judged" } else { ["no", "yes"][usize::from(*ok)] };
            bars.push([what.as_str(), wanted.as_str(), got.as_str(), reached].map(Into::into));
        }
        let short = self.outcome.tables.iter().filter(|t| t.rows.len() <= SHOWN_ROWS && !t.rows.is_empty());
        short.cloned().chain([bars]).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.published.id, self.published.title);
        for fact in self.facts() {
            let _ = writeln!(text, "  {fact}");
        }
        for table in self.shown() {
            let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> = table.rows.iter().map(|r| r.iter().map(cell_text).collect()).collect();
            let _ = writeln!(text, "\n{}\n{}", table.title, left_columns(&columns, &rows));
        }
        text
    }

    /// One document.
    pub(crate) fn json(&self) -> Value {
        let Published { id, title, source, .. } = self.published;
        let Outcome { setting, tables, checks } = &self.outcome;
        json!({
            "schema": 1, "id": id, "title": title, "source": source, "quick": self.quick, "setting": setting,
            "machine": self.machine, "seconds": self.seconds, "tables": tables, "checks": checks,
            "pass": if self.quick { Value::Null } else { self.missed().is_none().into() },
        })
    }

    /// For documents.
    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}.\n\n", self.published.id, self.published.title);
        for fact in self.facts() {
            let _ = writeln!(text, "* {fact}");
        }
        let row = |cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        for table in self.shown() {
            let _ = write!(text, "\n{}:\n\n{}", table.title, row(table.columns.clone()));
            text.push_str(&row(table.columns.iter().map(|_| "---".into()).collect()));
            for cells in &table.rows {
                text.push_str(&row(cells.iter().map(cell_text).collect()));
            }
        }
        text
    }

    /// Writes all forms: a page with plots, JSON, Markdown, and a CSV file a table.
    pub(crate) fn save(&self, out: &Path) -> Result<()> {
        let title = format!("{}: {}", self.published.id, self.published.title);
        let mut tables = self.shown().split_off(self.shown().len() - 1);
        tables.splice(0..0, self.outcome.tables.iter().cloned());
        write(&out.join("result.html"), &render_tables(&title, &self.facts(), &self.machine, &tables))?;
        write(&out.join("result.md"), &self.markdown())?;
        let json = serde_json::to_string_pretty(&self.json());
        let json = json.map_err(|e| Failure::Check(format!("cannot write the result: {e}")))?;
        write(&out.join("result.json"), &json)?;
        for (i, table) in self.outcome.tables.iter().enumerate() {
            write(&out.join(format!("table-{}.csv", i + 1)), &table.to_csv())?;
        }
        Ok(())
    }
}

fn line(check: &Check) -> String {
    format!("{} is {}, wanted {}", check.what, check.got, check.wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetition(ok: bool, quick: bool) -> Repetition {
        let mut table = Table::new("T", ["n", "arm"]).plotted(0, [0]);
        table.push([1.5.into(), "a|b".into()]);
        let check = Check { what: "x".into(), wanted: "at least 2".into(), got: "1".into(), ok };
        let outcome = Outcome { setting: vec!["one seed".into()], tables: vec![table], checks: vec![check] };
        Repetition { published: &super::super::ALL[0], quick, outcome, seconds: 2.0, machine: Machine::default() }
    }

    #[test]
    fn the_verdict_says_what_differs_and_quick_runs_have_none() {
        for (ok, quick, word, pass) in [
            (true, false, "PASS", Value::Bool(true)),
            (false, false, "DIFFERS: T1 differs from what was published: x is 1, wanted at least 2", false.into()),
            (false, true, "QUICK", Value::Null),
        ] {
            let done = repetition(ok, quick);
            assert!(done.text().contains(word) && done.markdown().contains(word), "{}", done.text());
            assert_eq!((done.missed().is_some(), &done.json()["pass"]), (!ok && !quick, &pass));
        }
    }

    #[test]
    fn every_form_is_written() {
        let folder = tempfile::tempdir().unwrap();
        repetition(true, false).save(folder.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("table-1.csv"), "n,arm\n1.5,a|b\n");
        assert!(
            read("result.html").contains("<svg") && read("result.md").contains("| 1.500 | a\\|b |"),
            "{}",
            read("result.md")
        );
        assert_eq!(serde_json::from_str::<Value>(&read("result.json")).unwrap()["id"], "T1");
    }
}
