//! The plot beside the page: every bar, and where we are.

use super::{BenchReport, Row};
use spectral_workflow::report::svg::Svg;

/// Looks of the file by itself, for light and dark.
const STYLE: &str = "<style>text{font:11px sans-serif;fill:#57606a}.e{text-anchor:end}.m{text-anchor:middle}\
    .grid{stroke:#8884;stroke-width:1}.one{stroke:#888;stroke-width:1.5}.met{stroke:#2a9d8f;fill:#2a9d8f}\
    .missed{stroke:#d1495b;fill:#d1495b}line.met,line.missed{stroke-width:4}.bar{stroke:#888;stroke-width:2}\
    @media(prefers-color-scheme:dark){text{fill:#9da7b3}}</style>";

const NAMES: f64 = 330.0;
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 15.0;
const TOP: f64 = 34.0;

impl BenchReport {
    /// A picture of all rows with a bar but those of the grid: a line from the bar to what was reached, on a
    /// logarithmic axis of the rival's time over ours. None if there are no such rows.
    pub(crate) fn plot(&self) -> Option<String> {
        let shown = |r: &&Row| !r.name.starts_with("grid/");
        let rows: Vec<(&Row, f64, f64)> = self
            .rows
            .iter()
            .filter(shown)
            .filter_map(|r| r.bar.as_ref().and_then(|b| Some((r, b.least, r.ratio_to(b.rival)?))))
            .collect();
        let (least, most) = rows
            .iter()
            .fold((1f64, 1f64), |(low, high), (_, bar, ratio)| (low.min(*bar).min(*ratio), high.max(*bar).max(*ratio)));
        if rows.is_empty() || !(least > 0.0 && most.is_finite()) {
            return None;
        }
        let (low, high) = (least.ln() - 0.1, most.ln() + 0.1);
        let at = |ratio: f64| NAMES + (ratio.ln() - low) / (high - low) * (WIDTH - NAMES - 60.0);
        let bottom = TOP + HEIGHT * rows.len() as f64;
        let mut svg = Svg::new(WIDTH, bottom + 8.0, "Their time over ours, and the bars");
        svg.text("m", (at(1.0), 12.0), "their time / ours");
        for tick in [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().filter(|t| (least..=most).contains(t)) {
            svg.line(if tick == 1.0 { "one" } else { "grid" }, (at(tick), TOP - 4.0), (at(tick), bottom));
            svg.text("m", (at(tick), TOP - 8.0), &format!("{tick}"));
        }
        for (i, (row, bar, ratio)) in rows.into_iter().enumerate() {
            let middle = TOP + HEIGHT * (i as f64 + 0.5);
            let class = if row.pass == Some(true) { "met" } else { "missed" };
            svg.text("e", (NAMES - 8.0, middle + 4.0), &row.name);
            svg.line(class, (at(bar), middle), (at(ratio), middle));
            svg.line("bar", (at(bar), middle - 5.0), (at(bar), middle + 5.0));
            svg.dot(class, (at(ratio), middle), 4.0, &format!("{}: {ratio:.2}, bar {bar:.2}", row.name));
            svg.text("", (at(ratio.max(bar)) + 8.0, middle + 4.0), &format!("{ratio:.1}"));
        }
        let text = svg.finish().replacen("<svg ", r#"<svg xmlns="http://www.w3.org/2000/svg" "#, 1);
        Some(text.replacen('>', &format!(">{STYLE}"), 1))
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::{Bar, BenchReport, Row, Times};
    use spectral_workflow::report::Machine;

    #[test]
    fn every_bar_is_drawn_met_or_not() {
        let row = |name: &str, theirs: f64| {
            let times = Times { ours: vec![2.0], rivals: vec![("torch".into(), vec![theirs])] };
            Row::new(name.into(), 1, 4e6, times, Some(Bar { rival: "torch", least: 1.5 }))
        };
        let machine = Machine { cpu: "a cpu".into(), threads: 2, simd: "avx2".into(), ..Machine::default() };
        let rows = vec![row("train/a", 40.0), row("train/b", 1.0), row("grid/c", 4.0)];
        let report = |rows| BenchReport { schema: 1, machine, limits: Vec::new(), rivals: Vec::new(), rows };
        let report = report(rows);
        let plot = report.plot().unwrap();
        assert_eq!((plot.matches(r#"class="met""#).count(), plot.matches(r#"class="missed""#).count()), (2, 2));
        assert!(plot.contains("train/b: 0.50, bar 1.50") && !plot.contains("grid/c"));
        assert!(BenchReport { rows: Vec::new(), ..report }.plot().is_none());
    }
}
