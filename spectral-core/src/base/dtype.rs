//! Element types of tensors.

use serde::{Deserialize, Serialize};

/// The element type of a tensor, known at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit floating point, for training and inference.
    F32,
    /// 64-bit floating point, for gradient checks and oracles.
    F64,
}

impl DType {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// An element type that a tensor can hold. Sealed: only the types in [`DType`] implement it.
pub trait Element: bytemuck::Pod + num_traits::Float + Send + Sync + std::fmt::Debug + sealed::Sealed {
    /// The run-time tag of this type.
    const DTYPE: DType;
    /// Converts from f64 to the nearest value.
    fn of(value: f64) -> Self;
    /// Converts to f64, exactly.
    fn wide(self) -> f64;
    /// Wraps a slice of this type in its run-time variant.
    fn values(slice: &[Self]) -> Values<'_>;
    /// The slice inside `values`, if it is of this type.
    fn of_values(values: Values<'_>) -> Option<&[Self]>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! element {
    ($t:ty, $variant:ident) => {
        impl Element for $t {
            const DTYPE: DType = DType::$variant;
            fn of(value: f64) -> Self {
                value as $t
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn values(slice: &[Self]) -> Values<'_> {
                Values::$variant(slice)
            }
            fn of_values(values: Values<'_>) -> Option<&[Self]> {
                match values {
                    Values::$variant(slice) => Some(slice),
                    _ => None,
                }
            }
        }
    };
}
element!(f32, F32);
element!(f64, F64);

/// A read-only slice in host memory with its element type. Criteria score such slices.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 32-bit values.
    F32(&'a [f32]),
    /// 64-bit values.
    F64(&'a [f64]),
}

impl Values<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
        }
    }

    /// Element `index` in 64 bits. Panics when out of range, as slices do.
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Self::F32(v) => f64::from(v[index]),
            Self::F64(v) => v[index],
        }
    }

    /// All elements in 64 bits.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }
}
