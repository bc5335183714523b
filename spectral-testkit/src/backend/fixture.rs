//! Operands in two places: on the backend under test, and in f64 for the oracle.

use super::{TOLERANCE_F32, TOLERANCE_F64};
use crate::Report;
use spectral_core::backend::{Accum, GradSlot};
use spectral_core::{Backend, DType, Memory, Reference, Result, Seed, Shape, Stream, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Output units, inputs, samples.
pub(super) const EXTENTS: [(usize, usize, usize); 19] = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 2, 0),
    (1, 1, 1),
    (1, 5, 1),
    (5, 1, 3),
    (2, 3, 4),
    (10, 17, 100),
    (17, 33, 7),
    (16, 16, 16),
    (31, 65, 129),
    (64, 48, 32),
    (101, 203, 35),
    (257, 301, 9),
    (130, 255, 1),
    (101, 203, 2),
    (1, 4099, 3),
    (2051, 3, 5),
    (5, 3, 3001),
];

/// Whether a product is so large that the oracle takes its time: then only the main variants of a kernel are tried.
pub(super) fn large((out, inputs, batch): (usize, usize, usize)) -> bool {
    out * inputs * batch > 50_000
}

/// Where kernels are tried that do not depend much on extents.
pub(super) const USUAL: (usize, usize, usize) = (17, 33, 7);

/// Both ways to write a result.
pub(super) const ACCUMS: [Accum; 2] = [Accum::Replace, Accum::Add];

/// Random numbers drawn for a fixture; a prime, so that operands of round sizes do not repeat each other.
const POOL: usize = 16_381;

/// Differences below this are never counted: f32 kernels may flush subnormals.
const FLUSHED: f64 = 1.2e-38;

/// The same tensor in two places.
#[derive(Debug)]
pub(super) struct Pair {
    /// Where the backend under test works.
    pub(super) device: Tensor,
    /// In f64 in main memory.
    pub(super) oracle: Tensor,
}

impl Pair {
    pub(super) fn slots(&mut self, accum: Accum) -> (GradSlot<'_>, GradSlot<'_>) {
        (GradSlot { tensor: &mut self.device, accum }, GradSlot { tensor: &mut self.oracle, accum })
    }
}

/// One backend at one element type, with the report its cases go to.
pub(super) struct Fixture<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) dtype: DType,
    pub(super) report: Report,
    stream: Stream,
    pool: Vec<f64>,
    offset: usize,
    label: String,
}

impl<'a> Fixture<'a> {
    pub(super) fn new(backend: &'a dyn Backend, dtype: DType) -> Self {
        let mut stream = Seed(17).stream("conformance", 0);
        let drawn = (0..POOL).map(|_| stream.normal()).collect();
        let report = Report::default();
        let mut this = Self { backend, dtype, report, stream, pool: Vec::new(), offset: 0, label: String::new() };
        this.pool = this.rounded(drawn);
        this
    }

    /// Runs one case. Errors and panics are failures of it.
    pub(super) fn case(&mut self, label: impl ToString, run: impl FnOnce(&mut Self) -> Result<()>) {
        self.label = label.to_string();
        self.report.cases += 1;
        match catch_unwind(AssertUnwindSafe(|| run(self))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => self.fail(e),
            Err(_) => self.fail("panicked"),
        }
    }

    /// Runs one case that must end in an error.
    pub(super) fn refused(&mut self, label: &str, run: impl FnOnce(&mut Self) -> Result<()>) {
        self.label = label.into();
        self.report.cases += 1;
        match catch_unwind(AssertUnwindSafe(|| run(self))) {
            Ok(Ok(())) => self.fail("accepted, must be an error"),
            Ok(Err(_)) => {}
            Err(_) => self.fail("panicked, must be an error"),
        }
    }

    pub(super) fn fail(&mut self, problem: impl std::fmt::Display) {
        self.report.failures.push(format!("{}: {problem}", self.label));
    }

    pub(super) fn require(&mut self, holds: bool, problem: impl std::fmt::Display) {
        if !holds {
            self.fail(problem);
        }
    }

