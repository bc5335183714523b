//! The report as one page: style, plots and tables inside, nothing loaded from anywhere, no scripts.

mod tables;

use super::format;
use super::plots::{Figure, bars, curves, histogram, lines, network, spectrum, sweep};
use super::schema::{Machine, Pace, Report, TimeRatio};
use super::svg::escape;
use spectral_core::Table;
use std::fmt::Write;

const STYLE: &str = include_str!("html/style.css");

/// The page. Sections with nothing to say are left out; every text is escaped.
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(128 << 10);
    begin(&mut page, &report.recipe);
    header(&mut page, report);
    cards(&mut page, report);
    section(&mut page, "Warnings", "", &tables::warnings(report));
    section(&mut page, "Stages", "", &tables::stages(report));
    section(&mut page, "Strategies", "", &tables::strategies(report));
    results(&mut page, &report.tables);
    let costs: Vec<Figure> = bars::size(report).into_iter().chain(bars::latency(report)).collect();
    let costs = costs.into_iter().chain(sweep::figure(report)).collect();
    figures(&mut page, "What it costs", "", costs);
    let spectra = report.spectra.iter().filter_map(spectrum::figure).collect();
    let what = "A unit whose eigenvalue is small passes little on: those go first.";
    figures(&mut page, "Eigenvalues", what, spectra);
    figures(&mut page, "Training", &report.sparse_training().join(". "), curves::figures(&report.curves));
    figures(&mut page, "Weights", "", report.weights.iter().filter_map(histogram::figure).collect());
    section(&mut page, "Layers", "A sparse kernel runs only where it was measured faster.", &tables::layers(report));
    let what = "Test set and seeded random inputs through both models, each on the kernels it runs with.";
    section(&mut page, "Proof", what, &tables::proof(report));
    section(&mut page, "Pruning", "", &tables::pruning(report));
    section(&mut page, "Files", "Each tensor in the smallest of its encodings.", &tables::files(report));
    if let Some(recipe) = &report.recipe_text {
        section(&mut page, "Recipe", "", &format!("<pre>{}</pre>", escape(recipe)));
    }
    footer(&mut page, &report.machine);
    page.push_str("</main></body></html>\n");
    page
}

/// Tables of results as a page of their own.
pub fn render_tables(title: &str, facts: &[String], machine: &Machine, tables: &[Table]) -> String {
    let mut page = String::with_capacity(64 << 10);
    begin(&mut page, title);
    let facts = facts.iter().map(|f| escape(f)).collect::<Vec<_>>().join("<br/>");
    let _ = write!(
        page,
        r#"<header class="wide"><div class="hero"><p class="kicker">spectral</p><h1>{}</h1><p class="facts">{facts}</p></div></header>"#,
        escape(title)
    );
    results(&mut page, tables);
    footer(&mut page, machine);
    page.push_str("</main></body></html>\n");
    page
}

/// Everything up to the content.
fn begin(page: &mut String, title: &str) {
    let _ = write!(
        page,
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{} - spectral report</title>
<style>{STYLE}</style></head>
<body><div class="spectrum"></div><main>"#,
        escape(title)
    );
}

