use crate::Cpu;
use spectral_core::SpectralKernels;

impl SpectralKernels for Cpu {}
