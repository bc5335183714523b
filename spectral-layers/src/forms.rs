//! The forms of activations and initialisers in recipes.

use crate::Dense;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use spectral_core::registry::Unknown;
use spectral_core::{Activation, Init};

/// Initialisers without parameters.
const INITS: [&str; 12] = [
    "fan_in_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "xavier",
    "zeros",
];

/// Initialisers with default parameters, those of Keras.
fn usual(name: &str) -> Option<Init> {
    match name {
        "random_normal" => Some(Init::Normal { mean: 0.0, deviation: 0.05 }),
        "random_uniform" => Some(Init::Uniform { low: -0.05, high: 0.05 }),
        "truncated_normal" => Some(Init::TruncatedNormal { mean: 0.0, deviation: 0.05 }),
        _ => None,
    }
}

/// An activation as a name with its default parameters (`"leaky_relu"`) or as a table
/// (`{ leaky_relu = { slope = 0.2 } }`).
pub(crate) fn activation<'de, D: Deserializer<'de>>(from: D) -> Result<Activation, D::Error> {
    match Value::deserialize(from)? {
        Value::String(name) => Activation::named(&name).map_err(D::Error::custom),
        table => read(table),
    }
}

/// An initialiser as a name (`"glorot_uniform"`), a number (that constant) or a table
/// (`{ uniform = { low = -0.5, high = 0.5 } }`).
pub(crate) fn init<'de, D: Deserializer<'de>>(from: D) -> Result<Init, D::Error> {
    read(canonical_init(Value::deserialize(from)?).map_err(D::Error::custom)?)
}

/// A table whose values are initialisers, each in one of the forms of [`init`].
pub(crate) fn inits<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let mut table = Value::deserialize(from)?;
    for value in table.as_object_mut().into_iter().flat_map(|t| t.values_mut()) {
        *value = canonical_init(value.take()).map_err(D::Error::custom)?;
    }
    read(table)
}

fn canonical_init(value: Value) -> Result<Value, Unknown> {
    match value {
        Value::Number(constant) => Ok(serde_json::json!({ "constant": constant })),
        Value::String(name) if usual(&name).is_some() => Ok(serde_json::to_value(usual(&name)).unwrap_or_default()),
        Value::String(name) if !INITS.contains(&name.as_str()) => {
            let tables = ["constant", "normal", "random_normal", "random_uniform", "truncated_normal", "uniform"];
            let known: Vec<&str> = INITS.into_iter().chain(tables).collect();
            Err(Unknown::new("initialiser", &name, &known))
        }
        other => Ok(other),
    }
}

fn read<T: DeserializeOwned, E: serde::de::Error>(value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(E::custom)
}

/// Reads a setting that a layer has in addition to those of the [`Dense`] layer it embeds, and the rest of the table as
/// that layer. So unknown settings are refused, which embedding alone would not do.
pub(crate) fn beside_dense<T: DeserializeOwned>(
    mut table: Map<String, Value>,
    key: &str,
) -> Result<(T, Dense), String> {
    let own = table.remove(key).ok_or_else(|| format!("missing field `{key}`"))?;
    let own = serde_json::from_value(own).map_err(|e| format!("`{key}`: {e}"))?;
    Ok((own, serde_json::from_value(Value::Object(table)).map_err(|e| e.to_string())?))
}

/// Whether a setting has its default value. Such settings are not written.
pub(crate) fn is_default<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn glorot_uniform() -> Init {
    Init::GlorotUniform
}

pub(crate) fn ones() -> Init {
    Init::Ones
}

pub(crate) fn zeros() -> Init {
    Init::Zeros
}

#[cfg(test)]
mod tests {
    use crate::{Dense, Spectral};
    use serde_json::json;
    use spectral_core::{Activation, Init};

    #[test]
    fn activations_are_names_or_tables() {
        for (form, want) in [
            (json!("relu"), Activation::Relu),
            (json!("leaky_relu"), Activation::LeakyRelu { slope: 0.01 }),
            (json!({ "leaky_relu": { "slope": 0.2 } }), Activation::LeakyRelu { slope: 0.2 }),
        ] {
            let layer: Dense = serde_json::from_value(json!({ "units": 1, "activation": form })).unwrap();
            assert_eq!(layer.activation, want);
        }
        let bad = serde_json::from_value::<Dense>(json!({ "units": 1, "activation": "rellu" })).unwrap_err();
        assert!(bad.to_string().contains("did you mean `relu`?"), "{bad}");
        assert!(serde_json::from_value::<Dense>(json!({ "units": 1, "activation": 3 })).is_err());
    }

    #[test]
    fn initialisers_are_names_numbers_or_tables() {
        for (form, want) in [
            (json!("he_normal"), Init::HeNormal),
            (json!(0.25), Init::Constant(0.25)),
            (json!("random_uniform"), Init::Uniform { low: -0.05, high: 0.05 }),
            (json!("orthogonal"), Init::Orthogonal),
            (
                json!({ "truncated_normal": { "mean": 0.0, "deviation": 1.0 } }),
                Init::TruncatedNormal { mean: 0.0, deviation: 1.0 },
            ),
            (json!({ "uniform": { "low": -0.5, "high": 0.5 } }), Init::Uniform { low: -0.5, high: 0.5 }),
        ] {
            let layer: Dense = serde_json::from_value(json!({ "units": 1, "init": form })).unwrap();
            assert_eq!(layer.init, want);
            let layer: Spectral =
                serde_json::from_value(json!({ "units": 1, "init": { "lambda_out": form } })).unwrap();
            assert_eq!((layer.init.lambda_out, layer.init.basis), (want, Init::GlorotUniform));
        }
        let bad = serde_json::from_value::<Dense>(json!({ "units": 1, "init": "he_norml" })).unwrap_err();
        assert!(bad.to_string().contains("did you mean `he_normal`?"), "{bad}");
        let bad = serde_json::from_value::<Spectral>(json!({ "units": 1, "init": { "phi": "ones" } })).unwrap_err();
        assert!(bad.to_string().contains("unknown field `phi`"), "{bad}");
    }
}