/// A section for each table, with its plot.
fn results(page: &mut String, tables: &[Table]) {
    for table in tables {
        let mut content = String::new();
        if let Some(drawn) = lines::figure(table) {
            content.push_str(r#"<div class="plots">"#);
            figure(&mut content, &drawn);
            content.push_str("</div>");
        }
        content.push_str(&tables::results(table));
        section(page, &table.title, "", &content);
    }
}

fn header(page: &mut String, report: &Report) {
    let phrases = report.headline().into_iter().map(|p| {
        let strong = times(&escape(&p.strong));
        let class = if p.missed { r#" class="missed""# } else { "" };
        format!("<b{class}>{strong}</b> {}", arrows(&escape(&p.rest))).trim_end().to_string()
    });
    let mut sentence = phrases.collect::<Vec<_>>().join(", ");
    sentence.push('.');
    let _ = write!(
        page,
        r#"<header><div class="hero"><p class="kicker">spectral / {}</p><h1>{sentence}</h1><p class="facts">{}</p></div>"#,
        escape(&report.recipe),
        facts(report)
    );
    if let Some(network) = network::figure(report) {
        figure(page, &network);
    }
    page.push_str("</header>");
}

/// Data, seed and time in a line.
fn facts(report: &Report) -> String {
    let mut facts = Vec::new();
    let data = &report.dataset;
    if !data.name.is_empty() {
        let samples = format!("{} training and {} test samples", format::count(data.train), format::count(data.test));
        facts.push(format!("{}, {samples}", escape(&data.name)));
    }
    facts.push(format!("seed {}", report.seed));
    if let Some(seconds) = report.seconds.filter(|s| s.is_finite()) {
        facts.push(format!("{} from data to proof", unbroken(&format::seconds(seconds))));
    }
    facts.join("<i></i>")
}

fn cards(page: &mut String, report: &Report) {
    let verdict = &report.verdict;
    page.push_str(r#"<div class="cards">"#);
    let size = format!("{}×", format::ratio(verdict.smaller.ratio));
    card(page, &Card { name: "Smaller", ok: verdict.smaller.ok, figure: size, detail: report.size_detail() });
    let speed = match verdict.faster.batches.values().next_back().map(TimeRatio::pace) {
        Some(Pace::Level) => "level".into(),
        _ => format!("{}×", format::speedup(verdict.faster.ratio)),
    };
    card(page, &Card { name: "Faster", ok: verdict.faster.ok, figure: speed, detail: report.speed_detail() });
    let worst = report.proof.iter().map(|p| p.max_rel_diff).reduce(f64::max);
    let worst = worst.map_or_else(|| "-".into(), format::tiny);
    card(page, &Card { name: "Equal", ok: verdict.equal.ok, figure: worst, detail: report.proof_detail() });
    let quality = &verdict.as_good;
    let figure = match quality.metric.as_str() {
        "accuracy" => format::percent(quality.after, 1),
        _ => format::significant(quality.after, 3),
    };
    card(page, &Card { name: "As good", ok: quality.ok, figure, detail: report.quality_detail() });
    page.push_str("</div>");
}

/// One of the boxes below the headline.
struct Card {
    name: &'static str,
    /// The verdict.
    ok: bool,
    figure: String,
    /// What is behind the figure, line by line.
    detail: Vec<String>,
}

fn card(page: &mut String, card: &Card) {
    let Card { name, ok, figure, detail } = card;
    let answer = match ok {
        true => r#"<span class="pill yes">yes</span>"#,
        false => r#"<span class="pill no">no</span>"#,
    };
    let figure = escape(figure);
    let detail = detail.iter().map(|line| unbroken(&arrows(&escape(line)))).collect::<Vec<_>>().join("<br/>");
    let _ = write!(
        page,
        r#"<div class="card"><h2>{name}{answer}</h2><p class="figure">{figure}</p><p class="detail">{detail}</p></div>"#
    );
}

/// A titled part of the page, left out if it has no content.
fn section(page: &mut String, title: &str, what: &str, content: &str) {
    if content.is_empty() {
        return;
    }
    let what = if what.is_empty() { String::new() } else { format!(r#"<p class="what">{}</p>"#, escape(what)) };
    let _ = write!(page, "<section><h2>{}</h2>{what}{content}</section>", escape(title));
}

fn figures(page: &mut String, title: &str, what: &str, figures: Vec<Figure>) {
    let mut content = String::new();
    figures.iter().for_each(|f| figure(&mut content, f));
    if !content.is_empty() {
        section(page, title, what, &format!(r#"<div class="plots">{content}</div>"#));
    }
}

fn figure(page: &mut String, figure: &Figure) {
    let note = arrows(&escape(&figure.note));
    let _ = write!(page, "<figure><figcaption><h3>{}</h3><p>{note}</p>", escape(&figure.title));
    if !figure.legend.is_empty() {
        page.push_str(r#"<p class="legend">"#);
        for (class, text) in &figure.legend {
            let _ = write!(page, r#"<span><i class="key {class}"></i>{}</span>"#, escape(text));
        }
        page.push_str("</p>");
    }
    let _ = write!(page, "</figcaption>{}</figure>", figure.svg);
}

fn footer(page: &mut String, machine: &Machine) {
    let mut parts = vec![escape(&machine.cpu), escape(&machine.simd)];
    parts.insert(1, if machine.threads == 0 { String::new() } else { plural_threads(machine.threads) });
    parts.extend(machine.instead.as_deref().map(escape));
    parts.retain(|p| !p.is_empty());
    if !parts.is_empty() {
        let _ = write!(page, "<footer>Measured on {}</footer>", parts.join("<i></i>"));
    }
}

fn plural_threads(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

/// The `x` after a ratio as a multiplication sign.
fn times(text: &str) -> String {
    match text.strip_suffix('x') {
        Some(number) if number.ends_with(|c: char| c.is_ascii_digit()) => format!("{number}×"),
        _ => text.into(),
    }
}

/// `->`, already escaped, as an arrow.
fn arrows(text: &str) -> String {
    text.replace("-&gt;", "→")
}

/// Keeps numbers and their units on one line.
fn unbroken(text: &str) -> String {
    let units = ["ns", "µs", "ms", "s", "min", "B", "kB", "MB", "GB", "points"];
    let mut line = String::with_capacity(text.len());
    for word in text.split(' ') {
        let glued = line.ends_with(|c: char| c.is_ascii_digit()) && units.contains(&word.trim_end_matches([',', ';']));
        if !line.is_empty() {
            line.push(if glued { '\u{a0}' } else { ' ' });
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    /// Tags must nest, attributes must be quoted, ampersands must begin an entity, text must be free of `NaN` and
    /// infinity where it is a coordinate.
    fn check(page: &str) -> Result<(), String> {
        let mut open: Vec<&str> = Vec::new();
        let body = page.strip_prefix("<!doctype html>").ok_or("no doctype")?;
        for (i, piece) in body.split('<').enumerate() {
            if i == 0 {
                continue;
            }
            let (tag, text) = piece.split_once('>').ok_or_else(|| format!("`<{piece}` never ends"))?;
            let in_style = open.last() == Some(&"style");
            for part in [tag, text].iter().filter(|_| !in_style) {
                for entity in part.split('&').skip(1) {
                    let known = ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|e| entity.starts_with(e));
                    known.then_some(()).ok_or_else(|| format!("bare ampersand in `{part}`"))?;
                }
            }
            if let Some(name) = tag.strip_prefix('/') {
                let last = open.pop();
                if last != Some(name) {
                    return Err(format!("</{name}> closes {last:?}"));
                }
                continue;
            }
            attributes(tag)?;
            if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap_or(""));
            }
        }
        if open.is_empty() { Ok(()) } else { Err(format!("never closed: {open:?}")) }
    }

    fn attributes(tag: &str) -> Result<(), String> {
        let mut quoted = tag.split('"');
        let mut name = quoted.next().unwrap_or("");
        while let Some(value) = quoted.next() {
            if !name.ends_with('=') {
                return Err(format!("`{name}` before \"{value}\" in <{tag}>"));
            }
            let key = name.trim_end_matches('=').rsplit(' ').next().unwrap_or("");
            let numeric =
                ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "d", "points", "viewBox"];
            if numeric.contains(&key) {
                let words = value.split([' ', ',', 'M', 'L', 'C', 'Z']).filter(|w| !w.is_empty());
                for word in words {
                    let number: f64 = word.parse().map_err(|_| format!("{key}=\"{value}\""))?;
                    if !number.is_finite() || number.abs() > 5000.0 {
                        return Err(format!("{key}=\"{value}\""));
                    }
                }
            }
            name = quoted.next().ok_or_else(|| format!("open quote in <{tag}>"))?;
        }
        Ok(())
    }

    #[test]
    fn the_checker_can_fail() {
        for bad in
            ["<p>", "<p></b>", "<p>a & b</p>", "<p x=\"NaN\"></p>", "<p d=\"M0 inf\"/>", "<p a=\"</p>", "<p", "</p>"]
        {
            assert!(check(&format!("<!doctype html>{bad}")).is_err(), "{bad}");
        }
        assert_eq!(check("<!doctype html>\n<p d=\"M0 1 C2 3 4 5 6 7 Z\">a &amp; b<br/></p>"), Ok(()));
    }

    #[test]
    fn every_report_gives_a_sound_page() {
        let mut wrong = Vec::new();
        for (name, report) in example::degenerate().into_iter().chain([("digits", example::digits())]) {
            if let Err(problem) = check(&render(&report)) {
                wrong.push(format!("{name}: {problem}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_full_page_has_every_section_and_an_empty_one_none() {
        let page = render(&example::digits());
        for title in "Warnings|Stages|Strategies|Accuracy by step|What it costs|Eigenvalues|Training|Weights|Layers|Proof|Pruning|Files|Recipe".split('|') {
            assert!(page.contains(&format!("<h2>{title}</h2>")), "{title}");
        }
        assert_eq!(page.matches("<svg").count(), 12);
        assert!(page.len() < 400_000, "{}", page.len());
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("url("), "not self-contained");
        let page = render(&example::empty());
        assert!(!page.contains("<section") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn text_is_escaped() {
        let page = render(&example::refused());
        assert!(!page.contains("<script") && !page.contains("<train>") && !page.contains("a <b>"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("<td>&lt;/td&gt;&amp;amp;</td>"), "layer name");
    }

    #[test]
    fn units_stay_with_their_numbers() {
        assert_eq!(unbroken("batch 1: 4.20 µs → 12 kB, a B"), "batch 1: 4.20\u{a0}µs → 12\u{a0}kB, a B");
    }

    #[test]
    fn failures_are_said_plainly() {
        let page = render(&example::refused());
        assert_eq!(page.matches(r#"<span class="pill no">no</span>"#).count(), 5, "four cards and the proof");
        assert!(page.contains("compact differs from finetuned"));
    }
}
