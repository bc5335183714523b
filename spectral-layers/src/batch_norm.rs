//! Batch normalisation.

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Diagonal, DiagonalGrads, Standardise, StandardiseVjp, Standardised};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Backend, Constraint, Derive, Forward, Init, Layer, Mode, NodeParams, Op, Operand, ParamSpec, Penalty,
    Result, Role, Saved, Scale, Shape, Tensor, UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = gain * (x - mean) / sqrt(variance + epsilon) + bias`, unit by unit: each feature of a vector, each channel of
/// an image. In training, mean and (biased) variance are those of the batch, for an image over all its places. At
/// inference, they are running averages of the training batches.
/// Slots: `gain`, `mean`, `variance`, `bias`, all `[units]`. The averages have the role
/// [`Statistic`](Role::Statistic). Optimisers, penalties, clipping and pruning do not touch them; freezing stops them.
/// If a network uses one layer twice, they follow the first use.
///
/// **Averages.** Every training run starts them with its first batch. After step `t` of a run each is
/// `sum_k momentum^(t - k) seen_k / sum_k momentum^(t - k)` over the steps `k` of the run, so the averages of a short
/// run are as unbiased as those of a long one. A batch with one value for each unit (one sample without places) has no
/// variance and is left out of the averages. A run that would have only such batches is refused.
///
/// Source: Ioffe & Szegedy, ICML 2015, with the defaults of Keras.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNorm {
    /// Share of the running averages that a step keeps in the long run, in `0..1`.
    pub momentum: f64,
    /// Added to the variance, above 0.
    pub epsilon: f64,
    /// Penalty on the gains, added to the loss. An L1 penalty with the criterion `gain` is network slimming.
    pub penalty: Penalty,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.99, epsilon: 1e-3, penalty: Penalty::default() }
    }
}

/// Slots of the parameters.
const GAIN: usize = 0;
const MEAN: usize = 1;
const VARIANCE: usize = 2;
const BIAS: usize = 3;

impl BatchNorm {
    fn input(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.momentum) {
            let problem = format!("`momentum` is {}; it must be at least 0 and below 1", self.momentum);
            return Err(check::bad(self.kind(), problem));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let problem = format!("`epsilon` is {}; it must be a finite number above 0", self.epsilon);
            return Err(check::bad(self.kind(), problem));
        }
        check::penalty(self.kind(), "the gains", self.penalty)?;
        check::only(self.kind(), inputs)
    }

    /// `[1 / deviation, -mean / deviation]`, which standardise with the running averages.
    fn running(&self, backend: &dyn Backend, params: NodeParams<'_>) -> Result<[Vec<f64>; 2]> {
        let (mean, variance) = (backend.download(params.value(MEAN))?, backend.download(params.value(VARIANCE))?);
        let factor: Vec<f64> = variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let shift = mean.iter().zip(&factor).map(|(m, f)| -m * f).collect();
        Ok([factor, shift])
    }

    /// `[factor, bias]` of the layer at inference.
    fn inference(&self, backend: &dyn Backend, params: NodeParams<'_>) -> Result<[Vec<f64>; 2]> {
        let [mut factor, mut shift] = self.running(backend, params)?;
        let (gain, bias) = (backend.download(params.value(GAIN))?, backend.download(params.value(BIAS))?);
        for (u, (factor, shift)) in factor.iter_mut().zip(&mut shift).enumerate() {
            (*factor, *shift) = (gain[u] * *factor, gain[u] * *shift + bias[u]);
        }
        Ok([factor, shift])
    }
}

fn plain<'a>(x: &'a Tensor, scale: &'a Tensor) -> Diagonal<'a> {
    Diagonal { x, scale, bias: None, activation: Activation::Identity }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.input(inputs)
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let units = Shape::vector(self.input(inputs)?.rows());
        let spec = |name, role| ParamSpec::new(name, role, units, &[UnitAxis::Out]);
        let average = |name| ParamSpec { averaged: Some(self.momentum), ..spec(name, Role::Statistic) };
        Ok(vec![
            ParamSpec { init: Init::Ones, penalty: self.penalty, ..spec("gain", Role::Gain) },
            average("mean"),
            ParamSpec { init: Init::Ones, constraint: Constraint::NonNeg, ..average("variance") },
            spec("bias", Role::Bias),
        ])
    }

    /// The standardised input, then mean and variance of the batch (at inference: factor and constant).
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let Some(&input) = inputs.first() else { return Vec::new() };
        let units = Saved::Fixed(Shape::vector(input.rows()));
        vec![Saved::PerSample(input), units, units]
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let [standard, first, second] = cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        let (x, params) = (cx.inputs.get(0), cx.params);
        let (x, scale, bias) = match cx.mode {
            Mode::Train => {
                let to = Standardised { y: standard, mean: first, variance: second };
                cx.backend.standardise(&Standardise { x, epsilon: self.epsilon }, to)?;
                (&*standard, params.value(GAIN), params.value(BIAS))
            }
            Mode::Infer => {
                let [factor, shift] = self.inference(cx.backend, params)?;
                cx.backend.write(&factor, first)?;
                cx.backend.write(&shift, second)?;
                (x, &*first, &*second)
            }
        };
        let op = Diagonal { x, scale, bias: Some(bias), activation: Activation::Identity };
        cx.backend.diagonal(&op, cx.output, None)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let [standard, first, second] = &mut *cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        if cx.mode == Mode::Infer {
            let x = cx.inputs.get(0);
            let grads = DiagonalGrads { x: cx.input_grads.slot(0), ..DiagonalGrads::default() };
            cx.backend.diagonal_vjp(&plain(x, first), cx.dy, grads)?;
            let [factor, shift] = self.running(cx.backend, cx.params)?;
            cx.backend.write(&factor, first)?;
            cx.backend.write(&shift, second)?;
            let op = Diagonal { bias: Some(second), ..plain(x, first) };
            cx.backend.diagonal(&op, standard, None)?;
        }
        let [scale, bias] = cx.param_grads.slots([GAIN, BIAS])?;
        let grads = DiagonalGrads { x: None, scale, bias };
        cx.backend.diagonal_vjp(&plain(standard, cx.params.value(GAIN)), cx.dy, grads)?;
        if cx.mode == Mode::Infer {
            return Ok(());
        }
        // One value has no variance.
        let seen = if standard.shape().columns() > 1 { [Some(&*first), Some(&*second)] } else { [None, None] };
        for (slot, seen) in [MEAN, VARIANCE].into_iter().zip(seen) {
            if let (Some(seen), Some(slot)) = (seen, cx.param_grads.slot(slot)) {
                cx.backend.copy(seen, slot.tensor)?;
            }
        }
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        let scale = cx.params.value(GAIN);
        let op = StandardiseVjp { y: standard, variance: second, epsilon: self.epsilon, scale, dy: cx.dy };
        cx.backend.standardise_vjp(&op, slot.tensor, slot.accum)
    }

    fn op(&self) -> Op {
        let derived = |index| Operand::Derived { index, entries: None };
        let (factor, bias) = (derived(0), Some(derived(1)));
        Op::at_inference(Word::Scale(Scale { factor, bias, activation: Activation::Identity }))
    }

    fn derive(&self, cx: &Derive<'_>) -> Result<Vec<Tensor>> {
        let like = cx.params.value(GAIN);
        let tensor = |values: Vec<f64>| {
            let mut tensor = cx.backend.zeros(like.shape(), like.dtype())?;
            cx.backend.write(&values, &mut tensor)?;
            Ok(tensor)
        };
        self.inference(cx.backend, cx.params)?.into_iter().map(tensor).collect()
    }
}

register_layer!(BatchNorm, "batch_norm", "units with mean 0 and variance 1 over the batch, then gain and bias", || {
    (Arc::new(BatchNorm::default()), vec![Shape::new(&[3, 2, 2]).unwrap_or(Shape::vector(3))])
});
