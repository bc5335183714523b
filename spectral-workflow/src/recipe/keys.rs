//! Turning what the TOML reader says into one sentence with the nearest known key.

use spectral_core::registry::nearest;

/// The error as one line, with the line and column it points at.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    // The reader draws the place over several lines; its first line says where, its last says what.
    let place = text.lines().next().unwrap_or_default().strip_prefix("TOML parse error at ").unwrap_or_default();
    let what = error.message().lines().collect::<Vec<_>>().join("; ");
    if place.is_empty() { what } else { format!("{place}: {what}") }
}

/// As [`one_line`], and for an unknown key the table it is in and the known key it is most like.
pub(super) fn explain(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let section = error.span().and_then(|span| section_at(text, span.start));
    let place = section.map_or_else(String::new, |s| format!("{s}: "));
    if let Some(problem) = unknown_key(&message) {
        return format!("{place}{problem}");
    }
    let key = error.span().and_then(|span| key_at(text, span.start));
    let key = key.map_or_else(String::new, |k| format!("`{k}`: "));
    format!("{place}{key}{message}")
}

/// The first number that is not finite, with the key that leads to it. Many settings pass through JSON, which has no
/// such numbers.
pub(super) fn not_finite(table: &toml::Table) -> Option<(String, f64)> {
    fn search(key: String, value: &toml::Value) -> Option<(String, f64)> {
        match value {
            toml::Value::Float(v) if !v.is_finite() => Some((key, *v)),
            toml::Value::Array(list) => {
                list.iter().enumerate().find_map(|(i, value)| search(format!("{key}.{i}"), value))
            }
            toml::Value::Table(table) => table.iter().find_map(|(name, value)| search(format!("{key}.{name}"), value)),
            _ => None,
        }
    }
    table.iter().find_map(|(key, value)| search(key.clone(), value))
}

/// What serde says about an unknown field, with the known one it is most like.
pub(super) fn unknown_key(message: &str) -> Option<String> {
    let key = message.split_once("unknown field ")?.1.split('`').nth(1)?;
    let known: Vec<&str> = message
        .split_once("expected ")
        .map(|(_, list)| list.split('`').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let near = nearest(key, known.iter().copied()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
    Some(format!("unknown key `{key}`{near} (known: {})", known.join(", ")))
}

/// The key on whose line a value stands.
fn key_at(text: &str, position: usize) -> Option<&str> {
    let line = text.get(..position)?.rsplit('\n').next()?;
    line.split_once('=').map(|(key, _)| key.trim())
}

/// The last table header before a byte position.
fn section_at(text: &str, position: usize) -> Option<String> {
    let before = text.get(..position.min(text.len()))?;
    // The position may be that of the header itself.
    let here = text.get(position..)?.lines().next().filter(|l| l.starts_with('['));
    here.or_else(|| before.lines().rev().find(|l| l.starts_with('['))).map(str::to_string)
}
