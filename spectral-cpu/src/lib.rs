//! The default backend: SIMD kernels and threads on the CPU.
