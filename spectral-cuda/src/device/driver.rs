//! A GPU through its driver.

mod blas;
mod kernels;
mod libraries;
mod staging;

use super::{Address, Device, Gemm, Launch, Matrix, Multiplied};
use crate::{Cuda, THREADS};
use blas::Blas;
use cudarc::driver::{CudaContext, CudaStream, LaunchConfig, PushKernelArg, result};
use kernels::Kernels;
pub use kernels::compile;
use spectral_core::registry::inventory;
use spectral_core::{BackendEntry, DType, Error, Result};
use staging::Staging;
use std::sync::Arc;

/// A GPU: its driver, NVRTC, and cuBLASLt where that is found. All work goes to one stream.
pub struct Gpu {
    stream: Arc<CudaStream>,
    kernels: Kernels,
    staging: Staging,
    blas: Option<Blas>,
    description: String,
    ordinal: usize,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({}, {})", self.ordinal, self.description)
    }
}

/// A failure of this backend.
fn failed(problem: impl Into<String>) -> Error {
    Error::Backend { backend: "cuda".into(), problem: problem.into() }
}

/// A failure of a call into the driver.
fn driver(what: &str, e: result::DriverError) -> Error {
    failed(format!("{what}: {e}"))
}

impl Gpu {
    /// GPU number `ordinal` of those that the driver shows.
    ///
    /// # Errors
    /// The driver or NVRTC is missing or too old, or there is no such GPU; says what was looked for.
    pub fn open(ordinal: usize) -> Result<Self> {
        let libraries = libraries::find()?;
        let count = result::init().and_then(|()| result::device::get_count());
        let count = count.map_err(|e| driver("the NVIDIA driver is there, but finds no GPU", e))?;
        if ordinal >= usize::try_from(count).unwrap_or(0) {
            return Err(failed(format!("asked for GPU {ordinal}, the driver shows {count}; see CUDA_VISIBLE_DEVICES")));
        }
        let open = || {
            let context = CudaContext::new(ordinal)?;
            Ok((context.new_stream()?, context.name()?, context.compute_capability()?))
        };
        let (stream, name, (major, minor)) = open().map_err(|e| driver("opening the GPU", e))?;
        let mut gpu = Self {
            kernels: Kernels::new(stream.context().clone(), format!("compute_{major}{minor}")),
            staging: Staging::default(),
            blas: None,
            description: String::new(),
            stream,
            ordinal,
        };
        let problem = if libraries.cublaslt { gpu.open_blas() } else { Some("not found".into()) };
        let products =
            problem.map_or_else(|| "products by cuBLASLt".into(), |p| format!("own products, cuBLASLt: {p}"));
        gpu.description = format!("{name}, compute capability {major}.{minor}, {products}");
        Ok(gpu)
    }

    /// Opens cuBLASLt, and keeps it if it computes what is asked of it; else says why not.
    fn open_blas(&mut self) -> Option<String> {
        let checked = Blas::new(self).and_then(|blas| {
            self.blas = Some(blas);
            self.check_blas()
        });
        match checked {
            Ok(true) => None,
            Ok(false) => {
                self.blas = None;
                Some("gives other results".into())
            }
            Err(e) => {
                self.blas = None;
                Some(e.to_string())
            }
        }
    }

