//! Wrong gradients, planted on purpose: the gradient check must catch every one of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use spectral_core::backend::{
    Accum, Backend, ConvKernels, DenseKernels, Dropout, Elementwise, GradSlot, Linear, LinearGrads, LossKernel,
    LossKind, Memory, OuterProduct, PoolKernels, Reduce, Reference, RowCopy, Samplewise, SparseKernels, SpectralGrads,
    SpectralKernels, SpectralWeight, Unitwise, UpdateKernels,
};
use spectral_core::registry::find;
use spectral_core::{Activation, DType, LayerEntry, Result, Seed, Shape, Tensor, Values};
use spectral_layers::{Dense, Spectral};
use spectral_testkit::{Failed, Report, gradcheck};
use std::sync::Arc;

/// What is wrong with the backend.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The gradient of lambda_out without its minus.
    LambdaOutSign,
    /// The second contribution to a gradient replaces the first.
    FanOutLost,
    /// The first contribution to a gradient is added to what the buffer held.
    OldContentsRead,
    /// The bias gets a gradient of zero.
    BiasForgotten,
    /// The bias gradient is that of the first sample.
    BiasOfOneSample,
    /// The slope of tanh taken at its input.
    SlopeAtInput,
    /// The gradient before the activation's slope is used after it.
    SlopeForgotten,
    /// Gradients of inputs off by a thousandth.
    InputScaled,
    /// `dW = dz x^T` with the weights as if lambda_in had no part in the basis' gradient.
    BasisWithoutLambdaIn,
    /// Softmax without the term that couples the outputs.
    SoftmaxUncoupled,
    /// Concat hands the first input's gradient to all.
    ConcatOffset,
    /// Backward draws other dropped values than forward.
    DropoutRedrawn,
    /// The product's gradient misses a factor.
    FactorMissed,
    /// Mean squared error without the two.
    LossHalved,
    /// Cross-entropy that takes targets to sum to one.
    MassIgnored,
}

#[derive(Debug, Clone, Copy)]
struct Broken(Fault);

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.0 == fault
    }

    /// The slot as a faulty kernel sees it.
    fn slot<'a>(&self, slot: Option<GradSlot<'a>>) -> Option<GradSlot<'a>> {
        slot.map(|GradSlot { tensor, accum }| match self.0 {
            Fault::FanOutLost => GradSlot { tensor, accum: Accum::Replace },
            Fault::OldContentsRead => GradSlot { tensor, accum: Accum::Add },
            _ => GradSlot { tensor, accum },
        })
    }

    /// Lets `right` write a gradient, and passes it on times `factor`.
    fn scaled(
        &self,
        factor: f64,
        slot: Option<GradSlot<'_>>,
        right: impl FnOnce(GradSlot<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(slot) = slot else { return Ok(()) };
        let mut own = Tensor::host_zeros(slot.tensor.shape(), slot.tensor.dtype());
        right(GradSlot { tensor: &mut own, accum: Accum::Replace })?;
        Reference.scale(factor, &own, slot.tensor, slot.accum)
    }
}

impl Memory for Broken {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        Reference.zeros(shape, dtype)
    }
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        Reference.upload(from, to)
    }
    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        Reference.download(from)
    }
}

impl Elementwise for Broken {
    fn activate_vjp(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        match self.0 {
            Fault::SlopeAtInput if act == Activation::Tanh => {
                let mut d = self.download(dy)?;
                d.iter_mut().zip(self.download(at)?).for_each(|(d, y)| *d *= 1.0 - y.atanh().powi(2));
                self.write(&d, dy)
            }
            Fault::SlopeForgotten => Ok(()),
            Fault::SoftmaxUncoupled if act == Activation::Softmax => {
                let mut d = self.download(dy)?;
                d.iter_mut().zip(self.download(at)?).for_each(|(d, y)| *d *= y * (1.0 - y));
                self.write(&d, dy)
            }
            _ => Reference.activate_vjp(act, at, dy),
        }
    }

    fn copy_rows(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        let from_row = if self.is(Fault::ConcatOffset) { 0 } else { op.from_row };
        Reference.copy_rows(RowCopy { from_row, ..op }, from, to, accum)
    }

    fn dropout(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        // Keyed by the values too: forward drops inputs or weights, backward gradients.
        let first = self.download(x)?[0].to_bits();
        let redrawn = if self.is(Fault::DropoutRedrawn) { first } else { 0 };
        Reference.dropout(Dropout { key: op.key ^ redrawn, ..op }, x, y, accum)
    }

    fn multiply(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if self.is(Fault::FactorMissed) && accum == Accum::Add {
            return Reference.scale(1.0, a, y, accum);
        }
        Reference.multiply(a, b, y, accum)
    }
}

impl DenseKernels for Broken {
    fn linear_vjp(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        let [x, weight, bias] = [grads.x, grads.weight, grads.bias].map(|slot| self.slot(slot));
        Reference.linear_vjp(op, dz, LinearGrads { weight, ..Default::default() })?;
        let factor = if self.is(Fault::InputScaled) { 1.001 } else { 1.0 };
        self.scaled(factor, x, |x| Reference.linear_vjp(op, dz, LinearGrads { x: Some(x), ..Default::default() }))?;
        match self.0 {
            Fault::BiasOfOneSample => {
                let (d, batch) = (self.download(dz)?, dz.shape().columns());
                let Some(bias) = bias else { return Ok(()) };
                let first: Vec<f64> = d.iter().step_by(batch).copied().collect();
                self.write(&first, bias.tensor)
            }
            fault => {
                let factor = if fault == Fault::BiasForgotten { 0.0 } else { 1.0 };
                self.scaled(factor, bias, |bias| {
                    Reference.linear_vjp(op, dz, LinearGrads { bias: Some(bias), ..Default::default() })
                })
            }
        }
    }
}

