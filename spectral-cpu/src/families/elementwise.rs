use crate::Cpu;
use spectral_core::Elementwise;

impl Elementwise for Cpu {}
