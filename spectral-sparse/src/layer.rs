//! The layer that stores only some of its weights.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Affine, Constraint, Error, Forward, Init, Layer, LeftFactor, LowerCx, Lowered, Matrix, Mode,
    NodeParams, ParamSpec, Pattern, Penalty, Result, Role, Saved, Shape, SparseGrads, SparseLinear, Stored, UnitAxis,
    Units, Vjp,
};
use std::sync::Arc;

/// `y = act(W x + b)` with `W` `[units, inputs]` stored on a pattern; slot 0 is `weight`, slot 1 `bias`.
///
/// Forward, the input gradient `W^T dz` and the weight gradient, computed on the stored entries only, all take
/// time and memory proportional to the stored entries. The pattern belongs to the weight parameter, not to this
/// configuration: a network that is built anew draws one of the given density, a converted or loaded one brings
/// its own.
///
/// Memory of the weights, stored entries `n` of `r` rows and `c` columns, values of `e` bytes: `(e + 4) n + 4 (r +
/// 1)` bytes, and what a backend derives from the pattern when it first needs it. The CPU's tiles take 2 bytes an
/// entry and 8 for each row in a tile, of which there are at most `n / 2`. Without tiles, which one or two samples and
/// very thin patterns do not use, training takes `8 n + 4 (c + 1)` for the order by column, but not with two samples at
/// a time; one or two samples take `2 n` for columns in 16 bits. In f32 that is at most 18 bytes an entry for batches
/// of one size, 24 where single samples come between larger batches, against 4 for each entry of a dense matrix.
/// Gradients and optimiser state are `e` bytes for each stored entry each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparse {
    /// Output units.
    pub units: usize,
    /// Applied to every output; element-wise only. A name or a table, as in every layer.
    #[serde(default, deserialize_with = "activation")]
    pub activation: Activation,
    /// Whether a constant is added per unit.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Share of the weights that are stored when the network is built, `0..=1`; positions are drawn uniformly.
    #[serde(default = "tenth")]
    pub density: f64,
    /// Initial weights. Fans are scaled by the density, so that outputs keep the spread of a dense layer.
    #[serde(default = "glorot")]
    pub init: Init,
    /// Initial biases.
    #[serde(default = "zeros")]
    pub bias_init: Init,
    /// Penalties added to the loss.
    #[serde(default)]
    pub penalties: SparsePenalties,
    /// What stored weights and biases satisfy after every training step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub constraints: SparseConstraints,
    /// Penalty on the outputs, a mean over the samples of a batch, added to the loss.
    #[serde(default, skip_serializing_if = "is_default")]
    pub output_penalty: Penalty,
}

/// Penalties on the parameters of a [`Sparse`] layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparsePenalties {
    /// On the stored weights.
    pub weight: Penalty,
    /// On the biases.
    pub bias: Penalty,
}

/// Constraints on the parameters of a [`Sparse`] layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseConstraints {
    /// On the stored weights; norms are those of all that leads into a unit.
    pub weight: Constraint,
    /// On the biases; the norm is that of all of them.
    pub bias: Constraint,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

fn tenth() -> f64 {
    0.1
}

fn glorot() -> Init {
    Init::GlorotUniform
}

fn zeros() -> Init {
    Init::Zeros
}

/// `"leaky_relu"`, with its usual parameters, or `{ leaky_relu = { slope = 0.2 } }`.
fn activation<'de, D: Deserializer<'de>>(from: D) -> Result<Activation, D::Error> {
    match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(name) => Activation::named(&name).map_err(D::Error::custom),
        table => serde_json::from_value(table).map_err(D::Error::custom),
    }
}

const WEIGHT: usize = 0;
const BIAS: usize = 1;

impl Sparse {
    /// A layer with a bias that stores `density` of its weights.
    pub fn new(units: usize, activation: Activation, density: f64) -> Self {
        Self {
            units,
            activation,
            bias: true,
            density,
            init: glorot(),
            bias_init: zeros(),
            penalties: SparsePenalties::default(),
            constraints: SparseConstraints::default(),
            output_penalty: Penalty::default(),
        }
    }

