//! Convolutions as products: every window of the images is a column of the scratch matrix.

use super::dense::Epilogue;
use super::expect;
use crate::device::call::Call;
use crate::{Cuda, Device, Source};
use spectral_core::backend::{Conv2d, ConvGrads};
use spectral_core::{Accum, ConvKernels, Error, Result, RowSum, Shape, Tensor};

impl<D: Device> ConvKernels for Cuda<D> {
    fn conv2d(&self, op: &Conv2d<'_>, scratch: &mut Tensor, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let shape = op.output("conv2d")?;
        expect("conv2d", shape, y.shape())?;
        expect("conv2d", op.columns("conv2d")?, scratch.shape())?;
        if let Some(pre) = &pre {
            expect("conv2d", y.shape(), pre.shape())?;
        }
        let call = self.call(Source::Convolution, "windows", y.dtype()).tensor(op.x).tensor(scratch);
        grid(call, op, shape).over(scratch.len())?;
        let extents = [shape.rows(), shape.columns(), op.weight.shape().columns()];
        let epilogue = Epilogue { bias: op.bias, activation: op.activation, before: pre };
        self.product([(op.weight, false), (scratch, false)], extents, (y, Accum::Replace), epilogue)
    }

    fn conv2d_vjp(&self, op: &Conv2d<'_>, scratch: &mut Tensor, dz: &Tensor, grads: ConvGrads<'_>) -> Result<()> {
        let shape = op.output("conv2d_vjp")?;
        expect("conv2d_vjp", shape, dz.shape())?;
        expect("conv2d_vjp", op.columns("conv2d_vjp")?, scratch.shape())?;
        grads.check("conv2d_vjp", op)?;
        let (out, places, taps) = (shape.rows(), shape.columns(), op.weight.shape().columns());
        if let Some(slot) = grads.weight {
            let target = (slot.tensor, slot.accum);
            self.product([(dz, false), (scratch, true)], [out, taps, places], target, Epilogue::default())?;
        }
        if let Some(slot) = grads.bias {
            self.sums_of_rows(RowSum::Plain, dz, slot)?;
        }
        let Some(slot) = grads.x else { return Ok(()) };
        // The windows themselves are needed no more: their gradients take their place.
        let factors = [(op.weight, true), (dz, false)];
        self.product(factors, [taps, places, out], (scratch, Accum::Replace), Epilogue::default())?;
        let call = self.call(Source::Convolution, "images", dz.dtype()).tensor(scratch).tensor(slot.tensor);
        grid(call, op, shape).accum(slot.accum).over(op.x.len())
    }

    fn reshaped(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if x.len() != y.len() {
            return Err(Error::shape("reshaped", x.shape(), y.shape()));
        }
        let call = self.call(Source::Elementwise, "scale", x.dtype());
        call.tensor(x).size(0).tensor(y).size(0).real(1.0).accum(accum).over(x.len())
    }
}

/// Extents of images, window and places.
fn grid<'a, D: Device>(call: Call<'a, D>, op: &Conv2d<'_>, y: Shape) -> Call<'a, D> {
    let (x, y, window) = (op.x.shape(), y.extents(), op.window);
    let images = x.extents().iter().skip(1).fold(call, |call, &extent| call.size(extent));
    let windowed = images.size(window.kernel).size(window.stride).size(window.padding);
    windowed.size(y[1]).size(y[2])
}
