//! The dense layer that stores only some of its weights.

use crate::{Dense, check, forms};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Change, Error, Forward, Layer, Op, ParamSpec, Penalty, Result, Saved, Shape, Stored, Vjp,
    register_layer,
};
use std::sync::Arc;

/// A [`Dense`] layer whose weights are stored on a random pattern from the start.
///
/// A share `density` of the weights is stored; their positions are drawn uniformly from the model's seed. Weights that
/// are not stored take no memory and no time, not even in training. The pattern belongs to the weight parameter:
/// dynamic topologies move it, and a loaded model brings its own. Initialisers see the fans times the density, so that
/// outputs have the same spread as those of a dense layer.
///
/// Memory of the weights, with `n` stored entries, `r` rows, `c` columns and values of `e` bytes:
/// `(e + 4) n + 4 (r + 1)` bytes, plus what a backend derives from the pattern when it first needs it. The CPU's tiles
/// take 2 bytes for each entry and 8 for each row in a tile; there are at most `n / 2` such rows. Without tiles
/// (batches of one or two samples, very thin patterns), training takes `8 n + 4 (c + 1)` for the order by column,
/// except with two samples at a time; one or two samples take `2 n` for columns in 16 bits. In f32 that is at most 18
/// bytes an entry for batches of one size, and 24 if single samples come between larger batches; a dense matrix takes 4
/// for each entry. Gradients and optimiser state take `e` bytes for each stored entry each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Sparse {
    /// Share of the weights that are stored when a network is built, in `0..=1`; default in recipes: 0.1.
    pub density: f64,
    /// The settings of the dense layer.
    #[serde(flatten)]
    pub dense: Dense,
}

impl TryFrom<Map<String, Value>> for Sparse {
    type Error = String;
    fn try_from(mut table: Map<String, Value>) -> Result<Self, String> {
        table.entry("density").or_insert(Value::from(0.1));
        let (density, dense) = forms::beside_dense(table, "density")?;
        Ok(Self { density, dense })
    }
}

impl Sparse {
    /// A layer with a bias that stores a share `density` of its weights.
    pub fn new(units: usize, activation: Activation, density: f64) -> Self {
        Self { density, dense: Dense::new(units, activation) }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        check::density(self.kind(), self.density)?;
        self.dense.check_settings(self.kind())?;
        let width = check::any_width(self.kind(), self.dense.units, inputs)?;
        let (units, most) = (self.dense.units, f64::from(u32::MAX));
        let ends = units.max(width) as f64;
        if ends.max(self.density * units as f64 * width as f64) > most || units.checked_mul(width).is_none() {
            let problem = format!("{units} units over {width} inputs would store 2^32 weights or more");
            return Err(Error::config("layer `sparse`", problem));
        }
        Ok(width)
    }
}

impl Layer for Sparse {
    fn kind(&self) -> &'static str {
        "sparse"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.width(inputs).map(|_| Shape::vector(self.dense.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let width = self.width(inputs)?;
        let scaled = |fan: usize| (self.density * fan as f64).round().max(1.0) as usize;
        let mut specs = self.dense.specs(width);
        let fan = (scaled(width), scaled(self.dense.units));
        specs[0] = ParamSpec { fan, density: self.density, stored: Stored::Pattern, ..specs[0].clone() };
        Ok(specs)
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        self.dense.saved(inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        self.dense.forward(cx)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        self.dense.vjp(cx)
    }

    fn output_penalty(&self) -> Penalty {
        self.dense.output_penalty
    }

    fn op(&self) -> Op {
        self.dense.op()
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        let layer = match change {
            Change::Density(density) => Self { density, ..*self },
            other => Self { dense: self.dense.changed(other)?, ..*self },
        };
        Some(Arc::new(layer))
    }
}

register_layer!(Sparse, "sparse", "act(W x + b), W stored and trained on a pattern only", || {
    (Arc::new(Sparse::new(4, Activation::Gelu, 0.5)), vec![Shape::vector(5)])
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WeightPenalties;
    use spectral_core::layer::from_config;
    use spectral_core::{DType, Model, NodeSpec, Pattern, Reference, Seed, Source};

    fn build(layer: Sparse, inputs: usize, seed: u64) -> Result<Model> {
        let node = NodeSpec { name: "s".into(), layer: Arc::new(layer), inputs: vec![Source::Input] };
        Model::build(Shape::vector(inputs), &[node], &Reference, DType::F64, Seed(seed))
    }

    fn pattern(model: &Model) -> Arc<Pattern> {
        model.node_params(0).get(0).pattern.clone().unwrap()
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
        let of = |seed| pattern(&build(Sparse::new(50, Activation::Relu, 0.2), 40, seed).unwrap());
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let first_half = of(3).iter().filter(|(r, _)| *r < 25).count();
        assert!((150..250).contains(&first_half), "{first_half} of 400 in the first half of the rows");
    }

    #[test]
    fn outputs_keep_the_spread_of_a_dense_layer() {
        let model = build(Sparse::new(300, Activation::Identity, 0.1), 200, 6).unwrap();
        let weights = model.backend().download(model.node_params(0).value(0)).unwrap();
        let square = weights.iter().map(|w| w * w).sum::<f64>() / weights.len() as f64;
        // Glorot with 20 inputs and 30 outputs, the fans that a unit really has.
        assert!((square / (2.0 / 50.0) - 1.0).abs() < 0.05, "{square}");
    }

    #[test]
    fn bad_configurations_are_refused_by_name() {
        let layer = |act, density| Sparse::new(3, act, density);
        let dense = Dense::new(3, Activation::Relu);
        let penalties = WeightPenalties { weight: Penalty { l1: -1.0, l2: 0.0 }, ..WeightPenalties::default() };
        for (layer, word) in [
            (layer(Activation::Softmax, 0.5), "softmax"),
            (layer(Activation::Elu { alpha: 0.0 }, 0.5), "`alpha`"),
            (layer(Activation::LeakyRelu { slope: f64::NAN }, 0.5), "`slope`"),
            (layer(Activation::Relu, -0.1), "`density`"),
            (layer(Activation::Relu, 1.1), "`density`"),
            (layer(Activation::Relu, f64::NAN), "`density`"),
            (Sparse { density: 0.5, dense: Dense { units: 0, ..dense } }, "units"),
            (Sparse { density: 0.5, dense: Dense { units: usize::MAX, ..dense } }, "2^32"),
            (Sparse { density: 0.5, dense: Dense { penalties, ..dense } }, "-1"),
        ] {
            let error = build(layer, 4, 0).unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
        let unknown = from_config::<Sparse>("sparse", serde_json::json!({ "units": 3, "densty": 0.5 }));
        assert!(unknown.unwrap_err().to_string().contains("densty"));
    }

    #[test]
    fn it_takes_what_a_dense_layer_takes() {
        let config = serde_json::json!({ "units": 3, "activation": "leaky_relu", "init": "random_normal" });
        let named: Sparse = from_config("sparse", config).unwrap();
        assert_eq!((named.dense.activation, named.density), (Activation::LeakyRelu { slope: 0.01 }, 0.1));
        let layer = Sparse { density: 0.25, dense: Dense { bias: false, ..Dense::new(7, Activation::Tanh) } };
        assert_eq!(from_config::<Sparse>("sparse", layer.config().unwrap()).unwrap(), layer);
    }
}
