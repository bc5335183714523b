//! Sparse layers, conversion and the measured choice of kernel.