    /// Number of inputs, if the layer accepts them and its hyper-parameters make sense.
    fn inputs(&self, inputs: &[Shape]) -> Result<usize> {
        let bad = |problem: String| Err(Error::config("layer `sparse`", problem));
        let &[input] = inputs else {
            return bad(format!("takes one input, got {}; merge them first", inputs.len()));
        };
        if input.rank() != 1 || input.is_empty() {
            return Err(Error::shape("sparse", "input samples with one axis and at least one value", input));
        }
        if self.units == 0 {
            return bad("`units` is 0; a layer needs at least one unit".into());
        }
        if !(0.0..=1.0).contains(&self.density) {
            return bad(format!("`density` is {}; it must be from 0 to 1", self.density));
        }
        let ends = self.units.max(input.len()) as f64;
        let stored = self.density * self.units as f64 * input.len() as f64;
        if ends.max(stored) > f64::from(u32::MAX) || self.units.checked_mul(input.len()).is_none() {
            let (units, inputs) = (self.units, input.len());
            return bad(format!("{units} units over {inputs} inputs would store 2^32 weights or more"));
        }
        match self.activation {
            Activation::Softmax => {
                return bad("softmax mixes units; use identity here and put a softmax activation layer after it".into());
            }
            Activation::LeakyRelu { slope } if !(slope >= 0.0 && slope.is_finite()) => {
                return bad(format!("`slope` of leaky_relu is {slope}; it must be a finite number >= 0"));
            }
            Activation::Elu { alpha } if !(alpha > 0.0 && alpha.is_finite()) => {
                return bad(format!("`alpha` of elu is {alpha}; it must be a finite number > 0"));
            }
            _ => {}
        }
        self.constraints.weight.check("the weights")?;
        self.constraints.bias.check("the biases")?;
        let (SparsePenalties { weight, bias }, outputs) = (self.penalties, self.output_penalty);
        match [weight.l1, weight.l2, bias.l1, bias.l2, outputs.l1, outputs.l2]
            .into_iter()
            .find(|p| !(*p >= 0.0 && p.is_finite()))
        {
            Some(factor) => bad(format!("a penalty is {factor}; it must be a finite number >= 0")),
            None => Ok(input.len()),
        }
    }

    fn keeps_input(&self) -> bool {
        self.activation.slope_needs_input()
    }
}

fn pattern<'a>(params: &NodeParams<'a>) -> Result<&'a Arc<Pattern>> {
    let missing = || Error::config("layer `sparse`", "its weight parameter has no pattern");
    params.get(WEIGHT).pattern.as_ref().ok_or_else(missing)
}

impl Layer for Sparse {
    fn kind(&self) -> &'static str {
        "sparse"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config("sparse", self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.inputs(inputs)?;
        Ok(Shape::vector(self.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let columns = self.inputs(inputs)?;
        let scaled = |fan: usize| (self.density * fan as f64).round().max(1.0) as usize;
        let shape = Shape::matrix(self.units, columns);
        let weight = ParamSpec {
            init: self.init,
            fan: (scaled(columns), scaled(self.units)),
            density: self.density,
            penalty: self.penalties.weight,
            constraint: self.constraints.weight,
            stored: Stored::Pattern,
            ..ParamSpec::new("weight", Role::Weight, shape, &[UnitAxis::Out, UnitAxis::In])
        };
        let bias = ParamSpec {
            init: self.bias_init,
            penalty: self.penalties.bias,
            constraint: self.constraints.bias,
            ..ParamSpec::new("bias", Role::Bias, Shape::vector(self.units), &[UnitAxis::Out])
        };
        Ok(std::iter::once(weight).chain(self.bias.then_some(bias)).collect())
    }

    fn output_penalty(&self) -> Penalty {
        self.output_penalty
    }

    fn saved(&self, _: &[Shape]) -> Vec<Saved> {
        self.keeps_input().then_some(Saved::PerSample(Shape::vector(self.units))).into_iter().collect()
    }

    fn units(&self) -> Units {
        Units::Own
    }

    fn with_units(&self, units: usize) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { units, ..self.clone() }))
    }

    fn with_density(&self, density: f64) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { density, ..self.clone() }))
    }

    fn with_bias(&self) -> Option<Arc<dyn Layer>> {
        (!self.bias).then(|| Arc::new(Self { bias: true, ..self.clone() }) as Arc<dyn Layer>)
    }

    fn with_activation(&self, activation: Activation) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { activation, ..self.clone() }))
    }

    fn lower(&self, cx: &LowerCx<'_>) -> Result<Lowered> {
        let weight =
            Matrix::Sparse { pattern: pattern(&cx.params)?.clone(), values: cx.params.value(WEIGHT).duplicate()? };
        let bias = if self.bias { Some(cx.params.value(BIAS).duplicate()?) } else { None };
        Ok(Lowered::Affine(Affine { weight, bias, activation: self.activation }))
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let op = SparseLinear {
            x: cx.inputs.get(0),
            pattern: pattern(&cx.params)?,
            values: cx.params.value(WEIGHT),
            bias: self.bias.then(|| cx.params.value(BIAS)),
            activation: self.activation,
        };
        let pre = if cx.mode == Mode::Train && self.keeps_input() { cx.saved.first_mut() } else { None };
        cx.backend.sparse_linear(&op, cx.output, pre)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let at = if self.keeps_input() { cx.saved.first() } else { None };
        if self.activation != Activation::Identity {
            cx.backend.activate_vjp(self.activation, at.unwrap_or(cx.output), cx.dy)?;
        }
        let op = SparseLinear {
            x: cx.inputs.get(0),
            pattern: pattern(&cx.params)?,
            values: cx.params.value(WEIGHT),
            bias: None,
            activation: Activation::Identity,
        };
        // A product is left where that moves less memory than writing it down.
        if cx.dy.len() + op.x.len() < op.values.len() {
            cx.param_grads.leave_stored_product(WEIGHT, LeftFactor::Dy, pattern(&cx.params)?);
        }
        let (values, bias) = if self.bias {
            let [values, bias] = cx.param_grads.slots([WEIGHT, BIAS])?;
            (values, bias)
        } else {
            (cx.param_grads.slot(WEIGHT), None)
        };
        let grads = SparseGrads { x: cx.input_grads.slot(0), values, bias };
        cx.backend.sparse_linear_vjp(&op, cx.dy, grads)
    }
}

