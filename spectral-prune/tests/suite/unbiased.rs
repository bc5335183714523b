//! A plug-in layer that cannot have a bias: constants in front of it have nowhere to go.

use crate::support::*;
use spectral_core::{
    Activation::*, Change, DType, Forward, Layer, Named, Op, ParamSpec, Result, Saved, Shape, Vjp, prove,
};
use spectral_layers::{Dense, Network};
use spectral_prune::compact;
use std::sync::Arc;

#[derive(Debug)]
struct Unbiased(Dense);

impl Layer for Unbiased {
    fn kind(&self) -> &'static str {
        "unbiased"
    }
    fn config(&self) -> Result<serde_json::Value> {
        self.0.config()
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.0.output_shape(inputs)
    }
    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        self.0.params(inputs)
    }
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        self.0.saved(inputs)
    }
    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        self.0.forward(cx)
    }
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        self.0.vjp(cx)
    }
    fn op(&self) -> Op {
        self.0.op()
    }
    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        match change {
            Change::Units(units) => Some(Arc::new(Self(Dense { units, ..self.0 }))),
            _ => None,
        }
    }
}

#[test]
fn constants_stay_where_no_bias_can_take_them_unless_they_are_zero() {
    // sigmoid(0) = 0.5 has to stay, relu(0) = 0 can go.
    for (act, left) in [(Sigmoid, 5), (Relu, 3)] {
        let last = Unbiased(Dense { bias: false, ..Dense::new(2, Identity) });
        let network = Network::new(4).dtype(DType::F64).dense(5, act).layer(last);
        let mut m = build(&network, 21);
        prune_entries(&mut m, "dense1.weight", &(4..12).collect::<Vec<_>>());
        prune_entries(&mut m, "dense1.bias", &[1, 2]);
        let small = compact(&m).unwrap().model;
        assert_eq!(small.widths(), [4, left, 2]);
        let named = |name, model| Named { name, model };
        let proof = &prove(named("masked", &m), &[named("compact", &small)], None, None).unwrap()[0];
        assert!(proof.equal, "{proof:?}");
    }
}
