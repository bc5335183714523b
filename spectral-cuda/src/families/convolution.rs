//! Convolutions as products: every window of the images is a column of the scratch matrix.

use super::dense::Epilogue;
use crate::device::call::Call;
use crate::{Cuda, Device, Source};
use spectral_core::backend::{Conv2d, ConvGrads};
use spectral_core::{Accum, ConvKernels, Result, RowSum, Shape, Tensor};

impl<D: Device> ConvKernels for Cuda<D> {
    fn conv2d_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        y: &mut Tensor,
        pre: Option<&mut Tensor>,
    ) -> Result<()> {
        let shape = op.output("conv2d")?;
        let call = self.call(Source::Convolution, "windows", y.dtype()).tensor(op.x).tensor(scratch);
        grid(call, op, shape).over(scratch.len())?;
        if op.groups > 1 {
            let call = self.call(Source::Convolution, "grouped", y.dtype()).tensor(op.weight).tensor(scratch);
            let call = call.maybe(op.bias).tensor(y).maybe(pre.as_deref());
            return groups(call, op, shape).activation(op.activation).over(shape.len());
        }
        let extents = [shape.rows(), shape.columns(), op.weight.shape().columns()];
        let epilogue = Epilogue { bias: op.bias, activation: op.activation, before: pre };
        self.product([(op.weight, false), (scratch, false)], extents, (y, Accum::Replace), epilogue)
    }

    fn conv2d_vjp_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        dz: &Tensor,
        grads: ConvGrads<'_>,
    ) -> Result<()> {
        let shape = op.output("conv2d_vjp")?;
        let (out, places, taps) = (shape.rows(), shape.columns(), op.weight.shape().columns());
        let grouped = op.groups > 1;
        if let Some(slot) = grads.bias {
            self.sums_of_rows(RowSum::Plain, dz, slot)?;
        }
        if let (true, Some(slot)) = (grouped, &grads.weight) {
            let call = self.call(Source::Convolution, "grouped_weights", dz.dtype()).tensor(dz).tensor(scratch);
            let call = groups(call.tensor(slot.tensor), op, shape).accum(slot.accum);
            call.size(op.weight.len()).each(op.weight.len())?;
        } else if let Some(slot) = grads.weight {
            let target = (slot.tensor, slot.accum);
            self.product([(dz, false), (scratch, true)], [out, taps, places], target, Epilogue::default())?;
        }
        let Some(slot) = grads.x else { return Ok(()) };
        // The windows themselves are needed no more: their gradients take their place.
        if grouped {
            let call = self.call(Source::Convolution, "grouped_windows", dz.dtype()).tensor(op.weight).tensor(dz);
            groups(call.tensor(scratch), op, shape).over(scratch.len())?;
        } else {
            let factors = [(op.weight, true), (dz, false)];
            self.product(factors, [taps, places, out], (scratch, Accum::Replace), Epilogue::default())?;
        }
        let call = self.call(Source::Convolution, "images", dz.dtype()).tensor(scratch).tensor(slot.tensor);
        grid(call, op, shape).accum(slot.accum).over(op.x.len())
    }

    fn reshaped_kernel(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let call = self.call(Source::Elementwise, "scale", x.dtype());
        call.tensor(x).size(0).tensor(y).size(0).real(1.0).accum(accum).over(x.len())
    }
}

/// Extents of images, window and places.
fn grid<'a, D: Device>(call: Call<'a, D>, op: &Conv2d<'_>, y: Shape) -> Call<'a, D> {
    let (x, y, window) = (op.x.shape(), y.extents(), op.window);
    let images = x.extents().iter().skip(1).fold(call, |call, &extent| call.size(extent));
    let [top, _, left, _] = window.padding;
    let each = [window.kernel, window.stride, [top, left], window.dilation];
    let windowed = each.as_flattened().iter().fold(images, |call, &extent| call.size(extent));
    windowed.size(y[1]).size(y[2])
}

/// Outputs of a group, values that each sees, and places.
fn groups<'a, D: Device>(call: Call<'a, D>, op: &Conv2d<'_>, y: Shape) -> Call<'a, D> {
    call.size(y.rows() / op.groups).size(op.weight.shape().columns()).size(y.columns())
}
