//! Families without kernels of their own: the provided bodies run them on the host.

use crate::{Cuda, Device};
use spectral_core::{PoolKernels, Samplewise};

impl<D: Device> PoolKernels for Cuda<D> {}
impl<D: Device> Samplewise for Cuda<D> {}
