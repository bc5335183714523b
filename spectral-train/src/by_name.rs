//! A registered part as recipes write it: a name, or a table with a name and parameters.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A registered part with the parameters that differ from their usual values.
///
/// Written `"adam"`, or `{ name = "adam", rate = 0.01 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct ByName {
    /// Registry name.
    pub name: String,
    /// Parameters; absent ones take their usual values.
    pub parameters: Map<String, Value>,
}

impl ByName {
    /// The part called `name` with its usual parameters.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), parameters: Map::new() }
    }

    /// The same with one more parameter.
    pub fn with(mut self, parameter: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(parameter.into(), value.into());
        self
    }

    /// The parameters as registry entries take them.
    pub(crate) fn config(&self) -> Value {
        Value::Object(self.parameters.clone())
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
}
