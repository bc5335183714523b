//! Whether a backend gives the same bits when it says so.

use crate::Report;
use spectral_core::backend::{
    Accum, Conv2d, ConvGrads, Determinism, Diagonal, Family, GradSlot, Linear, LinearGrads, LossKernel, LossKind,
    OuterProduct, PackedLinear, Pool2d, Pool2dVjp, Pooling, Prelu, PreluGrads, RowSum, Rule, SampleNorm, SampleNormVjp,
    SparseGrads, SparseLinear, SpectralGrads, SpectralWeight, Update, Window,
};
use spectral_core::{Activation, Backend, BackendHandle, DType, Kernel, Pattern, Result, Seed, Shape, Tensor};

/// Extents that are cut into several parts by any sensible backend, and not evenly.
const OUT: usize = 301;
const IN: usize = 517;
const BATCH: usize = 331;

const FAMILIES: [Family; 11] = [
    Family::Memory,
    Family::Elementwise,
    Family::Dense,
    Family::Spectral,
    Family::Sparse,
    Family::Unitwise,
    Family::Samplewise,
    Family::Convolution,
    Family::Pooling,
    Family::Reduce,
    Family::Update,
];

/// Runs a kernel or two of every family, in f32 and f64, on one, two and three threads as `open` gives them, each
/// twice: a family must give the same bits again, and for any number of threads where
/// [`Backend::determinism`] promises that.
pub fn determinism(open: impl Fn(usize) -> Result<BackendHandle>) -> Report {
    let mut report = Report::new("determinism");
    for dtype in [DType::F32, DType::F64] {
        for family in FAMILIES {
            let label = format!("{dtype} {family:?}");
            let mut first: Option<Vec<u64>> = None;
            for threads in 1..=3 {
                let run = || -> Result<_> {
                    let backend = open(threads)?;
                    let once = || Work::new(&*backend, dtype).run(family);
                    Ok((backend.determinism(family), once()?, once()?))
                };
                let Some((promised, once, again)) = report.attempt(&label, run()) else { continue };
                report.expect(once == again, format!("{label} on {threads} threads: other bits the second time"));
                let same = first.get_or_insert_with(|| once.clone()) == &once;
                report.expect(
                    promised == Determinism::SameThreads || same,
                    format!("{label}: other bits on {threads} threads than on one"),
                );
            }
        }
    }
    report
}

fn slot(tensor: &mut Tensor) -> Option<GradSlot<'_>> {
    Some(GradSlot { tensor, accum: Accum::Replace })
}

/// Operands drawn from a fixed seed, and the bits of results.
struct Work<'a> {
    backend: &'a dyn Backend,
    dtype: DType,
    drawn: Vec<f64>,
    results: Vec<Tensor>,
}

impl<'a> Work<'a> {
    fn new(backend: &'a dyn Backend, dtype: DType) -> Self {
        let mut stream = Seed(5).stream("determinism", 0);
        // A prime, so that operands of round sizes do not repeat each other.
        let drawn = (0..16_381).map(|_| stream.normal()).collect();
        Self { backend, dtype, drawn, results: Vec::new() }
    }

    fn random(&self, shape: Shape) -> Result<Tensor> {
        let mut tensor = self.backend.zeros(shape, self.dtype)?;
        let values: Vec<f64> = self.drawn.iter().cycle().take(shape.len()).copied().collect();
        self.backend.write(&values, &mut tensor)?;
        Ok(tensor)
    }

    /// Makes a result of `shape` by `kernel`.
    fn result(&mut self, shape: Shape, kernel: impl FnOnce(&dyn Backend, &mut Tensor) -> Result<()>) -> Result<()> {
        let mut tensor = self.random(shape)?;
        kernel(self.backend, &mut tensor)?;
        self.results.push(tensor);
        Ok(())
    }

    fn run(mut self, family: Family) -> Result<Vec<u64>> {
        match family {
            Family::Memory => self.memory(),
            Family::Elementwise => self.elementwise(),
            Family::Dense => self.dense(),
            Family::Spectral => self.spectral(),
            Family::Sparse => self.sparse(),
            Family::Unitwise => self.unitwise(),
            Family::Samplewise => self.samplewise(),
            Family::Convolution => self.convolution(),
            Family::Pooling => self.pooling(),
            Family::Reduce => self.reduce(),
            Family::Update => self.update(),
        }?;
        let mut bits = Vec::new();
        for tensor in &self.results {
            bits.extend(self.backend.download(tensor)?.iter().map(|v| v.to_bits()));
        }
        Ok(bits)
    }

