//! The CUDA backend: every kernel family of `spectral-core` on a GPU.
//!
//! [`Cuda`] launches the kernels in `kernels/*.cu` on a [`Device`] that compiles and runs them. With the feature `cuda`
//! that is a GPU through its driver (`Gpu`): kernels are compiled by NVRTC when they are first needed, all libraries
//! are loaded when the backend is opened, and nothing of CUDA is needed to build. Tests run the same kernels and the
//! same launches on the CPU, by a C++ compiler.
//!
//! Never does: file formats, training loops, choosing between dense and sparse. Depends on `spectral-core` only.

mod backend;
mod device;
mod families;
mod kernel;
mod memory;

pub use backend::Cuda;
#[cfg(feature = "cuda")]
pub use device::driver::{Gpu, compile};
pub use device::{Address, Device, Gemm, Launch, Matrix, Multiplied};
pub use kernel::{Arg, Kernel, Source, THREADS};
