//! The kernels and their launches, run on the CPU by a C++ compiler; with the feature `cuda` also compiled by NVRTC and
//! run on a GPU, where there are these.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[cfg(feature = "cuda")]
mod gpu;
mod mutations;
mod shim;

use shim::{Change, Shim};
use spectral_core::backend::{Accum, Elementwise, Memory};
use spectral_core::{DType, IntoBackend, Model, Seed, Shape};
use spectral_cpu::Cpu;
use spectral_cuda::Cuda;
use spectral_prune::Prune;
use spectral_testkit::backend;
use spectral_train::{Adam, Trainer};

// Linked for what it registers.
use spectral_layers as _;

/// A backend on the shim with changed kernels; says so loudly where there is no compiler.
fn cuda(change: Change) -> Option<Cuda<Shim>> {
    let shim = Shim::new(change);
    if shim.is_none() {
        eprintln!("SKIPPED: no C++ compiler (CXX, c++, g++ or clang++), so no CUDA kernel was run");
    }
    shim.map(Cuda::on)
}

/// Training and pruning beside the CPU.
fn agrees(cuda: impl IntoBackend) {
    let trainer = Trainer::new(Adam::default()).epochs(4).batch(32).seed(Seed(5));
    let prune = |by: &str, model: &mut Model| Prune::by(by).globally().amount(0.5).seed(Seed(9)).apply(model, None);
    let report = backend::agreement(&Cpu::with_threads(1).unwrap(), cuda, &trainer, prune);
    println!("{}", report.into_result().unwrap());
}

#[test]
fn conformance_on_the_cpu() {
    let Some(cuda) = cuda(|_, text| text) else { return };
    let report = backend::conformance(&cuda);
    println!("{report}");
    assert!(report.passed(), "{report}");
    assert!(report.cases > 5000, "{report}");
}

#[test]
fn whole_pieces_of_work_come_out_as_on_the_cpu_backend() {
    let Some(cuda) = cuda(|_, text| text) else { return };
    agrees(&cuda);
}

#[test]
fn threads_stride_over_what_the_blocks_do_not_cover() {
    let Some(cuda) = cuda(|_, text| text) else { return };
    let values: Vec<f64> = (0..1_000_003).map(f64::from).collect();
    let shape = Shape::vector(values.len());
    let (mut x, mut y) = (cuda.zeros(shape, DType::F64).unwrap(), cuda.zeros(shape, DType::F64).unwrap());
    cuda.write(&values, &mut x).unwrap();
    cuda.scale(2.0, &x, &mut y, Accum::Replace).unwrap();
    assert!(cuda.download(&y).unwrap().iter().zip(&values).all(|(y, x)| *y == 2.0 * x));
}
