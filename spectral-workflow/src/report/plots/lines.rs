//! A table of results as lines.

use super::{Figure, Mark, line};
use crate::report::format;
use crate::report::svg::{Axes, Frame, Scale};
use spectral_core::{Cell, Plot, Table};

/// Classes of the lines, in order; more lines begin again.
const CLASSES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

/// One line.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The figure, or none where the table asks for none or has no numbers to draw.
pub(crate) fn figure(table: &Table) -> Option<Figure> {
    let plot = table.plot.as_ref()?;
    let series = series(table, plot);
    if series.is_empty() {
        return None;
    }
    let column = |c: usize| table.columns.get(c).map_or("", String::as_str);
    let several = plot.y.len() > 1;
    let y_title = plot.y.first().map_or("", |&c| column(c));
    let points = || series.iter().flat_map(|s| &s.points);
    let whole = points().all(|p| p.0.fract() == 0.0);
    let axes = Axes { name: &table.title, x: column(plot.x), y: if several { "" } else { y_title }, whole };
    let x = Scale::linear(points().map(|p| p.0));
    let y = Scale::linear(points().map(|p| p.1)).nice(4);
    let mut frame = Frame::new(&axes, x, y);
    let mut legend = Vec::new();
    for (i, Series { name, points }) in series.into_iter().enumerate() {
        let class = CLASSES[i % CLASSES.len()];
        let title = |(x, y): (f64, f64)| {
            let at = format!("{} {}", column(plot.x), format::significant(x, 4));
            format!("{name}, {at}: {}", format::significant(y, 4)).trim_start_matches(", ").to_string()
        };
        let marks: Vec<Mark> = points.iter().map(|&(x, y)| Mark { x, y, title: title((x, y)) }).collect();
        line(&mut frame, class, &marks);
        legend.push((class, name.into()));
    }
    if legend.len() == 1 {
        legend.clear();
    }
    // The section it stands in says what it shows.
    Some(Figure { title: String::new(), note: String::new(), legend, svg: frame.svg.finish() })
}

/// The lines that have a point: one for each column drawn and each word of the column that tells lines apart.
fn series(table: &Table, plot: &Plot) -> Vec<Series> {
    let text = |row: &[Cell], c: usize| row.get(c).map(show).unwrap_or_default();
    let mut groups: Vec<String> = Vec::new();
    for row in &table.rows {
        let group = plot.by.map_or_else(String::new, |by| text(row, by));
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let mut all = Vec::new();
    for group in &groups {
        let rows = || table.rows.iter().filter(|row| plot.by.is_none_or(|by| text(row, by) == *group));
        for &y in &plot.y {
            let column = table.columns.get(y).map_or("", String::as_str);
            let name = match (group.as_str(), plot.y.len()) {
                ("", _) => column.to_string(),
                (group, 1) => group.to_string(),
                (group, _) => format!("{group}, {column}"),
            };
            // What is no number along the axis counts up.
            let place = |(i, row): (usize, &Vec<Cell>)| {
                let x = row.get(plot.x).and_then(number).unwrap_or(i as f64);
                Some((x, row.get(y).and_then(number)?))
            };
            let points: Vec<(f64, f64)> = rows().enumerate().filter_map(place).collect();
            if !points.is_empty() {
                all.push(Series { name, points });
            }
        }
    }
    all
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Number(n) if n.is_finite() => Some(*n),
        _ => None,
    }
}

/// A cell as people read it.
pub fn show(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(n) if n.fract() == 0.0 && n.abs() < 1e7 => format!("{n}"),
        Cell::Number(n) => format::significant(*n, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("T", ["share, %", "arm", "accuracy", "sd"]);
        for (share, arm, accuracy) in [(5.0, "a", 98.0), (5.0, "b", 97.0), (50.0, "a", 97.5), (50.0, "b", f64::NAN)] {
            table.push([share.into(), arm.into(), accuracy.into(), 0.1.into()]);
        }
        table
    }

    #[test]
    fn a_column_tells_lines_apart() {
        let plot = Plot { x: 0, y: vec![2], by: Some(1) };
        let lines = series(&table(), &plot);
        let found: Vec<_> = lines.iter().map(|s| (s.name.as_str(), s.points.as_slice())).collect();
        assert_eq!(found, [("a", &[(5.0, 98.0), (50.0, 97.5)][..]), ("b", &[(5.0, 97.0)][..])]);
        let several = series(&table(), &Plot { x: 0, y: vec![2, 3], by: Some(1) });
        let names: Vec<_> = several.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["a, accuracy", "a, sd", "b, accuracy", "b, sd"]);
    }

    #[test]
    fn only_tables_that_ask_for_it_are_drawn() {
        assert!(figure(&table()).is_none());
        let drawn = figure(&Table { plot: Some(Plot { x: 0, y: vec![2], by: Some(1) }), ..table() });
        assert!(drawn.is_some_and(|f| f.svg.matches("<circle").count() == 3 && f.legend.len() == 2));
        // Columns that are not there, and no rows at all.
        assert!(figure(&Table { plot: Some(Plot { x: 9, y: vec![9], by: Some(9) }), ..table() }).is_none());
        assert!(figure(&Table { rows: Vec::new(), ..table() }.plotted(0, [2])).is_none());
    }
}
