use crate::Cpu;
use spectral_core::SparseKernels;

impl SparseKernels for Cpu {}