    fn memory(&mut self) -> Result<()> {
        let x = self.random(Shape::matrix(IN, BATCH))?;
        self.result(x.shape(), |b, y| b.copy(&x, y))
    }

    fn elementwise(&mut self) -> Result<()> {
        let x = self.random(Shape::matrix(IN, BATCH))?;
        for act in [Activation::Gelu, Activation::Sigmoid, Activation::Softplus, Activation::Softmax] {
            self.result(x.shape(), |b, y| b.activate(act, &x, y))?;
        }
        self.result(x.shape(), |b, y| b.multiply(&x, &x, y, Accum::Add))
    }

    fn dense(&mut self) -> Result<()> {
        let (x, weight) = (self.random(Shape::matrix(IN, BATCH))?, self.random(Shape::matrix(OUT, IN))?);
        let dz = self.random(Shape::matrix(OUT, BATCH))?;
        let op = Linear { x: &x, weight: &weight, bias: None, activation: Activation::Relu };
        self.result(dz.shape(), |b, y| b.linear(&op, y, None))?;
        self.result(x.shape(), |b, dx| b.linear_vjp(&op, &dz, LinearGrads { x: slot(dx), ..Default::default() }))?;
        self.result(weight.shape(), |b, dw| {
            b.linear_vjp(&op, &dz, LinearGrads { weight: slot(dw), ..Default::default() })
        })?;
        self.result(Shape::vector(OUT), |b, db| {
            b.linear_vjp(&op, &dz, LinearGrads { bias: slot(db), ..Default::default() })
        })
    }

    fn spectral(&mut self) -> Result<()> {
        let basis = self.random(Shape::matrix(OUT, IN))?;
        let (lambda_in, lambda_out) = (self.random(Shape::vector(IN))?, self.random(Shape::vector(OUT))?);
        let (left, right) = (self.random(Shape::matrix(OUT, BATCH))?, self.random(Shape::matrix(IN, BATCH))?);
        let op = SpectralWeight { basis: &basis, lambda_in: &lambda_in, lambda_out: &lambda_out };
        let dw = OuterProduct { left: &left, right: &right, pattern: None };
        self.result(basis.shape(), |b, w| b.spectral_weight(&op, w))?;
        self.result(basis.shape(), |b, d| {
            b.spectral_weight_vjp(&op, dw, SpectralGrads { basis: slot(d), ..Default::default() })
        })?;
        self.result(lambda_in.shape(), |b, d| {
            b.spectral_weight_vjp(&op, dw, SpectralGrads { lambda_in: slot(d), ..Default::default() })
        })?;
        self.result(lambda_out.shape(), |b, d| {
            b.spectral_weight_vjp(&op, dw, SpectralGrads { lambda_out: slot(d), ..Default::default() })
        })
    }

    fn sparse(&mut self) -> Result<()> {
        let mut stream = Seed(6).stream("determinism", 0);
        let pattern = Pattern::from_fn(OUT, IN, |_, _| stream.unit() < 0.1)?;
        let (x, values) = (self.random(Shape::matrix(IN, BATCH))?, self.random(Shape::vector(pattern.nonzeros()))?);
        let dz = self.random(Shape::matrix(OUT, BATCH))?;
        let activation = Activation::Identity;
        let op = SparseLinear { x: &x, pattern: &pattern, values: &values, bias: None, activation };
        self.result(dz.shape(), |b, y| b.sparse_linear(&op, y, None))?;
        self.result(x.shape(), |b, d| b.sparse_linear_vjp(&op, &dz, SparseGrads { x: slot(d), ..Default::default() }))?;
        self.result(values.shape(), |b, d| {
            b.sparse_linear_vjp(&op, &dz, SparseGrads { values: slot(d), ..Default::default() })
        })?;
        for kernel in Kernel::SPARSE {
            let Some(packed) = self.backend.pack(kernel, &pattern, &values)? else { continue };
            let x = self.random(Shape::matrix(IN, packed.most_samples().min(BATCH)))?;
            let op = PackedLinear { x: &x, bias: None, activation };
            self.result(Shape::matrix(OUT, x.shape().columns()), |_, y| packed.linear(&op, y))?;
        }
        Ok(())
    }