impl SpectralKernels for Broken {
    fn spectral_weight_vjp(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        let SpectralGrads { basis, lambda_in, lambda_out } = grads;
        let none = Tensor::host_zeros(op.lambda_in.shape(), op.lambda_in.dtype());
        let without = SpectralWeight { lambda_in: &none, ..*op };
        let factors = if self.is(Fault::BasisWithoutLambdaIn) { &without } else { op };
        Reference.spectral_weight_vjp(factors, dw, SpectralGrads { basis, ..Default::default() })?;
        Reference.spectral_weight_vjp(op, dw, SpectralGrads { lambda_in, ..Default::default() })?;
        let sign = if self.is(Fault::LambdaOutSign) { -1.0 } else { 1.0 };
        self.scaled(sign, lambda_out, |slot| {
            Reference.spectral_weight_vjp(op, dw, SpectralGrads { lambda_out: Some(slot), ..Default::default() })
        })
    }
}

impl SparseKernels for Broken {}

impl Reduce for Broken {
    fn loss(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        let (kind, batch) = (op.kind, op.targets.shape().columns());
        Reference.loss(op, totals, None)?;
        let mut unused = Tensor::host_zeros(Shape::vector(2), DType::F64);
        let factor = if self.is(Fault::LossHalved) { 0.5 } else { 1.0 };
        let mut targets = self.download(op.targets)?;
        if self.is(Fault::MassIgnored) && kind == LossKind::SoftmaxCrossEntropy {
            // p - t where p * sum(t) - t is right: as if the last target made the sum one.
            for b in 0..batch {
                let sum: f64 = targets[b..].iter().step_by(batch).sum();
                *targets[b..].iter_mut().step_by(batch).last().unwrap() += 1.0 - sum;
            }
        }
        let mut other = Tensor::host_zeros(op.targets.shape(), op.targets.dtype());
        self.write(&targets, &mut other)?;
        let op = LossKernel { targets: &other, ..*op };
        self.scaled(factor, gradient, |slot| Reference.loss(&op, &mut unused, Some(slot)))
    }
}

impl Unitwise for Broken {}
impl Samplewise for Broken {}
impl ConvKernels for Broken {}
impl PoolKernels for Broken {}

impl UpdateKernels for Broken {}

impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
}

/// Checks the registered example of a kind, or a layer whose activation is told by its slope.
fn layer(kind: &str, fault: Fault) -> Result<Report, Failed> {
    let (example, inputs) = match kind {
        "dense with tanh" => (Arc::new(Dense::new(3, Activation::Tanh)) as _, vec![Shape::vector(4)]),
        "spectral without bias" => {
            (Arc::new(Spectral { bias: false, ..Spectral::new(3, Activation::Relu) }) as _, vec![Shape::vector(4)])
        }
        kind => (find::<LayerEntry>(kind).unwrap().example)(),
    };
    gradcheck::layer(&Broken(fault), example, &inputs, Seed(5))
}

#[test]
fn every_planted_fault_is_caught() {
    use Fault::*;
    let cases = [
        ("spectral", LambdaOutSign, "lambda_out"),
        ("spectral without bias", LambdaOutSign, "lambda_out"),
        ("dense", FanOutLost, "tested.weight"),
        ("dense", OldContentsRead, "depends on what its buffers held before"),
        ("dense", BiasForgotten, "tested.bias"),
        ("spectral", BiasOfOneSample, "tested.bias"),
        ("dense with tanh", SlopeAtInput, "tested.weight"),
        ("dense", SlopeForgotten, "tested.weight"),
        ("activation", SoftmaxUncoupled, "input"),
        ("dense", InputScaled, "input"),
        ("spectral", InputScaled, "input"),
        ("masked", InputScaled, "input"),
        ("spectral", BasisWithoutLambdaIn, "tested.basis"),
        ("concat", ConcatOffset, "input"),
        ("dropout", DropoutRedrawn, "input"),
        ("drop_connect", DropoutRedrawn, "tested.weight"),
        ("multiply", FactorMissed, "input"),
    ];
    let mut escaped = Vec::new();
    for (kind, fault, names) in cases {
        match layer(kind, None) {
            Ok(report) => assert!(report.worst <= gradcheck::TOLERANCE, "{report}"),
            Err(failed) => escaped.push(format!("{kind} fails without a fault: {failed}")),
        }
        match layer(kind, fault) {
            Ok(report) => escaped.push(format!("{fault:?} in {kind} was not caught: {report}")),
            Err(failed) if !failed.to_string().contains(names) => {
                escaped.push(format!("{fault:?} in {kind} was blamed on something else than {names}: {failed}"));
            }
            Err(_) => {}
        }
    }
    for (kind, fault) in [(LossKind::MeanSquaredError, LossHalved), (LossKind::SoftmaxCrossEntropy, MassIgnored)] {
        assert!(gradcheck::loss(&Broken(None), kind).is_ok());
        if let Ok(report) = gradcheck::loss(&Broken(fault), kind) {
            escaped.push(format!("{fault:?} was not caught: {report}"));
        }
    }
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}
