//! Convolution over images.

use crate::dense::keeps_input;
use crate::window::{self, Padding};
use crate::{Dense, WeightConstraints, WeightPenalties, check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{self, ConvGrads, Window};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Change, Convolution, Forward, Init, Layer, NodeParams, Op, Operand, ParamSpec, Penalty, Result, Saved,
    Shape, Tensor, UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y[o] = act(sum over c of w[o, c] * x[c] + b[o])` over images `[channels, height, width]`, where `*` slides a
/// window over the image (cross-correlation, zeros around the image). A unit is an output channel.
///
/// `groups` cuts input and output channels into equal parts; each part of the outputs sees only its part of the inputs.
/// With as many groups as input channels, this is a depthwise convolution.
///
/// Slots: `weight` `[channels, in / groups, kernel height, kernel width]`, then `bias` `[channels]` if there is one.
/// For initialisers, the inputs are the values that an output sees, `in / groups` times the values of the window; the
/// outputs are those that see a value, `channels / groups` times the values of the window. A `reshape` layer makes
/// images from rows of values, and `flatten` turns them back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels, at least 1.
    pub channels: usize,
    /// Height and width of the window, at least 1.
    #[serde(with = "window::pair")]
    pub kernel: [usize; 2],
    /// Steps between places of the window, down and across, at least 1.
    #[serde(default = "window::one_each", with = "window::pair")]
    pub stride: [usize; 2],
    /// Zeros around the image.
    #[serde(default)]
    pub padding: Padding,
    /// Steps between neighbouring values of the window, down and across, at least 1.
    #[serde(default = "window::one_each", with = "window::pair", skip_serializing_if = "window::is_one_each")]
    pub dilation: [usize; 2],
    /// Number of channel groups that are convolved separately; divides input and output channels.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
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

fn is_one(n: &usize) -> bool {
    *n == 1
}

impl Conv2d {
    /// A layer with a square window, bias, Glorot-uniform weights, steps of one and no padding.
    pub fn new(channels: usize, kernel: usize, activation: Activation) -> Self {
        let Dense { units, activation, bias, init, bias_init, penalties, constraints, output_penalty } =
            Dense::new(channels, activation);
        Self {
            channels: units,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: Padding::default(),
            dilation: [1; 2],
            groups: 1,
            activation,
            bias,
            init,
            bias_init,
            penalties,
            constraints,
            output_penalty,
        }
    }

    /// The dense layer at one place of the window.
    fn dense(&self) -> Dense {
        let Self { activation, bias, init, bias_init, penalties, constraints, output_penalty, .. } = *self;
        Dense { units: self.channels, activation, bias, init, bias_init, penalties, constraints, output_penalty }
    }

    fn window(&self) -> Window {
        let Self { kernel, stride, padding, dilation, .. } = *self;
        padding.around(Window { kernel, stride, padding: [0; 4], dilation })
    }

    /// Extents of weights and outputs.
    fn shapes(&self, inputs: &[Shape]) -> Result<(Shape, Shape)> {
        let [channels, height, width] = window::image(self.kind(), inputs)?;
        if self.channels == 0 {
            return Err(check::bad(self.kind(), "`channels` must be at least 1"));
        }
        let groups = self.groups;
        if groups == 0 || !channels.is_multiple_of(groups) || !self.channels.is_multiple_of(groups) {
            let problem =
                format!("`groups` is {groups}; it must divide {channels} input and {} channels", self.channels);
            return Err(check::bad(self.kind(), problem));
        }
        let window = self.window();
        let [rows, columns] = window::places(self.kind(), window, self.padding, [height, width])?;
        let inputs = channels / groups;
        let taps = window.kernel[0].checked_mul(window.kernel[1]).and_then(|k| k.checked_mul(inputs));
        let taps = taps.ok_or_else(|| check::bad(self.kind(), "the kernel is too large"))?;
        self.dense().check(self.kind(), &[Shape::vector(taps)])?;
        let weight = Shape::new(&[self.channels, inputs, self.kernel[0], self.kernel[1]])?;
        Ok((weight, Shape::new(&[self.channels, rows, columns])?))
    }

    fn kernel<'a>(&self, x: &'a Tensor, params: NodeParams<'a>, activation: Activation) -> backend::Conv2d<'a> {
        let bias = self.bias.then(|| params.value(1));
        let (weight, window, groups) = (params.value(0), self.window(), self.groups);
        backend::Conv2d { x, weight, bias, window, groups, activation }
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
        if self.groups > 1 {
            // The second axis holds the inputs of one group.
            specs[0].axes = &[UnitAxis::Out];
        }
        let taps = self.kernel[0] * self.kernel[1];
        let fan = (shape.columns(), self.channels / self.groups * taps);
        specs.iter_mut().for_each(|spec| spec.fan = fan);
        Ok(specs)
    }

    /// Every window as a column; then the pre-activation, if the activation's slope needs it.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let Ok((weight, output)) = self.shapes(inputs) else { return Vec::new() };
        let columns = Shape::new(&[self.groups * weight.columns(), output.extents()[1], output.extents()[2]]);
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
            // All groups must have as many channels.
            Change::Units(channels) if self.groups == 1 => Self { channels, ..*self },
            Change::Bias if !self.bias => Self { bias: true, ..*self },
            Change::Activation(activation) => Self { activation, ..*self },
            _ => return None,
        };
        Some(Arc::new(layer))
    }

    fn op(&self) -> Op {
        let (weight, bias) = (Operand::Slot(0), self.bias.then_some(Operand::Slot(1)));
        let Self { groups, activation, .. } = *self;
        Word::Convolution(Convolution { weight, bias, window: self.window(), groups, activation }).into()
    }
}

register_layer!(Conv2d, "conv2d", "act(w * x + b) with a window that slides over images", || {
    let layer = Conv2d { stride: [2; 2], padding: 1.into(), ..Conv2d::new(3, 3, Activation::Gelu) };
    (Arc::new(layer), vec![Shape::new(&[2, 4, 5]).unwrap_or(Shape::vector(40))])
});