    /// A product of each kind with known results. A bias must go along rows, and ReLU must keep NaN: where they do
    /// not, they are left to an own kernel.
    fn check_blas(&mut self) -> Result<bool> {
        const N: usize = 32;
        let index = |i: usize| ((i / N) as f32, (i % N) as f32);
        let a: Vec<f32> = (0..N * N).map(|i| index(i).0 - 3.0 * index(i).1).collect();
        let mut b: Vec<f32> = (0..N * N).map(|i| if i / N == i % N { 1.0 } else { 0.0 }).collect();
        b[5 * N + 5] = f32::NAN;
        let bias: Vec<f32> = (0..N).map(|i| i as f32).collect();
        for (fused, transposed) in [(false, [false, false]), (false, [true, true]), (true, [false, false])] {
            // b is its own transpose.
            let want = |i: usize| {
                let (row, column) = (i / N, i % N);
                let z = if transposed[0] { a[column * N + row] } else { a[i] };
                let z = if column == 5 { f32::NAN } else { z };
                if fused && z + bias[row] <= 0.0 { 0.0 } else { z + if fused { bias[row] } else { 0.0 } }
            };
            let got = self.try_product([&a, &b, &bias], N, transposed, fused)?;
            let right =
                |got: &[f32]| got.iter().enumerate().all(|(i, g)| *g == want(i) || (g.is_nan() && want(i).is_nan()));
            match got {
                Some((Multiplied::All, c)) if right(&c) => {}
                Some((Multiplied::Product, _)) if fused => {}
                Some((Multiplied::All, _)) if fused => {
                    if let Some(blas) = &mut self.blas {
                        blas.fuses = false;
                    }
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// `a b` of two `[n, n]` matrices by the library.
    fn try_product(
        &self,
        [a, b, bias]: [&[f32]; 3],
        n: usize,
        [a_transposed, b_transposed]: [bool; 2],
        fused: bool,
    ) -> Result<Option<(Multiplied, Vec<f32>)>> {
        let mut c = vec![0f32; n * n];
        let memory = self.allocate(4 * size_of_val(a))?;
        let at = |i: usize| memory + (i * size_of_val(a)) as u64;
        let gemm = Gemm {
            dtype: DType::F32,
            extents: [n; 3],
            a: Matrix { address: at(0), transposed: a_transposed },
            b: Matrix { address: at(1), transposed: b_transposed },
            c: at(2),
            add: false,
            bias: fused.then_some(at(3)),
            relu: fused,
        };
        // SAFETY: each of the four matrices has its quarter of the memory, which is not used afterwards.
        let done = unsafe {
            let mut parts = [a, b, bias].into_iter().zip([0, 1, 3]);
            let written = parts.try_for_each(|(v, i)| self.write(bytemuck::cast_slice(v), at(i)));
            let done = written.and_then(|()| self.gemm(&gemm));
            let read = self.read(at(2), bytemuck::cast_slice_mut(&mut c));
            self.free(memory);
            read.and(done)?
        };
        Ok((done != Multiplied::Nothing).then_some((done, c)))
    }

    /// Makes the GPU the one that this thread's calls go to.
    fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|e| driver("choosing the GPU", e))
    }
}

impl Device for Gpu {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn place(&self) -> String {
        format!("cuda:{}", self.ordinal)
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        self.bind()?;
        // SAFETY: the context is current; the pointer is given to `free` only.
        unsafe { result::malloc_sync(bytes) }.map_err(|e| driver(&format!("no memory for {bytes} bytes"), e))
    }

    unsafe fn free(&self, at: Address) {
        if self.bind().is_ok() {
            // SAFETY: the caller's promise. A context that is gone has freed its memory.
            let _ = unsafe { result::free_sync(at) };
        }
    }

    unsafe fn write(&self, from: &[u8], to: Address) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise, and the context is current.
        unsafe { self.staging.write(&self.stream, from, to) }
    }

    unsafe fn read(&self, from: Address, to: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise; `to` is not touched before the stream is done.
        let copied = unsafe { result::memcpy_dtoh_async(to, from, self.stream.cu_stream()) };
        let done = self.stream.synchronize();
        copied.and(done).map_err(|e| driver("copying from the GPU", e))
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise.
        let copied = unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) };
        copied.map_err(|e| driver("copying on the GPU", e))
    }

    unsafe fn zero(&self, at: Address, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise.
        let set = unsafe { result::memset_d8_async(at, 0, bytes, self.stream.cu_stream()) };
        set.map_err(|e| driver("zeroing memory", e))
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let function = self.kernels.get(launch.kernel)?;
        let words = launch.args.iter().map(|arg| arg.word()).collect::<Vec<u64>>();
        let mut call = self.stream.launch_builder(&function);
        for word in &words {
            call.arg(word);
        }
        let grid_dim = (launch.grid[0], launch.grid[1], 1);
        let config = LaunchConfig { grid_dim, block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's promise; every parameter of a kernel is eight bytes wide.
        let launched = unsafe { call.launch(config) };
        launched.map(drop).map_err(|e| driver(launch.kernel.name, e))
    }

    unsafe fn gemm(&self, gemm: &Gemm) -> Result<Multiplied> {
        let Some(blas) = &self.blas else { return Ok(Multiplied::Nothing) };
        self.bind()?;
        // SAFETY: the caller's promise.
        unsafe { blas.multiply(gemm, &self.stream) }
    }

    fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(|e| driver("waiting for the GPU", e))
    }
}

impl Cuda<Gpu> {
    /// The backend on the first GPU that the driver shows.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn new() -> Result<Self> {
        Gpu::open(0).map(Self::on)
    }
}

inventory::submit! {
    BackendEntry {
        name: "cuda",
        summary: "an NVIDIA GPU through its driver",
        open: |_| Ok(Arc::new(Cuda::new()?)),
    }
}