    fn unitwise(&mut self) -> Result<()> {
        let (x, scale) = (self.random(Shape::matrix(IN, BATCH))?, self.random(Shape::vector(IN))?);
        let op = Diagonal { x: &x, scale: &scale, bias: None, activation: Activation::Tanh };
        self.result(x.shape(), |b, y| b.diagonal(&op, y, None))?;
        let op = Prelu { x: &x, slope: &scale };
        let dy = self.random(x.shape())?;
        self.result(scale.shape(), |b, d| b.prelu_vjp(&op, &dy, PreluGrads { x: None, slope: slot(d) }))
    }

    fn samplewise(&mut self) -> Result<()> {
        let (x, scale, dy) = (
            self.random(Shape::matrix(IN, BATCH))?,
            self.random(Shape::vector(IN))?,
            self.random(Shape::matrix(IN, BATCH))?,
        );
        let (mut y, mut variance) = (self.random(x.shape())?, self.random(Shape::vector(BATCH))?);
        self.backend.normalise_samples(&SampleNorm { x: &x, epsilon: 1e-3 }, &mut y, &mut variance)?;
        let op = SampleNormVjp { y: &y, variance: &variance, epsilon: 1e-3, scale: &scale, dy: &dy };
        self.result(x.shape(), |b, dx| b.normalise_samples_vjp(&op, GradSlot { tensor: dx, accum: Accum::Replace }))?;
        self.results.push(y);
        Ok(())
    }

    fn pooling(&mut self) -> Result<()> {
        let x = self.random(Shape::new(&[3, 23, 21, 37])?)?;
        for pooling in [Pooling::Max, Pooling::Average { padding: false }] {
            let of = Pool2d { x: &x, window: Window { padding: [1; 4], ..Window::square(3) }, pooling };
            let (dy, mut y) = (self.random(of.output("determinism")?)?, self.random(of.output("determinism")?)?);
            self.backend.pool2d(&of, &mut y)?;
            let op = Pool2dVjp { of, y: &y, dy: &dy };
            self.result(x.shape(), |b, dx| b.pool2d_vjp(&op, GradSlot { tensor: dx, accum: Accum::Replace }))?;
            self.results.push(y);
        }
        Ok(())
    }

    fn convolution(&mut self) -> Result<()> {
        let x = self.random(Shape::new(&[3, 13, 11, 37])?)?;
        let weight = self.random(Shape::new(&[5, 3, 3, 3])?)?;
        let window = Window { padding: [1; 4], ..Window::square(3) };
        let activation = Activation::Identity;
        let op = Conv2d { x: &x, weight: &weight, bias: None, window, groups: 1, activation };
        let (shape, mut scratch) = (op.output("determinism")?, self.random(op.columns("determinism")?)?);
        let dz = self.random(shape)?;
        self.result(shape, |b, y| b.conv2d(&op, &mut scratch, y, None))?;
        let mut dw = self.random(weight.shape())?;
        self.result(x.shape(), |b, dx| {
            b.conv2d_vjp(&op, &mut scratch, &dz, ConvGrads { x: slot(dx), weight: slot(&mut dw), bias: None })
        })?;
        self.results.push(dw);
        Ok(())
    }

    fn reduce(&mut self) -> Result<()> {
        let (x, t) = (self.random(Shape::matrix(IN, BATCH))?, self.random(Shape::matrix(IN, BATCH))?);
        self.result(Shape::vector(IN), |b, sums| b.row_sums(RowSum::Square, &x, sums, Accum::Replace))?;
        let kind = LossKind::SoftmaxCrossEntropy;
        let op = LossKernel { kind, outputs: &x, targets: &t, gradient_scale: 0.1 };
        let mut totals = self.backend.zeros(Shape::vector(2), DType::F64)?;
        self.result(x.shape(), |b, d| b.loss(&op, &mut totals, slot(d)))?;
        self.results.push(totals);
        Ok(())
    }

    fn update(&mut self) -> Result<()> {
        let shape = Shape::matrix(OUT, IN);
        let gradient = self.random(shape)?;
        let mut state = [self.backend.zeros(shape, self.dtype)?, self.backend.zeros(shape, self.dtype)?];
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
        let op = Update {
            rule,
            rate: 0.01,
            step: 1,
            gradient_scale: 1.0,
            l1: 1e-3,
            l2: 1e-3,
            decay: 0.0,
            pruned: None,
            trainable: None,
        };
        self.result(shape, |b, w| b.update(&op, w, &gradient, &mut state))?;
        self.results.extend(state);
        Ok(())
    }
}
