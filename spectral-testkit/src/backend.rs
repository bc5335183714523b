//! What core expects of a backend: every kernel against [`Reference`](spectral_core::Reference).

mod agreement;
mod convolution;
mod dense;
mod determinism;
mod elementwise;
mod fixture;
mod memory;
mod pooling;
mod prelu;
mod reduce;
mod samplewise;
mod sparse;
mod spectral;
mod unitwise;
mod update;

pub use agreement::{LOSS_TOLERANCE, agreement, masks, training};
pub use determinism::determinism;

use crate::Report;
use fixture::Fixture;
use spectral_core::{Backend, DType};

/// Relative tolerance of f32 kernels.
pub const TOLERANCE_F32: f64 = 2e-5;

/// Relative tolerance of f64 kernels.
pub const TOLERANCE_F64: f64 = 1e-12;

/// Runs every kernel family, forward and VJP, in f32 and f64, over shapes with extents from 0 and 1 to odd
/// thousands, and compares with the oracle on the same (rounded) operands:
///
/// * a result may differ by [`TOLERANCE_F32`] or [`TOLERANCE_F64`] times the larger of its own size and
///   `sum |terms| / sqrt(k)` for a sum of `k` terms, the typical size of a sum of terms of random sign;
/// * [`Accum::Replace`](spectral_core::Accum) is tested over NaN, `Add` over numbers;
/// * the same call gives the same bits again;
/// * NaN and infinity appear exactly where the oracle's result has them;
/// * pruned entries and their optimiser state become exactly `+0.0`, frozen ones keep their bits;
/// * shapes that do not fit are an error, and nothing panics.
///
/// The report lists every case that failed.
pub fn conformance(backend: &dyn Backend) -> Report {
    let mut report = Report::new(format!("backend `{}` ({})", backend.name(), backend.describe()));
    for dtype in [DType::F32, DType::F64] {
        let mut fixture = Fixture::new(backend, dtype);
        memory::run(&mut fixture);
        elementwise::run(&mut fixture);
        dense::run(&mut fixture);
        spectral::run(&mut fixture);
        sparse::run(&mut fixture);
        unitwise::run(&mut fixture);
        prelu::run(&mut fixture);
        samplewise::run(&mut fixture);
        convolution::run(&mut fixture);
        pooling::run(&mut fixture);
        reduce::run(&mut fixture);
        update::run(&mut fixture);
        report.absorb(Report { suite: dtype.to_string(), ..fixture.report });
    }
    report
}
