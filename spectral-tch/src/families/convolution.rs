//! Convolutions as products: every window of the images is a column, and the batch is innermost in both.

use super::dense::{finish, results};
use super::{expect, product, row_sums, store};
use crate::Torch;
use crate::storage::{column, count, flat, matrix, shaped};
use spectral_core::backend::{Conv2d, ConvGrads, ConvKernels};
use spectral_core::{Accum, Error, Result, Shape, Tensor};
use tch::TchError;

impl ConvKernels for Torch {
    fn conv2d(&self, op: &Conv2d<'_>, scratch: &mut Tensor, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let shape = op.output("conv2d")?;
        expect("conv2d", shape, y.shape())?;
        expect("conv2d", op.columns("conv2d")?, scratch.shape())?;
        let (x, w, bias) = (shaped(op.x)?, matrix(op.weight)?, op.bias.map(column).transpose()?);
        let (columns, (mut y, pre), grid) = (matrix(scratch)?, results(y, pre)?, Grid::of(op, shape)?);
        self.call(|| {
            grid.columns(&columns)?.f_copy_(&grid.windows(&x)?)?;
            product(&w, &columns, &mut y, Accum::Replace)?;
            finish(&mut y, bias.as_ref(), op.activation, pre)
        })
    }

    fn conv2d_vjp(&self, op: &Conv2d<'_>, scratch: &mut Tensor, dz: &Tensor, grads: ConvGrads<'_>) -> Result<()> {
        let shape = op.output("conv2d_vjp")?;
        expect("conv2d_vjp", shape, dz.shape())?;
        expect("conv2d_vjp", op.columns("conv2d_vjp")?, scratch.shape())?;
        grads.check("conv2d_vjp", op)?;
        let (w, d, mut columns, grid) = (matrix(op.weight)?, matrix(dz)?, matrix(scratch)?, Grid::of(op, shape)?);
        if let Some(slot) = grads.weight {
            let mut to = matrix(slot.tensor)?;
            self.call(|| product(&d, &columns.f_tr()?, &mut to, slot.accum))?;
        }
        if let Some(slot) = grads.bias {
            let mut to = flat(slot.tensor)?;
            self.call(|| row_sums(&d, &mut to, slot.accum))?;
        }
        let Some(slot) = grads.x else { return Ok(()) };
        let mut to = shaped(slot.tensor)?;
        self.call(|| {
            product(&w.f_tr()?, &d, &mut columns, Accum::Replace)?;
            store(&grid.folded(&grid.columns(&columns)?, &to)?, &mut to, slot.accum)
        })
    }

    fn reshaped(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if x.len() != y.len() {
            return Err(Error::shape("reshaped", x.shape(), y.shape()));
        }
        let (x, mut y) = (flat(x)?, flat(y)?);
        self.call(|| store(&x, &mut y, accum))
    }
}

/// Extents of images and places.
struct Grid {
    channels: i64,
    kernel: i64,
    stride: i64,
    padding: i64,
    height: i64,
    width: i64,
    rows: i64,
    columns: i64,
    batch: i64,
}

impl Grid {
    fn of(op: &Conv2d<'_>, y: Shape) -> Result<Self> {
        let (&[channels, height, width, batch], &[_, rows, columns, _]) = (op.x.shape().extents(), y.extents()) else {
            return Err(Error::shape("conv2d", "images [channels, height, width, batch]", op.x.shape()));
        };
        let window = op.window;
        Ok(Self {
            channels: count(channels),
            kernel: count(window.kernel),
            stride: count(window.stride),
            padding: count(window.padding),
            height: count(height),
            width: count(width),
            rows: count(rows),
            columns: count(columns),
            batch: count(batch),
        })
    }

    /// The matrix of windows with all its axes: `[channels, kernel, kernel, rows, columns, batch]`.
    fn columns(&self, matrix: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        matrix.f_view_([self.channels, self.kernel, self.kernel, self.rows, self.columns, self.batch])
    }

    /// The windows of images, with those axes.
    fn windows(&self, x: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        let p = self.padding;
        let padded = if p == 0 { x.shallow_clone() } else { x.f_constant_pad_nd([0, 0, p, p, p, p])? };
        let slid = padded.f_unfold(1, self.kernel, self.stride)?.f_unfold(2, self.kernel, self.stride)?;
        slid.f_permute([0, 4, 5, 1, 2, 3])
    }

    /// Every value of the windows added to the value of the image it was taken from.
    fn folded(&self, windows: &tch::Tensor, like: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        let (p, options) = (self.padding, (like.f_kind()?, like.device()));
        let (height, width) = (self.height + 2 * p, self.width + 2 * p);
        let image = tch::Tensor::f_zeros([self.channels, height, width, self.batch], options)?;
        let along = |axis, offset, places: i64, of: &tch::Tensor| {
            of.f_slice(axis, offset, offset + (places - 1) * self.stride + 1, self.stride)
        };
        for a in 0..self.kernel {
            for b in 0..self.kernel {
                let taken = along(2, b, self.columns, &along(1, a, self.rows, &image)?)?;
                let _ = { taken }.f_add_(&windows.f_select(1, a)?.f_select(1, b)?)?;
            }
        }
        image.f_narrow(1, p, self.height)?.f_narrow(2, p, self.width)
    }
}
