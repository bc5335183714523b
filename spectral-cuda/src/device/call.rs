//! A launch that is put together argument by argument.

use super::pool::{Buffer, Pool};
use super::{Device, Gemm, Launch, Matrix, Multiplied};
use crate::{Arg, Kernel, Source, THREADS};
use spectral_core::{Accum, Activation, DType, Error, Result, Tensor};
use std::sync::Arc;

/// Blocks of a one-dimensional launch at most; kernels stride over the rest.
const BLOCKS: usize = 2048;

/// Arguments of a kernel at most.
const MOST: usize = 20;

/// A kernel with the arguments given so far. What is wrong with one is said when it is run.
pub(crate) struct Call<'a, D: Device> {
    pool: &'a Arc<Pool<D>>,
    kernel: Kernel,
    args: [Arg; MOST],
    given: usize,
    wrong: Option<Error>,
}

impl<'a, D: Device> Call<'a, D> {
    pub(crate) fn new(pool: &'a Arc<Pool<D>>, source: Source, name: &'static str, dtype: DType) -> Self {
        Self { pool, kernel: Kernel { source, name, dtype }, args: [Arg::Int(0); MOST], given: 0, wrong: None }
    }

    fn arg(mut self, arg: Arg) -> Self {
        self.args[self.given] = arg;
        self.given += 1;
        self
    }

    /// The values of a tensor of the kernel's element type.
    pub(crate) fn tensor(self, tensor: &Tensor) -> Self {
        let dtype = self.kernel.dtype;
        self.tensor_of(dtype, tensor)
    }

    /// The values of a tensor of type `dtype`.
    pub(crate) fn tensor_of(mut self, dtype: DType, tensor: &Tensor) -> Self {
        let address = self.pool.address(tensor, dtype).unwrap_or_else(|e| {
            self.wrong.get_or_insert(e);
            0
        });
        self.arg(Arg::Address(address))
    }

    /// The values of a tensor, or none.
    pub(crate) fn maybe(self, tensor: Option<&Tensor>) -> Self {
        match tensor {
            Some(tensor) => self.tensor(tensor),
            None => self.arg(Arg::Address(0)),
        }
    }

    /// Memory that is no tensor, or none.
    pub(crate) fn buffer(self, buffer: Option<&Buffer<D>>) -> Self {
        self.arg(Arg::Address(buffer.map_or(0, Buffer::address)))
    }

    pub(crate) fn size(self, size: usize) -> Self {
        self.arg(Arg::Int(size as i64))
    }

    pub(crate) fn choice(self, choice: i64) -> Self {
        self.arg(Arg::Int(choice))
    }

    pub(crate) fn bits(self, bits: u64) -> Self {
        self.arg(Arg::Bits(bits))
    }

    pub(crate) fn real(self, real: f64) -> Self {
        self.arg(Arg::Real(real))
    }

    pub(crate) fn accum(self, accum: Accum) -> Self {
        self.choice(i64::from(accum == Accum::Add))
    }

    /// The number of an element-wise activation in `kernels/common.cuh`, and its two parameters.
    pub(crate) fn activation(self, activation: Activation) -> Self {
        let (number, [first, second]) = match activation {
            Activation::Identity | Activation::Softmax => (0, [0.0; 2]),
            Activation::Relu => (1, [0.0; 2]),
            Activation::LeakyRelu { slope } => (2, [slope, 0.0]),
            Activation::Elu { alpha } => (3, [alpha, 0.0]),
            Activation::Gelu => (4, [0.0; 2]),
            Activation::Sigmoid => (5, [0.0; 2]),
            Activation::Tanh => (6, [0.0; 2]),
            Activation::Softplus => (7, [0.0; 2]),
            Activation::Silu => (8, [0.0; 2]),
            Activation::HardSigmoid => (9, [0.0; 2]),
            Activation::HardSwish => (10, [0.0; 2]),
            Activation::Clip { min, max } => (11, [min, max]),
        };
        self.choice(number).real(first).real(second)
    }

    /// Runs it over `n` elements, which is the last argument.
    pub(crate) fn over(self, n: usize) -> Result<()> {
        self.size(n).run([n.div_ceil(THREADS).min(BLOCKS), 1])
    }

    /// Runs it for `rows`, one block each.
    pub(crate) fn each(self, rows: usize) -> Result<()> {
        self.run([rows.min(BLOCKS), 1])
    }

    /// Runs it on so many blocks in x and y; none is nothing to do.
    pub(crate) fn run(self, grid: [usize; 2]) -> Result<()> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if grid.contains(&0) {
            return Ok(());
        }
        let grid = grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let launch = Launch { kernel: self.kernel, grid, args: &self.args[..self.given] };
        // SAFETY: addresses are those of tensors of this device and of the element type that the kernel reads, which
        // `Pool::address` checks, and of buffers; the caller borrows them all. Sizes are those that the family has
        // checked against each other. Number and kind of the arguments are compared with the kernel's parameters at
        // every launch where tests run it.
        unsafe { self.pool.device.launch(&launch) }
    }
}

/// A factor of a product: a tensor, and whether it is read as its transpose.
pub(crate) type Factor<'a> = (&'a Tensor, bool);

/// Asks the device's library for `c (+)= a b`, with `bias` and `max(x, 0)` on the way where given.
pub(crate) fn multiply<D: Device>(
    pool: &Arc<Pool<D>>,
    [a, b]: [Factor<'_>; 2],
    extents: [usize; 3],
    (c, accum): (&Tensor, Accum),
    (bias, relu): (Option<&Tensor>, bool),
) -> Result<Multiplied> {
    let dtype = c.dtype();
    let matrix = |(t, transposed)| -> Result<Matrix> { Ok(Matrix { address: pool.address(t, dtype)?, transposed }) };
    let bias = bias.map(|b| pool.address(b, dtype)).transpose()?;
    let (add, c) = (accum == Accum::Add, pool.address(c, dtype)?);
    let gemm = Gemm { dtype, extents, a: matrix(a)?, b: matrix(b)?, c, add, bias, relu };
    // SAFETY: as for a launch: tensors of this device and type, of extents that the caller has checked.
    unsafe { pool.device.gemm(&gemm) }
}
