//! A layer in a crate of its own.

use serde::{Deserialize, Serialize};
use spectral_core::backend::{Accum, Backend, GradSlot, Linear, LinearGrads};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Affine, Change, Derive, Error, Forward, Init, Layer, NodeParams, Op, Operand, ParamSpec, Result, Role,
    Saved, Shape, Tensor, UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = W x + b` with `W[o, i] = gain[o] * direction[o, i] / ||direction[o]||`: length and direction of the weights of
/// a unit are learnt apart.
///
/// Slots: `direction` `[units, in]`, `gain` `[units]`, then `bias` `[units]` if there is one. A direction of zeros, as
/// in a pruned unit, gives weights of zero and no gradient. The weights are computed on the host in every step: the
/// layer is as fast as its product only where that is large. Source: Salimans & Kingma, NeurIPS 2016.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightNorm {
    /// Output units, at least 1.
    pub units: usize,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

/// Slots of the parameters.
const DIRECTION: usize = 0;
const GAIN: usize = 1;
const BIAS: usize = 2;

impl WeightNorm {
    /// A layer with a bias.
    pub fn new(units: usize) -> Self {
        Self { units, bias: true }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        match inputs {
            [x] if x.rank() == 1 && !x.is_empty() && self.units > 0 => Ok(x.len()),
            _ => Err(Error::config("layer `weight_norm`", "needs at least one unit and takes one vector, not empty")),
        }
    }
}

/// The length of each row of `direction`.
fn lengths(direction: &[f64], units: usize) -> Vec<f64> {
    let rows = direction.chunks(direction.len() / units);
    rows.map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()
}

/// Writes `W` to `to`.
fn weight(backend: &dyn Backend, params: NodeParams<'_>, to: &mut Tensor) -> Result<()> {
    let (mut w, gain) = (backend.download(params.value(DIRECTION))?, backend.download(params.value(GAIN))?);
    let (lengths, columns) = (lengths(&w, gain.len()), w.len() / gain.len());
    w.iter_mut().enumerate().filter(|(_, w)| **w != 0.0).for_each(|(k, w)| {
        *w *= gain[k / columns] / lengths[k / columns];
    });
    backend.write(&w, to)
}

/// Adds to a gradient or replaces it.
fn put(backend: &dyn Backend, mut values: Vec<f64>, slot: GradSlot<'_>) -> Result<()> {
    if slot.accum == Accum::Add {
        values.iter_mut().zip(backend.download(slot.tensor)?).for_each(|(v, old)| *v += old);
    }
    backend.write(&values, slot.tensor)
}

impl Layer for WeightNorm {
    fn kind(&self) -> &'static str {
        "weight_norm"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.width(inputs).map(|_| Shape::vector(self.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let (width, units) = (self.width(inputs)?, Shape::vector(self.units));
        let matrix = Shape::matrix(self.units, width);
        let direction = ParamSpec::new("direction", Role::Weight, matrix, &[UnitAxis::Out, UnitAxis::In]);
        let mut specs = vec![
            ParamSpec { init: Init::GlorotUniform, fan: (width, self.units), ..direction },
            ParamSpec { init: Init::Ones, ..ParamSpec::new("gain", Role::Gain, units, &[UnitAxis::Out]) },
        ];
        specs.extend(self.bias.then(|| ParamSpec::new("bias", Role::Bias, units, &[UnitAxis::Out])));
        Ok(specs)
    }

    /// The weights and their gradient.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        vec![Saved::Fixed(Shape::matrix(self.units, inputs.first().map_or(0, Shape::len))); 2]
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        weight(cx.backend, cx.params, &mut cx.saved[0])?;
        let bias = self.bias.then(|| cx.params.value(BIAS));
        let op = Linear { x: cx.inputs.get(0), weight: &cx.saved[0], bias, activation: Activation::Identity };
        cx.backend.linear(&op, cx.output, None)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let (weights, gradient) = cx.saved.split_at_mut(1);
        let [direction, gain] = cx.param_grads.slots([DIRECTION, GAIN])?;
        let wanted = direction.is_some() || gain.is_some();
        let slot = wanted.then(|| GradSlot { tensor: &mut gradient[0], accum: Accum::Replace });
        let op = Linear { x: cx.inputs.get(0), weight: &weights[0], bias: None, activation: Activation::Identity };
        let dx = cx.input_grads.slot(0);
        cx.backend.linear_vjp(&op, cx.dy, LinearGrads { x: dx, weight: slot, bias: None })?;
        if wanted {
            // With n = v / ||v||: d gain = dW . n, d v = gain / ||v|| (dW - (dW . n) n).
            let dw = cx.backend.download(&gradient[0])?;
            let (mut v, g) =
                (cx.backend.download(cx.params.value(DIRECTION))?, cx.backend.download(cx.params.value(GAIN))?);
            let (lengths, columns) = (lengths(&v, g.len()), v.len() / g.len());
            let mut along = vec![0.0; g.len()];
            for (unit, row) in v.chunks_mut(columns).enumerate().filter(|(unit, _)| lengths[*unit] > 0.0) {
                let dw = &dw[unit * columns..(unit + 1) * columns];
                row.iter_mut().for_each(|v| *v /= lengths[unit]);
                along[unit] = row.iter().zip(dw).map(|(n, dw)| n * dw).sum();
                row.iter_mut().zip(dw).for_each(|(n, dw)| *n = g[unit] / lengths[unit] * (dw - along[unit] * *n));
            }
            direction.map_or(Ok(()), |slot| put(cx.backend, v, slot))?;
            gain.map_or(Ok(()), |slot| put(cx.backend, along, slot))?;
        }
        if !self.bias {
            return Ok(());
        }
        let Some(slot) = cx.param_grads.slot(BIAS) else { return Ok(()) };
        let batch = cx.dy.shape().columns();
        let sums = cx.backend.download(cx.dy)?.chunks(batch).map(|row| row.iter().sum()).collect();
        put(cx.backend, sums, slot)
    }

    /// A product with a derived matrix: so the layer is pruned, compacted, stored sparse and counted like `dense`.
    fn op(&self) -> Op {
        let weight = Operand::Derived { index: 0, entries: Some(DIRECTION) };
        let bias = self.bias.then_some(Operand::Slot(BIAS));
        Word::Affine(Affine { weight, bias, activation: Activation::Identity }).into()
    }

    fn derive(&self, cx: &Derive<'_>) -> Result<Vec<Tensor>> {
        let direction = cx.params.value(DIRECTION);
        let mut w = cx.backend.zeros(direction.shape(), direction.dtype())?;
        weight(cx.backend, cx.params, &mut w)?;
        Ok(vec![w])
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        match change {
            Change::Units(units) => Some(Arc::new(Self { units, ..self.clone() })),
            Change::Bias if !self.bias => Some(Arc::new(Self { bias: true, ..self.clone() })),
            _ => None,
        }
    }
}

register_layer!(WeightNorm, "weight_norm", "W x + b with length and direction of W's rows apart", || {
    (Arc::new(WeightNorm::new(3)), vec![Shape::vector(4)])
});
