//! Convolutions over images, and tensors seen in another shape.

use super::{Accum, Elementwise, GradSlot, Window, check_pre, check_slots, expect};
use crate::backend::Activation;
use crate::backend::dense::{bias_gradient, finish};
use crate::backend::elementwise::accumulate;
use crate::base::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// `y[o, i, j] = act(bias[o] + sum over c, a, b of weight[o, c, a, b] * x[c, row(i, a), column(j, b)])`, with the
/// places that a [`Window`] gives.
///
/// Cross-correlation, as everywhere in the field; values outside the image are 0. With `groups`, the channels of images
/// and outputs are cut into so many equal parts, and each part of the outputs sees its part of the images only.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d<'a> {
    /// Images `[channels, height, width, batch]`.
    pub x: &'a Tensor,
    /// Weights `[out, channels / groups, kernel height, kernel width]`.
    pub weight: &'a Tensor,
    /// Bias `[out]`.
    pub bias: Option<&'a Tensor>,
    /// The window.
    pub window: Window,
    /// Parts that are convolved apart, at least 1.
    pub groups: usize,
    /// Applied to every output; element-wise only.
    pub activation: Activation,
}

impl Conv2d<'_> {
    /// Extents of the outputs: `[out, height, width, batch]`.
    ///
    /// # Errors
    /// Shapes do not fit, the window does not fit into the image, or the activation is softmax.
    pub fn output(&self, op: &'static str) -> Result<Shape> {
        let [height, width] = self.window.kernel;
        let (x, weight) = (self.x.shape(), self.weight.shape());
        let (&[c, h, w, batch], &[out, inputs, a, b]) = (x.extents(), weight.extents()) else {
            return Err(Error::shape(op, "images [channels, height, width, batch]", self.x.shape()));
        };
        let groups = self.groups;
        if groups == 0 || c % groups != 0 || out % groups != 0 {
            return Err(Error::shape(op, format!("channels in {groups} equal groups"), format!("{c} to {out}")));
        }
        if (c / groups, height, width) != (inputs, a, b) {
            let expected = format!("weights [out, {}, {height}, {width}]", c / groups);
            return Err(Error::shape(op, expected, self.weight.shape()));
        }
        if let Some(bias) = self.bias {
            expect(op, Shape::vector(out), bias.shape())?;
        }
        if !self.activation.is_elementwise() {
            return Err(Error::config(op, "softmax cannot be fused; apply it with `activate`"));
        }
        match self.window.places([h, w]) {
            Some([rows, columns]) => Shape::new(&[out, rows, columns, batch]),
            None => Err(Error::shape(op, format!("images that {:?} fits into", self.window), self.x.shape())),
        }
    }

    /// Extents of [`ConvKernels`]' scratch: every window as a column, `[channels kernel height kernel width, height,
    /// width, batch]`.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn columns(&self, op: &'static str) -> Result<Shape> {
        let output = self.output(op)?;
        let [_, rows, columns, batch] = output.extents() else { return Ok(output) };
        Shape::new(&[self.groups * self.weight.shape().columns(), *rows, *columns, *batch])
    }
}

/// Which gradients of a [`Conv2d`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct ConvGrads<'a> {
    /// Of the images.
    pub x: Option<GradSlot<'a>>,
    /// Of the weights.
    pub weight: Option<GradSlot<'a>>,
    /// Of the bias.
    pub bias: Option<GradSlot<'a>>,
}

impl ConvGrads<'_> {
    /// Checks all shapes.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, of: &Conv2d<'_>) -> Result<()> {
        let (x, weight) = (of.x.shape(), of.weight.shape());
        check_slots(op, [(&self.x, x), (&self.weight, weight), (&self.bias, Shape::vector(weight.rows()))])
    }
}

