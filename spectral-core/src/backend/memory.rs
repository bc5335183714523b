//! Making tensors and moving values between the host and a device.

use crate::base::{DType, Element, Error, Result, Values};
use crate::tensor::{Shape, Tensor, boundary};

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

    /// Copies samples of a table `[samples, features]`, converted to the tensor's element type, into a tensor
    /// `[features, batch]`, whose features may have several axes: column `b` is sample `sample(b)`. How many features a
    /// sample has is taken from the tensor.
    ///
    /// # Errors
    /// The table does not consist of samples of so many features, or the tensor is on another device.
    ///
    /// # Panics
    /// There is no such sample.
    fn upload_samples(
        &self,
        table: Values<'_>,
        sample: &(dyn Fn(usize) -> usize + Sync),
        to: &mut Tensor,
    ) -> Result<()> {
        let features = sample_features(table, to)?;
        match (table, to.dtype()) {
            (Values::F32(table), DType::F32) => upload_transposed::<_, _, f32>(self, (table, features), sample, to),
            (Values::F32(table), DType::F64) => upload_transposed::<_, _, f64>(self, (table, features), sample, to),
            (Values::F64(table), DType::F32) => upload_transposed::<_, _, f32>(self, (table, features), sample, to),
            (Values::F64(table), DType::F64) => upload_transposed::<_, _, f64>(self, (table, features), sample, to),
        }
    }

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
        self.copy_kernel(from, to)
    }

    /// [`copy`](Self::copy) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// A tensor is on another device.
    fn copy_kernel(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
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

/// Features of a sample of `table` in `to`, `[features, batch]`.
///
/// # Errors
/// The table does not consist of such samples.
pub fn sample_features(table: Values<'_>, to: &Tensor) -> Result<usize> {
    let batch = to.shape().extents().last().copied().unwrap_or(1);
    let features = to.len() / batch.max(1);
    if table.len().checked_rem(features).is_some_and(|rest| rest > 0) {
        let expected = format!("samples of {features} features");
        return Err(Error::shape("upload_samples", expected, format!("{} values", table.len())));
    }
    Ok(features)
}

fn upload_transposed<B: Memory + ?Sized, F: Element, E: Element>(
    backend: &B,
    (table, features): (&[F], usize),
    sample: &(dyn Fn(usize) -> usize + Sync),
    to: &mut Tensor,
) -> Result<()> {
    let batch = to.len().checked_div(features).unwrap_or(0);
    let row = |b: usize| &table[sample(b) * features..(sample(b) + 1) * features];
    let fill = |to: &mut [E]| boundary::transpose(batch, row, |x| E::of(x.wide()), to);
    if let Ok(to) = to.host_mut::<E>() {
        fill(to);
        return Ok(());
    }
    let mut staged = vec![E::zero(); to.len()];
    fill(&mut staged);
    backend.upload(E::values(&staged), to)
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| f32::of(v)).collect()
}
