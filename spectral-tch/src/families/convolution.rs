//! Convolutions as products: every window of the images is a column, and the batch is innermost in both.

use super::dense::{finish, results};
use super::{product, row_sums, store};
use crate::Torch;
use crate::storage::{column, count, flat, matrix, shaped};
use spectral_core::backend::{Conv2d, ConvGrads, ConvKernels};
use spectral_core::{Accum, Error, Result, Shape, Tensor};
use tch::TchError;

impl ConvKernels for Torch {
    fn conv2d_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        y: &mut Tensor,
        pre: Option<&mut Tensor>,
    ) -> Result<()> {
        let shape = op.output("conv2d")?;
        let (x, w, bias) = (shaped(op.x)?, matrix(op.weight)?, op.bias.map(column).transpose()?);
        let (columns, (mut y, pre), grid) = (matrix(scratch)?, results(y, pre)?, Grid::of(op, shape)?);
        self.call(|| {
            grid.columns(&columns)?.f_copy_(&grid.windows(&x)?)?;
            grouped(op.groups, [&w, &columns], &mut y, Accum::Replace)?;
            finish(&mut y, bias.as_ref(), op.activation, pre)
        })
    }

    fn conv2d_vjp_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        dz: &Tensor,
        grads: ConvGrads<'_>,
    ) -> Result<()> {
        let shape = op.output("conv2d_vjp")?;
        let (w, d, mut columns, grid) = (matrix(op.weight)?, matrix(dz)?, matrix(scratch)?, Grid::of(op, shape)?);
        if let Some(slot) = grads.weight {
            let mut to = matrix(slot.tensor)?;
            self.call(|| match op.groups {
                1 => product(&d, &columns.f_tr()?, &mut to, slot.accum),
                n => {
                    let products = apart(n, &d)?.f_bmm(&apart(n, &columns)?.f_transpose(1, 2)?)?;
                    store(&products.f_view_as(&to)?, &mut to, slot.accum)
                }
            })?;
        }
        if let Some(slot) = grads.bias {
            let mut to = flat(slot.tensor)?;
            self.call(|| row_sums(&d, &mut to, slot.accum))?;
        }
        let Some(slot) = grads.x else { return Ok(()) };
        let mut to = shaped(slot.tensor)?;
        self.call(|| {
            match op.groups {
                1 => product(&w.f_tr()?, &d, &mut columns, Accum::Replace)?,
                n => {
                    let products = apart(n, &w)?.f_transpose(1, 2)?.f_bmm(&apart(n, &d)?)?;
                    columns.f_copy_(&products.f_view_as(&columns)?)?;
                }
            }
            store(&grid.folded(&grid.columns(&columns)?, &to)?, &mut to, slot.accum)
        })
    }

    fn reshaped_kernel(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let (x, mut y) = (flat(x)?, flat(y)?);
        self.call(|| store(&x, &mut y, accum))
    }
}

/// The rows of a matrix in as many equal parts: `[groups, rows / groups, columns]`.
fn apart(groups: usize, matrix: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    let (rows, columns) = matrix.size2()?;
    matrix.f_view_([count(groups), rows / count(groups), columns])
}

/// `to (+)= weight columns`, group by group.
fn grouped(
    groups: usize,
    [weight, columns]: [&tch::Tensor; 2],
    to: &mut tch::Tensor,
    accum: Accum,
) -> Result<(), TchError> {
    if groups == 1 {
        return product(weight, columns, to, accum);
    }
    let products = apart(groups, weight)?.f_bmm(&apart(groups, columns)?)?;
    store(&products.f_view_as(to)?, to, accum)
}

/// Extents of images and places.
struct Grid {
    channels: i64,
    kernel: [i64; 2],
    stride: [i64; 2],
    /// Above, below, left, right.
    padding: [i64; 4],
    dilation: [i64; 2],
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
            kernel: window.kernel.map(count),
            stride: window.stride.map(count),
            padding: window.padding.map(count),
            dilation: window.dilation.map(count),
            height: count(height),
            width: count(width),
            rows: count(rows),
            columns: count(columns),
            batch: count(batch),
        })
    }

    /// The matrix of windows with all its axes: `[channels, kernel, kernel, rows, columns, batch]`.
    fn columns(&self, matrix: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        let [height, width] = self.kernel;
        matrix.f_view_([self.channels, height, width, self.rows, self.columns, self.batch])
    }

    /// The windows of images, with those axes.
    fn windows(&self, x: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        let ([top, bottom, left, right], [down, across]) = (self.padding, self.stride);
        let padded = match self.padding {
            [0, 0, 0, 0] => x.shallow_clone(),
            _ => x.f_constant_pad_nd([0, 0, left, right, top, bottom])?,
        };
        let [height, width] = [0, 1].map(|i| (self.kernel[i] - 1) * self.dilation[i] + 1);
        let slid = padded.f_unfold(1, height, down)?.f_unfold(2, width, across)?;
        // Of what a window covers, the values that it has.
        let taken = slid.f_slice(4, 0, height, self.dilation[0])?.f_slice(5, 0, width, self.dilation[1])?;
        taken.f_permute([0, 4, 5, 1, 2, 3])
    }

    /// Every value of the windows added to the value of the image it was taken from.
    fn folded(&self, windows: &tch::Tensor, like: &tch::Tensor) -> Result<tch::Tensor, TchError> {
        let ([top, bottom, left, right], options) = (self.padding, (like.f_kind()?, like.device()));
        let (height, width) = (self.height + top + bottom, self.width + left + right);
        let image = tch::Tensor::f_zeros([self.channels, height, width, self.batch], options)?;
        let along = |axis: usize, tap: i64, places: i64, of: &tch::Tensor| {
            let (offset, stride) = (tap * self.dilation[axis], self.stride[axis]);
            of.f_slice(axis as i64 + 1, offset, offset + (places - 1) * stride + 1, stride)
        };
        let [tall, wide] = self.kernel;
        for a in 0..tall {
            for b in 0..wide {
                let taken = along(1, b, self.columns, &along(0, a, self.rows, &image)?)?;
                let _ = { taken }.f_add_(&windows.f_select(1, a)?.f_select(1, b)?)?;
            }
        }
        image.f_narrow(1, top, self.height)?.f_narrow(2, left, self.width)
    }
}
