//! Finding plug-ins by name.
//!
//! Every extension point is a plain entry struct, collected by `inventory`. Rust links only crates that the program
//! mentions. So write `use my_plugin as _;` somewhere; otherwise the crate registers nothing.

use crate::base::{Error, Result};
use std::cmp::Reverse;

#[doc(hidden)]
pub use inventory;

/// An entry that plug-in crates submit.
pub trait Registered: inventory::Collect + Sync {
    /// The kind of part, for messages: `layer`, `criterion`, ...
    const WHAT: &'static str;
    /// The name that users write.
    fn name(&self) -> &'static str;
    /// One line that says what it does.
    fn summary(&self) -> &'static str;
}

/// Every entry of one kind, sorted by name.
///
/// # Errors
/// Two entries have the same name.
pub fn all<T: Registered>() -> Result<Vec<&'static T>> {
    let mut entries: Vec<&'static T> = inventory::iter::<T>.into_iter().collect();
    // Link order is not stable across builds.
    entries.sort_by_key(|e| e.name());
    match entries.windows(2).find(|w| w[0].name() == w[1].name()) {
        Some(twice) => Err(Error::Duplicate { what: T::WHAT, name: twice[0].name().into() }),
        None => Ok(entries),
    }
}

/// The entry called `name`.
///
/// # Errors
/// No linked crate registered that name (the error lists the known names and the nearest one), or two crates did.
pub fn find<T: Registered>(name: &str) -> Result<&'static T> {
    let entries = all::<T>()?;
    let known: Vec<&str> = entries.iter().map(|e| e.name()).collect();
    match known.iter().position(|k| *k == name) {
        Some(i) => Ok(entries[i]),
        None => Err(Unknown { registered: true, ..Unknown::new(T::WHAT, name, &known) }.into()),
    }
}

/// An unknown name, with help to find the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The kind of part that was asked for.
    pub what: String,
    /// The name that was asked for.
    pub name: String,
    /// The most similar known name, if there is one.
    pub nearest: Option<String>,
    /// All known names.
    pub known: Vec<String>,
    /// Whether crates register such names, so that linking one more crate may help.
    pub registered: bool,
}

impl Unknown {
    /// Reports `name` as unknown. `known` lists all valid names.
    pub fn new(what: &str, name: &str, known: &[&str]) -> Self {
        Self {
            what: what.into(),
            name: name.into(),
            nearest: nearest(name, known.iter().copied()).map(Into::into),
            known: known.iter().map(|&k| k.into()).collect(),
            registered: false,
        }
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown {} `{}`", self.what, self.name)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        let link = "; a plug-in crate must be mentioned by the program, `use its_name as _;`";
        write!(f, " (known: {}{})", self.known.join(", "), if self.registered { link } else { "" })
    }
}

impl std::error::Error for Unknown {}

/// The candidate nearest to `name` by edit distance, if it is near enough to be a typing error. Of several, the one
/// that shares the longest prefix with `name`.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 2.max(name.chars().count() / 3);
    let prefix = |c: &str| name.chars().zip(c.chars()).take_while(|(a, b)| a == b).count();
    let ranked = candidates.into_iter().map(|c| (edit_distance(name, c), Reverse(prefix(c)), c));
    ranked.filter(|(d, ..)| *d <= limit).min().map(|(.., c)| c)
}

/// Levenshtein distance over characters, ignoring case.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let known = ["eigenvalue", "magnitude", "random"];
        assert_eq!(nearest("eigenvalues", known), Some("eigenvalue"));
        assert_eq!(nearest("Magnitud", known), Some("magnitude"));
        assert_eq!(nearest("taylor", known), None);
        assert_eq!(nearest("unit", ["init", "units"]), Some("units"));
    }

    #[test]
    fn unknown_lists_what_there_is() {
        let unknown = Unknown::new("criterion", "randon", &["magnitude", "random"]);
        assert_eq!(
            unknown.to_string(),
            "unknown criterion `randon`; did you mean `random`? (known: magnitude, random)"
        );
        assert_eq!(
            Unknown { registered: true, ..unknown }.to_string(),
            "unknown criterion `randon`; did you mean `random`? (known: magnitude, random; a plug-in crate must be \
             mentioned by the program, `use its_name as _;`)"
        );
    }
}
