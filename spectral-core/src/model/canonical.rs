//! The settings of a layer in the single form that files and hashes use.

use crate::base::{Result, registry};
use crate::model::layer::{Layer, LayerEntry};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The settings of a layer, without those that have their default value.
#[derive(Debug, Clone, PartialEq)]
pub struct CanonicalConfig {
    /// The version of the settings, see [`LayerEntry::version`].
    pub version: u32,
    /// The settings as JSON.
    pub config: Value,
}

/// Computes canonical settings, once for layers with equal settings, because deep networks repeat theirs.
///
/// A setting with a default that a later program adds changes neither the files nor the [content
/// hashes](crate::model::ContentHash) of models that do not use it. Defaults are found by trying: a setting, or a part
/// of one, is left out if a layer built without it has the same settings. A kind that no linked crate registered keeps
/// all its settings, as version 1.
#[derive(Debug, Default)]
pub struct CanonicalConfigs(HashMap<(&'static str, String), CanonicalConfig>);

impl CanonicalConfigs {
    /// The canonical settings of `layer`.
    ///
    /// # Errors
    /// The layer cannot give its settings.
    pub fn of(&mut self, layer: &dyn Layer) -> Result<&CanonicalConfig> {
        let full = layer.config()?;
        Ok(match self.0.entry((layer.kind(), full.to_string())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(canonical(layer.kind(), full)),
        })
    }
}

fn canonical(kind: &str, full: Value) -> CanonicalConfig {
    let Ok(entry) = registry::find::<LayerEntry>(kind) else { return CanonicalConfig { version: 1, config: full } };
    let same = |config: &Value| (entry.build)(config.clone()).and_then(|l| l.config()).is_ok_and(|c| c == full);
    let mut config = full.clone();
    if let Value::Object(settings) = &full {
        reduce(&mut config, &mut Vec::new(), settings, &same);
    }
    CanonicalConfig { version: entry.version, config }
}

/// Removes from `config` every one of `settings`, which are at `path` in it, that is not needed.
fn reduce(config: &mut Value, path: &mut Vec<String>, settings: &Map<String, Value>, same: &dyn Fn(&Value) -> bool) {
    let mut names: Vec<&String> = settings.keys().collect();
    names.sort();
    for name in names {
        let mut without = config.clone();
        let parent = path.iter().try_fold(&mut without, |at, key| at.get_mut(key.as_str()));
        if let Some(Value::Object(parent)) = parent {
            parent.remove(name);
        }
        if same(&without) {
            *config = without;
        } else if let Value::Object(parts) = &settings[name] {
            path.push(name.clone());
            reduce(config, path, parts, same);
            path.pop();
        }
    }
}

/// Appends a JSON value to `to` as bytes that do not depend on the order of keys or the spelling of numbers.
///
/// A byte says what follows: 0 null, 1 false, 2 true, 3 a whole number, 4 another number, 5 text, 6 an array, 7 an
/// object. A whole number is 16 bytes, signed; other numbers are the 8 bytes of an f64; text is its length and its
/// bytes; an array is its length and its elements; an object is its length and, sorted by key, each key as text and its
/// value. Lengths are 8 bytes, everything is little-endian. `2.0` is a whole number, `-0.0` is not.
pub(crate) fn encode_json(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Null => to.push(0),
        Value::Bool(false) => to.push(1),
        Value::Bool(true) => to.push(2),
        Value::Number(number) => encode_number(number, to),
        Value::String(text) => {
            to.push(5);
            encode_text(text, to);
        }
        Value::Array(elements) => {
            to.push(6);
            to.extend_from_slice(&(elements.len() as u64).to_le_bytes());
            elements.iter().for_each(|e| encode_json(e, to));
        }
        Value::Object(members) => {
            to.push(7);
            to.extend_from_slice(&(members.len() as u64).to_le_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            for (key, value) in members {
                encode_text(key, to);
                encode_json(value, to);
            }
        }
    }
}

fn encode_text(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u64).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

fn encode_number(number: &Number, to: &mut Vec<u8>) {
    /// Below this, every whole f64 is exact as an integer.
    const EXACT: f64 = (1u64 << 53) as f64;
    let float = number.as_f64().unwrap_or(f64::NAN);
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(|| {
        let whole = float.fract() == 0.0 && float.abs() < EXACT && !(float == 0.0 && float.is_sign_negative());
        whole.then_some(float as i128)
    });
    match whole {
        Some(whole) => {
            to.push(3);
            to.extend_from_slice(&whole.to_le_bytes());
        }
        None => {
            to.push(4);
            to.extend_from_slice(&float.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bytes(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_json(value, &mut bytes);
        bytes
    }

    #[test]
    fn numbers_are_what_they_mean_and_not_how_they_are_written() {
        assert_eq!(bytes(&json!(2)), bytes(&json!(2.0)));
        assert_eq!(bytes(&json!(-7)), [&[3][..], &(-7i128).to_le_bytes()].concat());
        assert_eq!(bytes(&json!(u64::MAX)), [&[3][..], &i128::from(u64::MAX).to_le_bytes()].concat());
        assert_eq!(bytes(&json!(0.5)), [&[4][..], &0.5f64.to_le_bytes()].concat());
        let [zero, negative, large] = [json!(0.0), json!(-0.0), json!(1e300)].map(|v| bytes(&v));
        assert_ne!(zero, negative);
        assert_eq!(large[0], 4);
    }

    #[test]
    fn keys_are_sorted_and_parts_cannot_run_together() {
        let object = bytes(&json!({ "b": [null, true], "a": false }));
        let expected: &[&[u8]] = &[
            &[7, 2, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, b'a', 1],
            &[1, 0, 0, 0, 0, 0, 0, 0, b'b', 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        ];
        assert_eq!(object, expected.concat());
        assert_ne!(bytes(&json!(["ab", "c"])), bytes(&json!(["a", "bc"])));
        assert_ne!(bytes(&json!([[1], 2])), bytes(&json!([[1, 2]])));
    }
}
