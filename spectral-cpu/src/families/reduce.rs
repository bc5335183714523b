use crate::Cpu;
use spectral_core::Reduce;

impl Reduce for Cpu {}
