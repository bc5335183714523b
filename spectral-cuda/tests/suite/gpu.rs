//! What needs NVRTC, and what needs a GPU.

use spectral_core::{BackendEntry, BackendOptions, DType, registry};
use spectral_cuda::{Cuda, Source, compile};
use spectral_testkit::backend;

#[test]
fn nvrtc_compiles_every_kernel() {
    let mut compiled = 0;
    for source in Source::ALL {
        for dtype in [DType::F32, DType::F64] {
            for architecture in ["compute_80", "compute_90"] {
                let ptx = match compile(source, dtype, architecture) {
                    Err(e) if e.to_string().contains("no NVRTC") => return eprintln!("SKIPPED: {e}"),
                    result => result.unwrap(),
                };
                let text = source.text(dtype);
                for kernel in Source::kernels(&text) {
                    assert!(ptx.contains(&format!(".entry {kernel}(")), "{kernel} is not in the PTX");
                    compiled += 1;
                }
            }
        }
    }
    println!("{compiled} kernels compiled for compute_80 and compute_90");
    assert!(compiled > 100);
}

/// The backend on a GPU; without one its error must say what was looked for.
fn gpu() -> Option<Cuda<spectral_cuda::Gpu>> {
    match Cuda::new() {
        Ok(gpu) => Some(gpu),
        Err(e) => {
            let said = e.to_string();
            let named = ["libcuda.so", "libnvrtc.so", "finds no GPU", "the driver knows CUDA up to"];
            assert!(named.iter().any(|n| said.contains(n)), "{said}");
            eprintln!("SKIPPED: {said}");
            None
        }
    }
}

#[test]
fn conformance_on_a_gpu() {
    let Some(gpu) = gpu() else { return };
    let report = backend::conformance(&gpu);
    println!("{report}");
    assert!(report.passed(), "{report}");
}

#[test]
fn whole_pieces_of_work_come_out_on_a_gpu_as_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    crate::agrees(&gpu);
}

#[test]
fn the_registered_backend_opens_or_says_why_not() {
    let entry = registry::find::<BackendEntry>("cuda").unwrap();
    let opened = (entry.open)(&BackendOptions::default());
    assert_eq!(opened.is_ok(), gpu().is_some());
}
