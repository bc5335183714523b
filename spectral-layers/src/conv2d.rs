//! Convolution over images.

use crate::dense::keeps_input;
use crate::{Dense, WeightConstraints, WeightPenalties, check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{self, ConvGrads, Window};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Change, Convolution, Error, Forward, Init, Layer, NodeParams, Op, Operand, ParamSpec, Penalty, Result,
    Saved, Shape, Tensor, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y[o] = act(sum over c of w[o, c] * x[c] + b[o])` over images `[channels, height, width]`, where `*` slides a
/// square window over the image (cross-correlation, zeros around the image). A unit is an output channel.
///
/// Slots: `weight` `[channels, in, kernel, kernel]`, then `bias` `[channels]` if there is one. Initialisers scale by
/// the values of a window, `in kernel^2`, and by `channels kernel^2`. Samples that are rows of values become images by
/// a `reshape` layer, and rows again by `flatten`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels, at least 1.
    pub channels: usize,
    /// Height and width of the window, at least 1.
    pub kernel: usize,
    /// Steps between places of the window, at least 1.
    #[serde(default = "one")]
    pub stride: usize,
    /// Rows and columns of zeros on each side of the image.
    #[serde(default)]
    pub padding: usize,
    /// Applied to every output; element-wise only.
    #[serde(default, deserialize_with = "forms::activation")]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "forms::yes")]
    pub bias: bool,
    /// Initial weights.
    #[serde(default = "forms::glorot_uniform", deserialize_with = "forms::init")]
    pub init: Init,
    /// Initial biases.
    #[serde(default = "forms::zeros", deserialize_with = "forms::init")]
    pub bias_init: Init,
    /// Penalties added to the loss.
    #[serde(default)]
    pub penalties: WeightPenalties,
    /// What weights and biases satisfy after every training step.
    #[serde(default)]
    pub constraints: WeightConstraints,
    /// Penalty on the outputs, a mean over the samples of a batch, added to the loss.
    #[serde(default)]
    pub output_penalty: Penalty,
}

fn one() -> usize {
    1
}

impl Conv2d {
    /// A layer with bias, Glorot-uniform weights, steps of one and no padding.
    pub fn new(channels: usize, kernel: usize, activation: Activation) -> Self {
        let Dense { units, activation, bias, init, bias_init, penalties, constraints, output_penalty } =
            Dense::new(channels, activation);
        let (channels, stride, padding) = (units, 1, 0);
        Self {
            channels,
            kernel,
            stride,
            padding,
            activation,
            bias,
            init,
            bias_init,
            penalties,
            constraints,
            output_penalty,
        }
    }

    /// The layer at one place of the window.
    fn dense(&self) -> Dense {
        let Self { activation, bias, init, bias_init, penalties, constraints, output_penalty, .. } = *self;
        Dense { units: self.channels, activation, bias, init, bias_init, penalties, constraints, output_penalty }
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding }
    }

    /// Extents of weights and outputs.
    fn shapes(&self, inputs: &[Shape]) -> Result<(Shape, Shape)> {
        let input = check::only(self.kind(), inputs)?;
        let [channels, height, width] = *input.extents() else {
            let problem =
                format!("takes images [channels, height, width], got {input}; put a `reshape` layer before it");
            return Err(check::bad(self.kind(), problem));
        };
        if [self.channels, self.kernel, self.stride].contains(&0) {
            return Err(check::bad(self.kind(), "`channels`, `kernel` and `stride` must be at least 1"));
        }
        let (Some(rows), Some(columns)) = (self.window().places(height), self.window().places(width)) else {
            let problem =
                format!("a kernel of {} does not fit into {input}; take a smaller one, or padding", self.kernel);
            return Err(check::bad(self.kind(), problem));
        };
        let taps = self.kernel.checked_mul(self.kernel).and_then(|k| k.checked_mul(channels));
        let taps = taps.ok_or_else(|| Error::shape(self.kind(), "fewer weights", input))?;
        self.dense().check(self.kind(), &[Shape::vector(taps)])?;
        let weight = Shape::new(&[self.channels, channels, self.kernel, self.kernel])?;
        Ok((weight, Shape::new(&[self.channels, rows, columns])?))
    }

    fn kernel<'a>(&self, x: &'a Tensor, params: NodeParams<'a>, activation: Activation) -> backend::Conv2d<'a> {
        let bias = self.bias.then(|| params.value(1));
        backend::Conv2d { x, weight: params.value(0), bias, window: self.window(), activation }
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.shapes(inputs)?.1)
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let (shape, _) = self.shapes(inputs)?;
        let mut specs = self.dense().specs(shape.columns());
        specs[0].shape = shape;
        let fan = (shape.columns(), self.channels * self.kernel * self.kernel);
        specs.iter_mut().for_each(|spec| spec.fan = fan);
        Ok(specs)
    }

    /// Every window as a column; then the pre-activation, if the activation's slope needs it.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let Ok((weight, output)) = self.shapes(inputs) else { return Vec::new() };
        let columns = Shape::new(&[weight.columns(), output.extents()[1], output.extents()[2]]);
        let pre = keeps_input(self.activation).then_some(output);
        columns.into_iter().chain(pre).map(Saved::PerSample).collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let Some((scratch, pre)) = cx.saved.split_first_mut() else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        let op = self.kernel(cx.inputs.get(0), cx.params, self.activation);
        cx.backend.conv2d(&op, scratch, cx.output, pre.first_mut())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let Some((scratch, pre)) = cx.saved.split_first_mut() else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        let at = if keeps_input(self.activation) { &pre[0] } else { cx.output };
        cx.backend.activate_vjp(self.activation, at, cx.dy)?;
        let (weight, bias) =
            if self.bias { cx.param_grads.slots([0, 1])?.into() } else { (cx.param_grads.slot(0), None) };
        let op = self.kernel(cx.inputs.get(0), cx.params, Activation::Identity);
        cx.backend.conv2d_vjp(&op, scratch, cx.dy, ConvGrads { x: cx.input_grads.slot(0), weight, bias })
    }

    fn output_penalty(&self) -> Penalty {
        self.output_penalty
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        let layer = match change {
            Change::Units(channels) => Self { channels, ..*self },
            Change::Bias if !self.bias => Self { bias: true, ..*self },
            Change::Activation(activation) => Self { activation, ..*self },
            _ => return None,
        };
        Some(Arc::new(layer))
    }

    fn op(&self) -> Op {
        let (weight, bias) = (Operand::Slot(0), self.bias.then_some(Operand::Slot(1)));
        Word::Convolution(Convolution { weight, bias, window: self.window(), activation: self.activation }).into()
    }
}

register_layer!(Conv2d, "conv2d", "act(w * x + b) with a window that slides over images", || {
    let layer = Conv2d { stride: 2, padding: 1, ..Conv2d::new(3, 3, Activation::Gelu) };
    (Arc::new(layer), vec![Shape::new(&[2, 4, 5]).unwrap_or(Shape::vector(40))])
});
