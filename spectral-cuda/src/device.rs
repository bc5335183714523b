//! What a device must be able to do; memory that is kept for reuse, and launches.

pub(crate) mod call;
#[cfg(feature = "cuda")]
pub(crate) mod driver;
pub(crate) mod pool;

use crate::{Arg, Kernel};
use spectral_core::{DType, Result};

/// Where some memory of a device starts.
pub type Address = u64;

/// Something that runs the kernels of this crate: a GPU through its driver, or what stands in for one in tests.
///
/// Work is done in the order in which it is submitted, so memory may be used again as soon as the last work on it has
/// been submitted. Only [`read`](Self::read) and [`synchronize`](Self::synchronize) wait.
pub trait Device: std::fmt::Debug + Send + Sync + 'static {
    /// The device in words.
    fn describe(&self) -> String;

    /// Where its memory is, for messages: `cuda:0`.
    fn place(&self) -> String;

    /// Memory for `bytes` bytes, at least 1, aligned to 256 bytes. What it holds is unspecified.
    ///
    /// # Errors
    /// There is not that much.
    fn allocate(&self, bytes: usize) -> Result<Address>;

    /// Gives memory back.
    ///
    /// # Safety
    /// `at` came from [`allocate`](Self::allocate) of this device and is not used again.
    unsafe fn free(&self, at: Address);

    /// Copies from the host.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Safety
    /// There are `from.len()` allocated bytes at `to`.
    unsafe fn write(&self, from: &[u8], to: Address) -> Result<()>;

    /// Copies to the host, after all work submitted before.
    ///
    /// # Errors
    /// The device failed, now or in earlier work.
    ///
    /// # Safety
    /// There are `to.len()` allocated bytes at `from`.
    unsafe fn read(&self, from: Address, to: &mut [u8]) -> Result<()>;

    /// Copies inside the device.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Safety
    /// There are `bytes` allocated bytes at both, and they do not overlap.
    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()>;

    /// Sets `bytes` bytes to 0.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Safety
    /// There are as many allocated bytes at `at`.
    unsafe fn zero(&self, at: Address, bytes: usize) -> Result<()>;

    /// Runs a kernel.
    ///
    /// # Errors
    /// The kernel cannot be compiled, or the device failed.
    ///
    /// # Safety
    /// The arguments are those of the kernel in number and kind, and there is as much allocated memory at each address
    /// as the kernel uses for the sizes given.
    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    /// Multiplies matrices with a library, if there is one that can.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Safety
    /// The matrices and the bias have as much allocated memory as their sizes say.
    unsafe fn gemm(&self, gemm: &Gemm) -> Result<Multiplied> {
        let _ = gemm;
        Ok(Multiplied::Nothing)
    }

    /// Waits until all work submitted so far is done.
    ///
    /// # Errors
    /// Some of it failed.
    fn synchronize(&self) -> Result<()>;
}

/// A kernel to run on `grid[0] * grid[1]` blocks of [`THREADS`](crate::THREADS) threads.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The kernel.
    pub kernel: Kernel,
    /// Blocks in x and y, each at least 1.
    pub grid: [u32; 2],
    /// The arguments.
    pub args: &'a [Arg],
}

/// An operand of a product: row-major without gaps, read as its transpose where `transposed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Where it starts.
    pub address: Address,
    /// Whether it lies in memory as its transpose.
    pub transposed: bool,
}

/// `c (+)= a b`, with `a` `[m, k]`, `b` `[k, n]` and `c` `[m, n]`; and, where the library can do so on the way,
/// `c = act(a b + bias)`.
#[derive(Debug, Clone, Copy)]
pub struct Gemm {
    /// Element type of all.
    pub dtype: DType,
    /// `m`, `n` and `k`, each at least 1.
    pub extents: [usize; 3],
    /// The left operand.
    pub a: Matrix,
    /// The right operand.
    pub b: Matrix,
    /// The result.
    pub c: Address,
    /// Whether to add to what `c` holds; then there is no bias and no activation.
    pub add: bool,
    /// One value for each row of `c`, wanted on the way.
    pub bias: Option<Address>,
    /// Whether `max(x, 0)` is wanted on the way, which must keep NaN.
    pub relu: bool,
}

/// What a library did of a [`Gemm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplied {
    /// Nothing: there is none, or it cannot.
    Nothing,
    /// The product; bias and activation are left to do.
    Product,
    /// All that was asked for.
    All,
}