/// Convolutions.
pub trait ConvKernels: Elementwise {
    /// [`Conv2d`], and what goes into the activation where asked for. `scratch` has the shape
    /// [`Conv2d::columns`]; what it holds afterwards is the backend's own, for [`conv2d_vjp`](Self::conv2d_vjp).
    ///
    /// # Errors
    /// Shapes do not fit or the activation is softmax.
    fn conv2d(&self, op: &Conv2d<'_>, scratch: &mut Tensor, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        expect("conv2d", op.output("conv2d")?, y.shape())?;
        expect("conv2d", op.columns("conv2d")?, scratch.shape())?;
        check_pre("conv2d", y, pre.as_deref())?;
        self.conv2d_kernel(op, scratch, y, pre)
    }

    /// [`conv2d`](Self::conv2d) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn conv2d_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        y: &mut Tensor,
        pre: Option<&mut Tensor>,
    ) -> Result<()> {
        let _ = scratch;
        let shape = op.output("conv2d")?;
        let (x, w) = (self.download(op.x)?, self.download(op.weight)?);
        let mut z = vec![0.0; shape.len()];
        taps(op, shape, |at, weight, input| z[at] += w[weight] * x[input]);
        finish(self, &mut z, op.bias, op.activation, y, pre)
    }

    /// Gradients of what goes into the activation for `dz`, the gradient after
    /// [`activate_vjp`](Elementwise::activate_vjp). `scratch` is as forward left it, and spent afterwards.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn conv2d_vjp(&self, op: &Conv2d<'_>, scratch: &mut Tensor, dz: &Tensor, grads: ConvGrads<'_>) -> Result<()> {
        expect("conv2d_vjp", op.output("conv2d_vjp")?, dz.shape())?;
        expect("conv2d_vjp", op.columns("conv2d_vjp")?, scratch.shape())?;
        grads.check("conv2d_vjp", op)?;
        self.conv2d_vjp_kernel(op, scratch, dz, grads)
    }

    /// [`conv2d_vjp`](Self::conv2d_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn conv2d_vjp_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        dz: &Tensor,
        grads: ConvGrads<'_>,
    ) -> Result<()> {
        let _ = scratch;
        let shape = op.output("conv2d_vjp")?;
        let d = self.download(dz)?;
        if let Some(slot) = grads.x {
            let (w, mut dx) = (self.download(op.weight)?, vec![0.0; op.x.len()]);
            taps(op, shape, |at, weight, input| dx[input] += w[weight] * d[at]);
            accumulate(self, dx, slot.tensor, slot.accum)?;
        }
        if let Some(slot) = grads.weight {
            let (x, mut dw) = (self.download(op.x)?, vec![0.0; op.weight.len()]);
            taps(op, shape, |at, weight, input| dw[weight] += x[input] * d[at]);
            accumulate(self, dw, slot.tensor, slot.accum)?;
        }
        bias_gradient(self, &d, shape.rows(), shape.columns(), grads.bias)
    }

    /// `y (+)= x`, element by element in their order: the shapes may differ, the number of elements not.
    ///
    /// # Errors
    /// The numbers of elements differ.
    fn reshaped(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if x.len() != y.len() {
            return Err(Error::shape("reshaped", x.shape(), y.shape()));
        }
        self.reshaped_kernel(x, y, accum)
    }

    /// [`reshaped`](Self::reshaped) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn reshaped_kernel(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        accumulate(self, self.download(x)?, y, accum)
    }
}

