//! The kernel families of [`Cpu`](crate::Cpu): core has checked the shapes; tensors are opened here, kernels see
//! slices.

mod convolution;
mod dense;
mod elementwise;
mod memory;
mod pooling;
mod reduce;
mod samplewise;
mod sparse;
mod spectral;
mod unitwise;
mod update;

/// Elements of one panel of an element-wise kernel; smaller tensors stay on the calling thread.
pub(crate) const GRAIN: usize = 32 * 1024;

/// Rows of `columns` elements that make up about [`GRAIN`] elements.
pub(crate) fn row_grain(columns: usize) -> usize {
    GRAIN.div_ceil(columns.max(1))
}

/// Evaluates `$body` with `$e` bound to the element type of `$tensor`.
macro_rules! typed {
    ($tensor:expr, $e:ident => $body:expr) => {
        match $tensor.dtype() {
            spectral_core::DType::F32 => {
                type $e = f32;
                $body
            }
            spectral_core::DType::F64 => {
                type $e = f64;
                $body
            }
        }
    };
}
pub(crate) use typed;
