//! The page of measured figures, written from one run: `bench --against torch --document docs/performance.md`.

use super::{BenchReport, Limit, Row};

impl BenchReport {
    /// The page, as Markdown; `plot` is the name of the picture beside it.
    pub(crate) fn document(&self, plot: Option<&str>) -> String {
        let machine = &self.machine;
        let mut page = format!(
            "# Performance\n\nWritten by `cargo xtask bench --against torch --document FILE` from one run; everybody takes turns, \
             round after round,\non the same machine: {}, {} threads, {}. Rivals: {}.\n\nA ratio is the rival's median time over \
             ours: above 1 we are faster, below 1 slower. `t1` is one thread. The spread is the\ndistance of the quartiles of our \
             times over their median. GFLOP/s count stored entries only. The share is that of the\nbest this machine was \
             measured to reach: {}; of its bandwidth where a\nrow says so, which is above 100 % where the weights stay in a cache.\n",
            machine.cpu,
            machine.threads,
            machine.simd,
            self.rivals.join("; "),
            self.limits(),
        );
        let bars: Vec<bool> = self.rows.iter().filter_map(|r| r.pass).collect();
        let met = bars.iter().filter(|met| **met).count();
        page += &format!("\n{met} of {} bars are met; those that are not are in bold.\n", bars.len());
        if let Some(plot) = plot {
            page += &format!("\n![every bar and what was reached]({plot})\n");
        }
        for suite in self.suites() {
            let rows: Vec<&Row> = self.rows.iter().filter(|r| suite_of(r) == suite).collect();
            page += &format!(
                "\n## {suite}\n\n| work | ours | spread | GFLOP/s | share | against | bar |\n|---|---|---|---|---|---|---|\n"
            );
            for row in rows {
                page += &line(row);
            }
        }
        page
    }

    /// The machine's limits, in words.
    fn limits(&self) -> String {
        let one = |l: &Limit| {
            let threads = if l.threads == 1 { "1 thread".into() } else { format!("{} threads", l.threads) };
            format!("{:.0} GFLOP/s and {:.0} GB/s with {threads}", l.gflops, l.gbytes)
        };
        self.limits.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Suites that have rows, in order.
    fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = self.rows.iter().map(suite_of).collect();
        suites.dedup();
        suites
    }
}

fn suite_of(row: &Row) -> &str {
    row.name.split('/').next().unwrap_or(&row.name)
}

fn line(row: &Row) -> String {
    let work = row.name.split_once('/').map_or(row.name.as_str(), |(_, rest)| rest);
    let against: Vec<String> = row.rivals.iter().map(|r| format!("{} {:.2}x", r.name, r.ratio)).collect();
    let bar = match (&row.bar, row.pass) {
        (Some(bar), Some(true)) => format!("{} >= {:.2}x: met", bar.rival, bar.least),
        (Some(bar), Some(false)) => format!("**{} >= {:.2}x: missed**", bar.rival, bar.least),
        _ => String::new(),
    };
    let flops = if row.gflops > 0.0 { format!("{:.1}", row.gflops) } else { String::new() };
    let (ours, spread) = (super::ms(row.ours_ms), 100.0 * row.spread);
    let share = match (row.share, row.gbytes) {
        (Some(share), Some(gbytes)) => format!("{:.0} % of bandwidth ({gbytes:.0} GB/s)", 100.0 * share),
        (Some(share), None) => format!("{:.0} %", 100.0 * share),
        _ => String::new(),
    };
    format!("| {work} | {ours} | {spread:.0} % | {flops} | {share} | {} | {bar} |\n", against.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::bench::{Bar, BenchReport, Row, Times};
    use spectral_workflow::report::Machine;

    #[test]
    fn losses_are_printed_like_wins() {
        let row = |name: &str, theirs: f64| {
            let times = Times { ours: vec![2.0], rivals: vec![("torch".into(), vec![theirs])] };
            Row::new(name.into(), 1, 4e6, times, Some(Bar { rival: "torch", least: 1.0 }))
        };
        let machine = Machine { cpu: "a cpu".into(), threads: 2, simd: "avx2".into(), ..Machine::default() };
        let rows = vec![row("train/a", 4.0), row("train/b", 1.0), row("file/c", 4.0)];
        let page = BenchReport { schema: 1, machine, limits: Vec::new(), rivals: vec!["2.1".into()], rows }
            .document(Some("p.svg"));
        assert!(
            page.contains("2 of 3 bars are met")
                && page.contains("(p.svg)")
                && page.contains("| b | 2.000 ms | 0 % | 2.0 |  | torch 0.50x | **torch >= 1.00x: missed** |"),
            "{page}"
        );
        assert_eq!(page.matches("\n## ").count(), 2);
    }
}
