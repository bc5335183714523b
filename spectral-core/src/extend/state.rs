//! What moves in training, written down.

use crate::backend::Backend;
use crate::base::{DType, Error, Result};
use crate::tensor::{Shape, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a part of training remembers, written down so that a run can stop and go on to the same bits: settings and
/// numbers as JSON, tensors as bytes.
///
/// Whoever remembers something from step to step has a pair of methods, `save` and `load`: an optimiser's state, a
/// [`TrainHook`](crate::extend::TrainHook), a trainer in the middle of a run. What `load` gets is what `save` gave, and
/// a model as it was then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Numbers and settings.
    #[serde(default)]
    pub fields: serde_json::Value,
    /// Tensors, in the order of whoever saved them.
    #[serde(default)]
    pub tensors: Vec<StateTensor>,
    /// The states of parts.
    #[serde(default)]
    pub parts: Vec<State>,
}

/// A tensor as bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateTensor {
    /// Its extents.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Its elements, little-endian.
    pub bytes: Vec<u8>,
}

impl State {
    /// Fields alone.
    ///
    /// # Errors
    /// They cannot be written as JSON.
    pub fn of(fields: &impl Serialize) -> Result<Self> {
        let fields = serde_json::to_value(fields).map_err(|e| Error::config("saved state", e.to_string()))?;
        Ok(Self { fields, ..Self::default() })
    }

    /// Reads the fields back.
    ///
    /// # Errors
    /// They are those of something else.
    pub fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let fields = T::deserialize(&self.fields);
        fields.map_err(|e| Error::config(format!("saved state of {what}"), format!("cannot be read: {e}")))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.fields.is_null() && self.tensors.is_empty() && self.parts.is_empty()
    }
}

impl StateTensor {
    /// Writes a tensor down.
    ///
    /// # Errors
    /// The device failed.
    pub fn save(backend: &dyn Backend, tensor: &Tensor) -> Result<Self> {
        let values = backend.download(tensor)?;
        // Widening an f32 and narrowing it again gives the same bits.
        let bytes = match tensor.dtype() {
            DType::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            DType::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        Ok(Self { shape: tensor.shape(), dtype: tensor.dtype(), bytes })
    }

    /// Reads it back onto a device.
    ///
    /// # Errors
    /// The number of bytes is not that of the shape, or the device failed.
    pub fn load(&self, backend: &dyn Backend) -> Result<Tensor> {
        let width = match self.dtype {
            DType::F32 => size_of::<f32>(),
            DType::F64 => size_of::<f64>(),
        };
        if Some(self.bytes.len()) != self.shape.len().checked_mul(width) {
            return Err(Error::shape("saved tensor", self.shape, format!("{} bytes", self.bytes.len())));
        }
        let mut tensor = backend.zeros(self.shape, self.dtype)?;
        let values: Vec<f64> = match self.dtype {
            DType::F32 => {
                let (chunks, _) = self.bytes.as_chunks::<4>();
                chunks.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            DType::F64 => {
                let (chunks, _) = self.bytes.as_chunks::<8>();
                chunks.iter().map(|b| f64::from_le_bytes(*b)).collect()
            }
        };
        backend.write(&values, &mut tensor)?;
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory as _, Reference};

    #[test]
    fn tensors_come_back_to_the_bit() {
        for dtype in [DType::F32, DType::F64] {
            let mut tensor = Reference.zeros(Shape::matrix(2, 3), dtype).unwrap();
            Reference.write(&[0.1, -0.0, f64::MIN_POSITIVE, 1e-40, 3.0, -7.25], &mut tensor).unwrap();
            let saved = StateTensor::save(&Reference, &tensor).unwrap();
            let text = serde_json::to_string(&saved).unwrap();
            let back = serde_json::from_str::<StateTensor>(&text).unwrap().load(&Reference).unwrap();
            assert_eq!(StateTensor::save(&Reference, &back).unwrap(), saved);
            let short = StateTensor { bytes: saved.bytes[1..].to_vec(), ..saved };
            assert!(short.load(&Reference).unwrap_err().to_string().contains("bytes"));
        }
    }

    #[test]
    fn fields_of_something_else_are_named() {
        let state = State::of(&serde_json::json!({ "step": "three" })).unwrap();
        let error = state.read::<crate::extend::Progress>("a run").unwrap_err().to_string();
        assert!(error.contains("saved state of a run"), "{error}");
    }
}
