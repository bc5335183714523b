//! Families that libtorch does not run yet: the provided bodies run them on the host.

use crate::Torch;
use spectral_core::{PoolKernels, Samplewise};

impl PoolKernels for Torch {}
impl Samplewise for Torch {}
