//! Element-wise kernels, and softmax with them.

use crate::kernel::LANES;
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, Activation, Dropout, Elementwise, Mask, Penalty, Result, RowCopy, Tensor};

impl<D: Device> Elementwise for Cuda<D> {
    fn activate_kernel(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        if act.is_elementwise() {
            let call = self.call(Source::Elementwise, "activate", x.dtype());
            return call.tensor(x).tensor(y).activation(act).over(x.len());
        }
        self.down_the_rows("softmax", x, y)
    }

    fn activate_vjp_kernel(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        if act.is_elementwise() {
            let call = self.call(Source::Elementwise, "activate_vjp", at.dtype());
            return call.tensor(at).tensor(dy).activation(act).over(at.len());
        }
        self.down_the_rows("softmax_vjp", at, dy)
    }

    fn scale_kernel(&self, alpha: f64, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let call = self.call(Source::Elementwise, "scale", x.dtype());
        call.tensor(x).size(0).tensor(y).size(0).real(alpha).accum(accum).over(x.len())
    }

    fn multiply_kernel(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let call = self.call(Source::Elementwise, "multiply", a.dtype());
        call.tensor(a).tensor(b).tensor(y).accum(accum).over(a.len())
    }

    fn copy_rows_kernel(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        let n = from.shape().columns();
        let call = self.call(Source::Elementwise, "scale", from.dtype());
        let call = call.tensor(from).size(op.from_row * n).tensor(to).size(op.to_row * n);
        call.real(1.0).accum(accum).over(op.rows * n)
    }

    fn dropout_kernel(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let call = self.call(Source::Elementwise, "dropout", x.dtype()).tensor(x).tensor(y);
        call.bits(op.key).bits(op.threshold()).real(op.scale()).accum(accum).over(x.len())
    }

    fn penalty_vjp_kernel(&self, penalty: Penalty, factor: f64, x: &Tensor, dx: &mut Tensor) -> Result<()> {
        let call = self.call(Source::Elementwise, "penalty_vjp", x.dtype()).tensor(x).tensor(dx);
        call.real(factor * penalty.l1).real(2.0 * factor * penalty.l2).over(x.len())
    }

    fn clamp(&self, limit: f64, t: &mut Tensor) -> Result<()> {
        self.call(Source::Elementwise, "clamp", t.dtype()).tensor(t).real(limit).over(t.len())
    }

    fn zero_where_kernel(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        let mask = self.mask(Some(mask))?;
        self.call(Source::Elementwise, "zero_where", t.dtype()).buffer(mask.as_deref()).tensor(t).over(t.len())
    }
}

impl<D: Device> Cuda<D> {
    /// Runs a kernel whose blocks have 32 samples each.
    fn down_the_rows(&self, name: &'static str, x: &Tensor, y: &Tensor) -> Result<()> {
        // Samples are the last axis, features all before; there are no columns in a tensor without rows.
        let (rows, batch) = (x.shape().rows(), x.shape().columns());
        let blocks = if rows == 0 { 0 } else { batch.div_ceil(LANES) };
        let call = self.call(Source::Reduce, name, x.dtype()).tensor(x).tensor(y);
        call.size(rows).size(batch).run([blocks, 1])
    }
}
