//! The kernels and their launches, run on the CPU by a C++ compiler.

mod shim;

use shim::Shim;
use spectral_cuda::Cuda;
use spectral_testkit::backend;

/// A backend on the shim; says so loudly where there is no compiler.
fn cuda() -> Option<Cuda<Shim>> {
    let shim = Shim::new();
    if shim.is_none() {
        eprintln!("SKIPPED: no C++ compiler (CXX, c++, g++ or clang++), so no CUDA kernel was run");
    }
    shim.map(Cuda::on)
}

#[test]
fn conformance_on_the_cpu() {
    let Some(cuda) = cuda() else { return };
    let report = backend::conformance(&cuda);
    println!("{report}");
    assert!(report.passed(), "{report}");
    assert!(report.cases > 4000, "{report}");
}