fn example() -> (Arc<dyn Layer>, Vec<Shape>) {
    (Arc::new(Sparse::new(4, Activation::Gelu, 0.5)), vec![Shape::vector(5)])
}

spectral_core::register_layer!(Sparse, "sparse", "act(W x + b), W stored and trained on a pattern only", example);

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::layer::from_config;
    use spectral_core::{DType, Model, NodeSpec, Reference, Seed, Source};

    fn build(layer: Sparse, inputs: usize, seed: u64) -> Result<Model> {
        let node = NodeSpec { name: "s".into(), layer: Arc::new(layer), inputs: vec![Source::Input] };
        Model::build(Shape::vector(inputs), &[node], &Reference, DType::F64, Seed(seed))
    }

    #[test]
    fn a_new_network_stores_the_asked_share_and_nothing_else() {
        for (density, stored) in [(0.0, 0), (0.1, 60), (0.501, 301), (1.0, 600)] {
            let model = build(Sparse::new(20, Activation::Relu, density), 30, 1).unwrap();
            let (_, weight) = model.params().iter().next().unwrap();
            assert_eq!(weight.value().shape(), Shape::vector(stored), "density {density}");
            assert_eq!(weight.pattern.as_ref().unwrap().nonzeros(), stored);
            assert_eq!(weight.full_shape(), Shape::matrix(20, 30));
            assert_eq!(model.params().total(), stored + 20);
        }
    }

    #[test]
    fn patterns_follow_the_seed_and_spread_evenly() {
        let pattern = |seed| {
            let model = build(Sparse::new(50, Activation::Relu, 0.2), 40, seed).unwrap();
            pattern(&model.node_params(0)).unwrap().clone()
        };
        assert_eq!(pattern(3), pattern(3));
        assert_ne!(pattern(3), pattern(4));
        let first_half = pattern(3).iter().filter(|(r, _)| *r < 25).count();
        assert!((150..250).contains(&first_half), "{first_half} of 400 in the first half of the rows");
    }

    #[test]
    fn outputs_keep_the_spread_of_a_dense_layer() {
        let model = build(Sparse::new(300, Activation::Identity, 0.1), 200, 6).unwrap();
        let weights = model.backend().download(model.node_params(0).value(WEIGHT)).unwrap();
        let square = weights.iter().map(|w| w * w).sum::<f64>() / weights.len() as f64;
        // Glorot over 20 inputs and 30 outputs, which is what a unit really has.
        assert!((square / (2.0 / 50.0) - 1.0).abs() < 0.05, "{square}");
    }

    #[test]
    fn bad_configurations_are_refused_by_name() {
        let layer = |act, density| Sparse::new(3, act, density);
        let penalised = |l1| SparsePenalties { weight: Penalty { l1, l2: 0.0 }, ..SparsePenalties::default() };
        for (layer, word) in [
            (layer(Activation::Softmax, 0.5), "softmax activation layer"),
            (layer(Activation::Elu { alpha: 0.0 }, 0.5), "`alpha`"),
            (layer(Activation::LeakyRelu { slope: f64::NAN }, 0.5), "`slope`"),
            (layer(Activation::Relu, -0.1), "`density`"),
            (layer(Activation::Relu, 1.1), "`density`"),
            (layer(Activation::Relu, f64::NAN), "`density`"),
            (Sparse { units: 0, ..layer(Activation::Relu, 0.5) }, "`units` is 0"),
            (Sparse { units: usize::MAX, ..layer(Activation::Relu, 0.5) }, "2^32"),
            (Sparse { penalties: penalised(-1.0), ..layer(Activation::Relu, 0.5) }, "penalty is -1"),
        ] {
            let error = build(layer, 4, 0).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let unknown = from_config::<Sparse>("sparse", serde_json::json!({ "units": 3, "densty": 0.5 }));
        assert!(unknown.unwrap_err().to_string().contains("densty"));
        let named =
            from_config::<Sparse>("sparse", serde_json::json!({ "units": 3, "activation": "leaky_relu" })).unwrap();
        assert_eq!((named.activation, named.density), (Activation::LeakyRelu { slope: 0.01 }, 0.1));
    }

    #[test]
    fn the_configuration_survives_json() {
        let layer = Sparse { bias: false, ..Sparse::new(7, Activation::Elu { alpha: 0.5 }, 0.25) };
        let back: Sparse = from_config("sparse", layer.config().unwrap()).unwrap();
        assert_eq!(back, layer);
        assert!(layer.with_bias().is_some() && Sparse { bias: true, ..layer }.with_bias().is_none());
    }
}
