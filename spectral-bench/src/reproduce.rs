//! Published results, repeated with this workspace and put beside the published numbers.
//!
//! One result a file: how it is set up, what was published, and the bar that the repetition is held to.

mod eigenvalues_only;
mod lab;
mod mnist;
mod node_pruning;
mod repetition;
mod single_vector;
mod teacher_student;

pub(crate) use lab::{Lab, Scale};
pub(crate) use repetition::Repetition;

use crate::{Failure, Result};
use serde::Serialize;
use spectral_core::{Seed, Table, registry};

/// A published result that can be repeated.
pub(crate) struct Published {
    /// What it is asked for by.
    pub(crate) id: &'static str,
    /// What it claims.
    pub(crate) title: &'static str,
    /// Where it was published, and where its set-up comes from.
    pub(crate) source: &'static str,
    /// The options of the verb that it takes besides `--seeds`, `--first-seed` and `--epochs`.
    pub(crate) options: &'static [&'static str],
    /// Arms that `--arms` chooses among.
    pub(crate) arms: &'static [&'static str],
    /// Repeats it.
    pub(crate) run: fn(&Lab<'_>) -> Result<Outcome>,
}

/// Every result, in the order they are listed.
pub(crate) const ALL: [Published; 4] =
    [teacher_student::PUBLISHED, eigenvalues_only::PUBLISHED, single_vector::PUBLISHED, node_pruning::PUBLISHED];

/// The result called `id`, whatever the case.
///
/// # Errors
/// There is none of that name.
pub(crate) fn find(id: &str) -> Result<&'static Published> {
    ALL.iter().find(|p| p.id.eq_ignore_ascii_case(id)).ok_or_else(|| {
        let ids = ALL.map(|p| p.id);
        let near = registry::nearest(&id.to_uppercase(), ids);
        let near = near.map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        Failure::input(format!("no result `{id}`: {near}there are {}", ids.join(", ")))
    })
}

/// What a repetition found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// How it was done: seeds, epochs, what was reduced.
    pub(crate) setting: Vec<String>,
    /// Ours beside what was published.
    pub(crate) tables: Vec<Table>,
    /// The bars.
    pub(crate) checks: Vec<Check>,
}

/// A bar and what we reached.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) got: String,
    pub(crate) ok: bool,
}

impl Check {
    /// A value that must not be below `least`.
    fn at_least(what: impl Into<String>, got: f64, least: f64, unit: &str) -> Self {
        let text = |v: f64| format!("{v:.2}{unit}");
        Self { what: what.into(), wanted: format!("at least {}", text(least)), got: text(got), ok: got >= least }
    }

    /// A value that must lie between two others, ends included.
    fn between(what: impl Into<String>, got: f64, (low, high): (f64, f64), unit: &str) -> Self {
        let text = |v: f64| format!("{}{unit}", (v * 100.0).round() / 100.0);
        let wanted = format!("{} to {}", text(low), text(high));
        Self { what: what.into(), wanted, got: text(got), ok: got >= low && got <= high }
    }
}

/// `seed 4`, or `seeds 4 to 6`.
fn range(seeds: &[Seed]) -> String {
    match seeds {
        [first, .., last] => format!("seeds {} to {}", first.0, last.0),
        [one] => format!("seed {}", one.0),
        [] => "no seeds".into(),
    }
}

/// Mean and standard deviation (of a sample; 0 for a single value).
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 if middle > 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted.get(middle).copied().unwrap_or(f64::NAN),
    }
}

/// `97.31 ± 0.12`, or without the spread of a single value.
fn spread(values: &[f64], decimals: usize) -> String {
    let (mean, deviation) = mean_and_deviation(values);
    match values.len() {
        0 => "-".into(),
        1 => format!("{mean:.decimals$}"),
        _ => format!("{mean:.decimals$} ± {deviation:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_found_in_any_case_and_a_slip_is_named() {
        assert_eq!(find("t2B").unwrap().id, "T2b");
        for (id, near) in [("T9", "there are T1, T2, T2b, T3"), ("T2c", "did you mean `T2`"), ("", "T1, T2")] {
            let problem = find(id).map(|p| p.id).unwrap_err().to_string();
            assert!(problem.contains(near), "{id}: {problem}");
        }
    }

    #[test]
    fn seeds_are_named_by_the_first_and_the_last() {
        assert_eq!(range(&[Seed(4)]), "seed 4");
        assert_eq!(range(&[Seed(4), Seed(5), Seed(6)]), "seeds 4 to 6");
    }

    #[test]
    fn statistics_are_those_of_a_sample() {
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0, 6.0]);
        assert!((mean - 3.0).abs() < 1e-12 && (deviation - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((median(&[5.0, 1.0, 3.0]), median(&[4.0, 1.0, 3.0, 2.0]), median(&[7.0])), (3.0, 2.5, 7.0));
        assert_eq!((spread(&[97.31], 2), spread(&[1.0, 3.0], 1)), ("97.31".into(), "2.0 ± 1.4".into()));
    }

    #[test]
    fn bars_can_be_missed() {
        assert!(Check::at_least("a", 92.5, 92.5, " %").ok && !Check::at_least("a", 92.49, 92.5, " %").ok);
        for (got, ok) in [(17.9, false), (18.0, true), (25.0, true), (25.5, false), (f64::NAN, false)] {
            assert_eq!(Check::between("a", got, (18.0, 25.0), "").ok, ok, "{got}");
        }
    }
}
