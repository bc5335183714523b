use crate::Cpu;
use spectral_core::UpdateKernels;

impl UpdateKernels for Cpu {}
