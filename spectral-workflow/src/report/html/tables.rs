//! The tables of the page.

use crate::report::format;
use crate::report::plots::lines::show;
use crate::report::schema::{LayerRow, Report, Stage};
use crate::report::svg::escape;
use spectral_core::Cell;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A column head; numbers are aligned right.
enum Head<'a> {
    Text(&'a str),
    Number(&'a str),
}
use Head::{Number, Text};

/// Longer tables of results are folded, and sooner where a plot shows the same.
const UNFOLDED: usize = 30;
const UNFOLDED_WITH_PLOT: usize = 12;

/// Rows of cells that are markup already. No rows, no table.
fn table(heads: &[Head<'_>], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let class = |head: &Head<'_>| if matches!(head, Number(_)) { r#" class="n""# } else { "" };
    let mut body = String::new();
    for row in rows {
        body.push_str("<tr>");
        for (cell, head) in row.iter().zip(heads) {
            let _ = write!(body, "<td{}>{cell}</td>", class(head));
        }
        body.push_str("</tr>");
    }
    if body.is_empty() {
        return body;
    }
    let mut text = String::from(r#"<div class="scroll"><table><thead><tr>"#);
    for head in heads {
        let (Text(name) | Number(name)) = head;
        let _ = write!(text, "<th{}>{}</th>", class(head), escape(name));
    }
    let _ = write!(text, "</tr></thead><tbody>{body}</tbody></table></div>");
    text
}

/// A value with a quieter remark after it.
fn remarked(value: &str, remark: &str) -> String {
    if remark.is_empty() { escape(value) } else { format!("{} <small>{}</small>", escape(value), escape(remark)) }
}

fn pill(ok: bool) -> String {
    let (class, text) = if ok { ("yes", "yes") } else { ("no", "no") };
    format!(r#"<span class="pill {class}">{text}</span>"#)
}

/// `0.12×` of the dense value, unless it is the dense value.
fn against(value: f64, dense: f64) -> String {
    let ratio = value / dense;
    if ratio.is_finite() && ratio > 0.0 && ratio != 1.0 { format!("{}×", format::ratio(ratio)) } else { String::new() }
}

pub(super) fn stages(report: &Report) -> String {
    let Some(dense) = report.baseline() else { return String::new() };
    let batches: BTreeSet<usize> = report.stages.iter().flat_map(|s| s.latency_us.keys().copied()).collect();
    let names: Vec<String> = batches.iter().map(|b| format!("batch {b}, p50")).collect();
    let mut heads = vec![
        Text("stage"),
        Number("accuracy"),
        Number("loss"),
        Text("units"),
        Number("parameters"),
        Number("nonzeros"),
    ];
    heads.extend([Number("FLOPs/sample"), Number("file")]);
    heads.extend(names.iter().map(|n| Number(n)));
    let row = |s: &Stage| {
        let p50 = |s: &Stage, batch| s.latency_us.get(batch).map_or(0.0, |l| l.p50);
        let flops = usize::try_from(s.flops_per_sample).map_or_else(|_| "-".into(), format::count);
        let file = if s.file_bytes == 0 { "-".into() } else { format::bytes(s.file_bytes) };
        let mut cells = vec![
            format!("<b>{}</b>", escape(&s.name)),
            s.accuracy.map_or("-".into(), |a| format::percent(a, 2)),
            format::significant(s.loss, 3),
            s.units.iter().map(|&u| format::count(u)).collect::<Vec<_>>().join("<i>-</i>"),
            format::count(s.parameters),
            format::count(s.nonzeros),
            flops,
            remarked(&file, &against(s.file_bytes as f64, dense.file_bytes as f64)),
        ];
        cells.extend(batches.iter().map(|b| remarked(&format::micros(p50(s, b)), &against(p50(s, b), p50(dense, b)))));
        cells
    };
    table(&heads, report.stages.iter().map(row))
}

pub(super) fn layers(report: &Report) -> String {
    let batches: BTreeSet<usize> = report.layers.iter().flat_map(|l| l.plan.keys().copied()).collect();
    let names: Vec<String> = batches.iter().map(|b| format!("kernel, batch {b}")).collect();
    let mut heads = vec![Text("layer"), Text("kind"), Number("shape"), Number("nonzeros")];
    heads.extend(names.iter().map(|n| Text(n)));
    let row = |l: &LayerRow| {
        let all = l.weights();
        let density = if all == 0 { String::new() } else { format::percent(l.nonzeros as f64 / all as f64, 0) };
        let shape = l.shape.iter().map(|&n| format::count(n)).collect::<Vec<_>>().join(" × ");
        let mut cells = vec![escape(&l.name), escape(&l.kind), shape, remarked(&format::count(l.nonzeros), &density)];
        cells.extend(batches.iter().map(|batch| match l.plan.get(batch) {
            None => "-".into(),
            Some(choice) => format!(
                r#"<span class="chip {kernel}">{kernel}</span> <small>{}</small>"#,
                escape(&choice.reason),
                kernel = escape(&choice.kernel.to_string()),
            ),
        }));
        cells
    };
    table(&heads, report.layers.iter().map(row))
}

pub(super) fn proof(report: &Report) -> String {
    let heads = [
        Text("models"),
        Text("equal"),
        Number("inputs"),
        Number("labels different"),
        Number("largest relative difference"),
        Number("tolerance"),
        Number("largest absolute difference"),
        Number("worst input"),
    ];
    let rows = report.proof.iter().map(|p| {
        vec![
            format!("{} {} {}", escape(&p.a), if p.equal { "=" } else { "≠" }, escape(&p.b)),
            pill(p.equal),
            format::count(p.inputs),
            format::count(p.labels_differ),
            format::tiny(p.max_rel_diff),
            format::tiny(p.tolerance),
            format::tiny(p.max_abs_diff),
            format!("#{}", p.worst_input),
        ]
    });
    table(&heads, rows)
}

pub(super) fn pruning(report: &Report) -> String {
    let heads = [
        Number("step"),
        Text("criterion"),
        Text("granularity"),
        Text("scope"),
        Number("removed"),
        Number("kept"),
        Text("parent"),
    ];
    let rows = report.pruning.iter().map(|s| {
        vec![
            s.step.to_string(),
            escape(&s.criterion),
            escape(&s.granularity),
            escape(&s.scope),
            format::count(s.removed),
            format::count(s.kept),
            format!("<code>{}</code>", escape(&s.parent)),
        ]
    });
    table(&heads, rows)
}

pub(super) fn warnings(report: &Report) -> String {
    let items: String = report.warnings.iter().map(|w| format!("<li>{}</li>", escape(w))).collect();
    if items.is_empty() { items } else { format!(r#"<ul class="warnings">{items}</ul>"#) }
}

pub(super) fn strategies(report: &Report) -> String {
    let heads = [Number("step"), Text("strategy"), Text("what it did"), Text("parent")];
    let rows = report.strategies.iter().map(|s| {
        let parent = format!("<code>{}</code>", escape(&s.parent));
        let summary = format!(r#"<span class="wrap">{}</span>"#, escape(&s.summary));
        vec![s.step.to_string(), escape(&s.name), summary, parent]
    });
    table(&heads, rows)
}

/// A table of results; a long one is folded.
pub(super) fn results(results: &spectral_core::Table) -> String {
    let is_text = |c: usize| results.rows.iter().any(|r| matches!(r.get(c), Some(Cell::Text(_))));
    let heads: Vec<Head<'_>> = results
        .columns
        .iter()
        .enumerate()
        .map(|(c, name)| if is_text(c) { Text(name) } else { Number(name) })
        .collect();
    let body = table(&heads, results.rows.iter().map(|row| row.iter().map(|cell| escape(&show(cell))).collect()));
    let unfolded = if results.plot.is_some() { UNFOLDED_WITH_PLOT } else { UNFOLDED };
    match results.rows.len() > unfolded {
        true => format!("<details><summary>{} rows</summary>{body}</details>", results.rows.len()),
        false => body,
    }
}

/// One foldable table a file, the first one open.
pub(super) fn files(report: &Report) -> String {
    let heads = [Text("tensor"), Text("encoding"), Number("stored"), Number("dense"), Number("ratio")];
    let mut text = String::new();
    for (i, file) in report.files.iter().enumerate() {
        let rows = file.tensors.iter().map(|t| {
            vec![
                escape(&t.name),
                format!(r#"<span class="chip">{}</span>"#, escape(&t.encoding)),
                format::bytes(t.bytes),
                format::bytes(t.dense_bytes),
                format!("{}×", format::ratio(t.bytes as f64 / t.dense_bytes as f64)),
            ]
        });
        let open = if i == 0 { r#" open="open""# } else { "" };
        let (name, bytes) = (escape(&file.file), format::bytes(file.bytes));
        let body = table(&heads, rows);
        let _ = write!(text, "<details{open}><summary>{name} <small>{bytes}</small></summary>{body}</details>");
    }
    text
}
