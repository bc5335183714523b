//! An activation with a learnt slope for each unit.

use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{self, PreluGrads};
use spectral_core::layer::to_config;
use spectral_core::{
    Forward, Init, Layer, NodeParams, Op, Operand, ParamSpec, Penalty, Result, Role, Shape, Tensor, UnitAxis, Vjp,
    Word, register_layer,
};
use std::sync::Arc;

/// `y = x` where `x > 0`, else `slope * x`, with one slope for each unit: a feature of a row of values, a channel of an
/// image.
///
/// Slots: `slope` `[units]`. Source: He et al., ICCV 2015, with their initial slopes of 0.25.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prelu {
    /// Initial slopes.
    #[serde(deserialize_with = "forms::init")]
    pub init: Init,
    /// Penalty on the slopes, added to the loss.
    #[serde(skip_serializing_if = "forms::is_default")]
    pub penalty: Penalty,
}

impl Default for Prelu {
    fn default() -> Self {
        Self { init: Init::Constant(0.25), penalty: Penalty::default() }
    }
}

impl Prelu {
    fn input(&self, inputs: &[Shape]) -> Result<Shape> {
        check::penalty(self.kind(), "the slopes", self.penalty)?;
        check::only(self.kind(), inputs)
    }

    fn op<'a>(&self, x: &'a Tensor, params: NodeParams<'a>) -> backend::Prelu<'a> {
        backend::Prelu { x, slope: params.value(0) }
    }
}

impl Layer for Prelu {
    fn kind(&self) -> &'static str {
        "prelu"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.input(inputs)
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let units = Shape::vector(self.input(inputs)?.rows());
        let slope = ParamSpec::new("slope", Role::Slope, units, &[UnitAxis::Out]);
        Ok(vec![ParamSpec { init: self.init, penalty: self.penalty, ..slope }])
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        cx.backend.prelu(&self.op(cx.inputs.get(0), cx.params), cx.output)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let grads = PreluGrads { x: cx.input_grads.slot(0), slope: cx.param_grads.slot(0) };
        cx.backend.prelu_vjp(&self.op(cx.inputs.get(0), cx.params), cx.dy, grads)
    }

    fn op(&self) -> Op {
        Word::Prelu(spectral_core::Prelu { slope: Operand::Slot(0) }).into()
    }
}

register_layer!(Prelu, "prelu", "x above 0, else slope * x with one learnt slope for each unit", || {
    (Arc::new(Prelu::default()), vec![Shape::new(&[3, 2, 2]).unwrap_or(Shape::vector(12))])
});