/// Calls `f` with the positions in output, weight and image of every product in a convolution.
fn taps(op: &Conv2d<'_>, output: Shape, mut f: impl FnMut(usize, usize, usize)) {
    let x = op.x.shape();
    let (&[channels, h, w, batch], &[out, rows, columns, _]) = (x.extents(), output.extents()) else { return };
    let ([height, width], [down, across]) = (op.window.kernel, op.window.axes());
    let (inputs, outputs) = (channels / op.groups, out / op.groups);
    for weight in 0..out * inputs * height * width {
        let (a, b) = (weight / width % height, weight % width);
        let o = weight / (inputs * height * width);
        let c = o / outputs * inputs + weight / (height * width) % inputs;
        for place in 0..rows * columns {
            let (i, j) = (place / columns, place % columns);
            let (Some(y), Some(x)) = (down.at(i, a, h), across.at(j, b, w)) else { continue };
            for sample in 0..batch {
                f((o * rows * columns + place) * batch + sample, weight, ((c * h + y) * w + x) * batch + sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Reference};
    use crate::base::DType;

    #[test]
    fn a_known_image_convolves_to_known_values() {
        let tensor = |extents: &[usize], values: &[f64]| {
            let mut t = Tensor::host_zeros(Shape::new(extents).unwrap(), DType::F64);
            Reference.write(values, &mut t).unwrap();
            t
        };
        let x = tensor(&[1, 3, 3, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let weight = tensor(&[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]);
        let bias = tensor(&[1], &[0.5]);
        let window = Window::square(2);
        let activation = Activation::Identity;
        let op = Conv2d { x: &x, weight: &weight, bias: Some(&bias), window, groups: 1, activation };
        let mut scratch = Tensor::host_zeros(op.columns("test").unwrap(), DType::F64);
        let mut y = Tensor::host_zeros(op.output("test").unwrap(), DType::F64);
        Reference.conv2d(&op, &mut scratch, &mut y, None).unwrap();
        assert_eq!(y.host::<f64>().unwrap(), [5421.5, 6532.5, 8754.5, 9865.5]);
        let padded = Conv2d { window: Window { padding: [1; 4], stride: [2; 2], ..window }, bias: None, ..op };
        let mut scratch = Tensor::host_zeros(padded.columns("test").unwrap(), DType::F64);
        let mut y = Tensor::host_zeros(padded.output("test").unwrap(), DType::F64);
        Reference.conv2d(&padded, &mut scratch, &mut y, None).unwrap();
        assert_eq!(y.host::<f64>().unwrap(), [1000.0, 3200.0, 7040.0, 9865.0]);
        // A row of padding above, none below; every second value of a row.
        let apart = Window { padding: [1, 0, 0, 0], dilation: [1, 2], ..window };
        let apart = Conv2d { window: apart, bias: None, ..op };
        let mut scratch = Tensor::host_zeros(apart.columns("test").unwrap(), DType::F64);
        let mut y = Tensor::host_zeros(apart.output("test").unwrap(), DType::F64);
        Reference.conv2d(&apart, &mut scratch, &mut y, None).unwrap();
        assert_eq!(y.host::<f64>().unwrap(), [3100.0, 6431.0, 9764.0]);
    }

    #[test]
    fn groups_see_their_own_channels() {
        let tensor = |extents: &[usize], values: &[f64]| {
            let mut t = Tensor::host_zeros(Shape::new(extents).unwrap(), DType::F64);
            Reference.write(values, &mut t).unwrap();
            t
        };
        let x = tensor(&[2, 1, 2, 1], &[1.0, 2.0, 30.0, 40.0]);
        let weight = tensor(&[4, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
        let (window, activation) = (Window::square(1), Activation::Identity);
        let op = Conv2d { x: &x, weight: &weight, bias: None, window, groups: 2, activation };
        let mut scratch = Tensor::host_zeros(op.columns("test").unwrap(), DType::F64);
        let mut y = Tensor::host_zeros(op.output("test").unwrap(), DType::F64);
        Reference.conv2d(&op, &mut scratch, &mut y, None).unwrap();
        assert_eq!(y.host::<f64>().unwrap(), [1.0, 2.0, 2.0, 4.0, 90.0, 120.0, 120.0, 160.0]);
        assert!(
            Conv2d { groups: 3, ..op }.output("test").is_err() && Conv2d { groups: 0, ..op }.output("test").is_err()
        );
    }
}