    /// Random normal numbers that the element type can hold, from a pool that is drawn once: drawing them would take
    /// longer than the kernels do.
    pub(super) fn normal(&mut self, len: usize) -> Vec<f64> {
        self.offset += self.stream.below(POOL);
        let values = self.pool.iter().cycle().skip(self.offset % POOL).take(len).copied().collect();
        self.offset += len;
        values
    }

    /// A random number in `0..n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.stream.below(n)
    }

    /// The nearest values of the element type.
    pub(super) fn rounded(&self, values: Vec<f64>) -> Vec<f64> {
        match self.dtype {
            DType::F32 => values.into_iter().map(|v| f64::from(v as f32)).collect(),
            DType::F64 => values,
        }
    }

    /// `values`, which the element type can hold, in both places.
    pub(super) fn pair(&self, shape: Shape, values: &[f64]) -> Result<Pair> {
        let mut device = self.backend.zeros(shape, self.dtype)?;
        self.backend.write(values, &mut device)?;
        let mut oracle = Tensor::host_zeros(shape, DType::F64);
        Reference.write(values, &mut oracle)?;
        Ok(Pair { device, oracle })
    }

    /// Random numbers in both places.
    pub(super) fn random(&mut self, shape: Shape) -> Result<Pair> {
        let values = self.normal(shape.len());
        self.pair(shape, &values)
    }

    /// Where a result goes: full of NaN if it replaces, of numbers if it is added.
    pub(super) fn target(&mut self, shape: Shape, accum: Accum) -> Result<Pair> {
        match accum {
            Accum::Replace => self.pair(shape, &vec![f64::NAN; shape.len()]),
            Accum::Add => self.random(shape),
        }
    }

    /// Compares a result with the oracle's; entry `i` may differ by the tolerance times the larger of its own size
    /// and `scale(i)`.
    pub(super) fn agree(&mut self, what: &str, pair: &Pair, scale: impl Fn(usize) -> f64) -> Result<()> {
        let got = self.backend.download(&pair.device)?;
        let want = Reference.download(&pair.oracle)?;
        if got.len() != want.len() {
            self.fail(format!("{what} has {} entries, must have {}", got.len(), want.len()));
            return Ok(());
        }
        let tolerance = match self.dtype {
            DType::F32 => TOLERANCE_F32,
            DType::F64 => TOLERANCE_F64,
        };
        let (mut worst, mut at) = (0.0, None);
        for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
            let off = if w.is_finite() {
                let size = w.abs().max(scale(i)).max(f64::MIN_POSITIVE);
                if (g - w).abs() <= FLUSHED { 0.0 } else { (g - w).abs() / size }
            } else if g == w || (g.is_nan() && w.is_nan()) {
                0.0
            } else {
                f64::INFINITY
            };
            let off = if off.is_nan() { f64::INFINITY } else { off };
            if off > worst {
                (worst, at) = (off, Some(i));
            }
        }
        match at {
            Some(i) if worst > tolerance => {
                self.fail(format!(
                    "{what}[{i}] is {}, must be {} (off by {worst:.1e}, may be {tolerance:.0e})",
                    got[i], want[i]
                ));
            }
            _ => self.report.worst = self.report.worst.max(worst),
        }
        Ok(())
    }

    /// Two results of the same call must have the same bits.
    pub(super) fn same_bits(&mut self, what: &str, a: &Tensor, b: &Tensor) -> Result<()> {
        let (a, b) = (self.backend.download(a)?, self.backend.download(b)?);
        let differs = (0..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits());
        self.require(differs.is_none(), format!("{what} has other bits the second time, first at {differs:?}"));
        Ok(())
    }
}

/// The size of a sum of `k` terms of random sign, given the sum of their sizes.
pub(super) fn random_sum(sizes: &[f64], k: usize) -> impl Fn(usize) -> f64 + '_ {
    let root = (k.max(1) as f64).sqrt();
    move |i| sizes[i] / root
}

/// The sizes of a tensor's entries, for the oracle.
pub(super) fn sizes(t: &Tensor) -> Result<Tensor> {
    let mut out = Tensor::host_zeros(t.shape(), DType::F64);
    let values: Vec<f64> = Reference.download(t)?.iter().map(|v| v.abs()).collect();
    Reference.write(&values, &mut out)?;
    Ok(out)
}
