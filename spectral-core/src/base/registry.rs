//! Finding plug-ins by name.
//!
//! Every extension point is a plain entry struct, collected by `inventory`. Rust links only crates that the program
//! mentions. So write `use my_plugin as _;` somewhere; otherwise the crate registers nothing.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cmp::Reverse;

#[doc(hidden)]
pub use inventory;

// For the macros below.
#[doc(hidden)]
pub use crate::base::Result as PartResult;
#[doc(hidden)]
pub use serde_json;

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

/// An entry that builds a part from parameters, in the form that recipes use.
pub trait Part: Registered {
    /// The trait of the parts that it builds.
    type Built: ?Sized;
    /// The parameters with their default values.
    fn defaults(&self) -> Value;
    /// Builds the part; absent parameters take their default values.
    ///
    /// # Errors
    /// A parameter is unknown or of another type.
    fn build(&self, parameters: Value) -> Result<Box<Self::Built>>;
}

/// A registered part with the parameters that differ from their default values: an optimiser, a criterion, a strategy.
///
/// In recipes: `"adam"`, or `{ name = "adam", rate = 0.01 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct ByName {
    /// Registry name.
    pub name: String,
    /// Parameters; absent ones take their default values.
    pub parameters: Map<String, Value>,
}

impl ByName {
    /// The part called `name` with its default parameters.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), parameters: Map::new() }
    }

    /// The same part with one more parameter.
    pub fn with(mut self, parameter: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(parameter.into(), value.into());
        self
    }

    /// Builds the part that entries of kind `E` describe.
    ///
    /// # Errors
    /// No linked crate registered that name (the error gives the nearest name), or a parameter is unknown or has
    /// another type.
    pub fn build<E: Part>(&self) -> Result<Box<E::Built>> {
        find::<E>(&self.name)?.build(Value::Object(self.parameters.clone()))
    }
}

impl From<ByName> for Value {
    fn from(part: ByName) -> Self {
        if part.parameters.is_empty() {
            return Self::String(part.name);
        }
        let mut table = part.parameters;
        table.insert("name".into(), Self::String(part.name));
        Self::Object(table)
    }
}

impl TryFrom<Value> for ByName {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(name) => Ok(Self::new(name)),
            Value::Object(mut parameters) => match parameters.remove("name") {
                Some(Value::String(name)) => Ok(Self { name, parameters }),
                Some(other) => Err(format!("`name` must be a string, is {other}")),
                None => Err("the table needs a `name`, for example { name = \"adam\", rate = 0.001 }".into()),
            },
            other => Err(format!("expected a name or a table with a `name`, got {other}")),
        }
    }
}

/// Declares the registry of one kind of part: `part_registry!(ScheduleEntry, "schedule", Schedule);`
///
/// It makes an entry struct of that name, collected by `inventory`, for parts that are `Box<dyn Schedule>`.
#[macro_export]
macro_rules! part_registry {
    ($(#[$doc:meta])* $entry:ident, $what:literal, $trait:ident) => {
        $(#[$doc])*
        pub struct $entry {
            /// Its name in recipes.
            pub name: &'static str,
            /// One line that says what it does.
            pub summary: &'static str,
            /// Its parameters with their default values.
            pub defaults: fn() -> $crate::registry::serde_json::Value,
            /// Builds it from parameters; absent ones take their default values.
            pub build: fn($crate::registry::serde_json::Value) -> $crate::registry::PartResult<::std::boxed::Box<dyn $trait>>,
        }

        $crate::registry::inventory::collect!($entry);

        impl $crate::registry::Registered for $entry {
            const WHAT: &'static str = $what;
            fn name(&self) -> &'static str {
                self.name
            }
            fn summary(&self) -> &'static str {
                self.summary
            }
        }

        impl $crate::registry::Part for $entry {
            type Built = dyn $trait;
            fn defaults(&self) -> $crate::registry::serde_json::Value {
                (self.defaults)()
            }
            fn build(
                &self,
                parameters: $crate::registry::serde_json::Value,
            ) -> $crate::registry::PartResult<::std::boxed::Box<dyn $trait>> {
                (self.build)(parameters)
            }
        }
    };
}

/// Registers a part of a kind that [`part_registry!`](crate::part_registry) declared; the macro of the kind calls it.
///
/// The type must implement `Default + serde::Serialize + serde::Deserialize` and the trait of its kind. `check` is
/// called with every part that is built.
#[macro_export]
macro_rules! register_part {
    ($entry:path, $type:ty, $name:literal, $summary:literal, check = $check:expr) => {
        $crate::registry::inventory::submit! {
            $entry {
                name: $name,
                summary: $summary,
                defaults: || $crate::layer::to_config($name, &<$type>::default()).unwrap_or_default(),
                build: |parameters| {
                    let part: $type = $crate::layer::from_config($name, parameters)?;
                    ($check)(&part)?;
                    Ok(::std::boxed::Box::new(part))
                },
            }
        }
    };
    ($entry:path, $type:ty, $name:literal, $summary:literal) => {
        $crate::register_part!(
            $entry,
            $type,
            $name,
            $summary,
            check = |_: &$type| -> $crate::registry::PartResult<()> { ::std::result::Result::Ok(()) }
        );
    };
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
    fn a_name_and_a_table_are_both_read_and_written_back() {
        for (json, rate) in [(r#""adam""#, None), (r#"{"name":"adam","rate":0.5}"#, Some(0.5))] {
            let part: ByName = serde_json::from_str(json).unwrap();
            assert_eq!((part.name.as_str(), part.parameters.get("rate").and_then(Value::as_f64)), ("adam", rate));
            let again: Value = serde_json::to_value(&part).unwrap();
            assert_eq!(again, serde_json::from_str::<Value>(json).unwrap());
        }
    }

    #[test]
    fn anything_else_says_what_is_missing() {
        for (json, word) in [("{\"rate\":1}", "needs a `name`"), ("{\"name\":1}", "must be a string"), ("3", "got 3")] {
            let error = serde_json::from_str::<ByName>(json).unwrap_err().to_string();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

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
