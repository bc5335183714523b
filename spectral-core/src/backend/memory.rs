//! Making tensors and moving values between the host and a device.

use crate::{DType, Element, Result, Shape, Tensor, Values};

/// Memory of a device. The only family a new backend must write.
pub trait Memory: std::fmt::Debug + Send + Sync {
    /// A tensor of zeros.
    ///
    /// # Errors
    /// The device is out of memory.
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor>;

    /// Copies host values into a tensor of as many elements.
    ///
    /// # Errors
    /// Element type, number of elements or device do not match.
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()>;

    /// Copies a tensor to the host, widened to f64 (exact).
    ///
    /// # Errors
    /// The tensor is on another device.
    fn download(&self, from: &Tensor) -> Result<Vec<f64>>;

    /// Copies host values, rounded to the tensor's element type, into a tensor of as many elements.
    ///
    /// # Errors
    /// As for [`upload`](Self::upload).
    fn write(&self, from: &[f64], to: &mut Tensor) -> Result<()> {
        match to.dtype() {
            DType::F32 => self.upload(Values::F32(&narrow(from)), to),
            DType::F64 => self.upload(Values::F64(from), to),
        }
    }

    /// `to = from`; shapes must agree.
    ///
    /// # Errors
    /// Shape or device do not match.
    fn copy(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        super::expect("copy", to.shape(), from.shape())?;
        self.write(&self.download(from)?, to)
    }

    /// Sets every element to `value`.
    ///
    /// # Errors
    /// The tensor is on another device.
    fn fill(&self, value: f64, to: &mut Tensor) -> Result<()> {
        self.write(&vec![value; to.len()], to)
    }

    /// Waits until all work submitted so far is done.
    ///
    /// # Errors
    /// Something failed on the device.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| f32::of(v)).collect()
}
