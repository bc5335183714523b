use crate::Cpu;
use spectral_core::DenseKernels;

impl DenseKernels for Cpu {}
