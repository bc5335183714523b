//! The spectral layer: a dense layer trained through the eigenvalues and eigenvectors of its adjacency matrix.
//!
//! The two layers of units that the weights connect form a bipartite graph of `N = in + units` nodes. Its
//! adjacency matrix is `Phi diag(lambda_in, lambda_out) Phi^-1` with `Phi = [[I, 0], [basis, I]]`, so
//! `Phi^-1 = 2 I - Phi`, and the block that carries signals from inputs to outputs is
//! `W = basis * (lambda_in - lambda_out)`. Source: Giambagli et al., Nat. Commun. 12:1330 (2021).

mod evaluate;
mod views;

pub use views::{Eigenvalues, Spectrum, basis_matrix, eigenvalues, weight};

use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Affine, Change, Constraint, Derive, Forward, Init, Layer, Mask, NodeParams, Op, Operand, ParamSpec,
    Penalty, Result, Role, Saved, Shape, Tensor, UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = act(W x + b)` with `W[o, i] = basis[o, i] * (lambda_in[i] - lambda_out[o])`.
///
/// Slots: `basis` `[units, in]`, `lambda_in` `[in]`, `lambda_out` `[units]`, then `bias` `[units]` if there is one.
/// Any of them may be frozen, even all; a frozen one keeps its initial value and still takes part.
///
/// The defaults are those of spectraltools 1.x, except that the bias is on, as in [`Dense`](crate::Dense): the basis is
/// Glorot-uniform and trains, `lambda_in` is zero and frozen, `lambda_out` is one and trains. So the layer starts as a
/// dense layer with weights `-basis`, which are as likely as `+basis`, and signals keep their variance at any width. If
/// `lambda_in` is frozen at zero, the products run over the basis itself. If the basis is frozen, no gradient of the
/// weight's size is written to memory. To train only eigenvalues over a frozen basis, unfreeze `lambda_in` and draw
/// both vectors around zero, for example uniform in ±0.5 as the paper does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spectral {
    /// Output units, at least 1.
    pub units: usize,
    /// Applied to every output; element-wise only.
    #[serde(default, deserialize_with = "forms::activation")]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "forms::yes")]
    pub bias: bool,
    /// Which parameters train.
    #[serde(default)]
    pub trainable: Factors<bool>,
    /// Initial values.
    #[serde(default, deserialize_with = "forms::inits")]
    pub init: Factors<Init>,
    /// Penalties added to the loss. Frozen parameters count too, as with Keras regularisers.
    #[serde(default)]
    pub penalties: Factors<Penalty>,
    /// What the parameters satisfy after every training step.
    #[serde(default, skip_serializing_if = "forms::is_default")]
    pub constraints: Factors<Constraint>,
    /// Penalty on the outputs, a mean over the samples of a batch, added to the loss (activity regulariser).
    #[serde(default, skip_serializing_if = "forms::is_default")]
    pub output_penalty: Penalty,
    /// Which units exist from the start; all, if empty. The others are pruned units, owned by the arena like any pruned
    /// unit: their row of the basis, `lambda_out` and bias are zero. In spectraltools (`eigenvalue_mask`), such a unit
    /// still emits `basis * lambda_in` and its bias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<bool>,
}

/// One value for each parameter of a spectral layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, bound(deserialize = "T: Deserialize<'de>, Factors<T>: Default"))]
pub struct Factors<T> {
    /// For the lower-left block of the eigenvector matrix.
    pub basis: T,
    /// For the eigenvalues of the inputs.
    pub lambda_in: T,
    /// For the eigenvalues of the outputs.
    pub lambda_out: T,
    /// For the bias.
    pub bias: T,
}

impl Default for Factors<bool> {
    fn default() -> Self {
        Self { basis: true, lambda_in: false, lambda_out: true, bias: true }
    }
}

impl Default for Factors<Init> {
    fn default() -> Self {
        Self { basis: Init::GlorotUniform, lambda_in: Init::Zeros, lambda_out: Init::Ones, bias: Init::Zeros }
    }
}

impl Default for Factors<Constraint> {
    fn default() -> Self {
        let none = Constraint::None;
        Self { basis: none, lambda_in: none, lambda_out: none, bias: none }
    }
}

impl<T: Copy> Factors<T> {
    /// The same with `value` for both vectors of eigenvalues (`diag_regularizer` and `diag_constraint` in
    /// spectraltools).
    pub fn with_eigenvalues(self, value: T) -> Self {
        Self { lambda_in: value, lambda_out: value, ..self }
    }
}

impl Default for Factors<Penalty> {
    fn default() -> Self {
        let none = Penalty::default();
        Self { basis: none, lambda_in: none, lambda_out: none, bias: none }
    }
}

/// Slots of the parameters.
const BASIS: usize = 0;
const LAMBDA_IN: usize = 1;
const LAMBDA_OUT: usize = 2;
const BIAS: usize = 3;

impl Spectral {
    /// A layer with bias and the default initial values, penalties and trainable parameters.
    pub fn new(units: usize, activation: Activation) -> Self {
        Self {
            units,
            activation,
            bias: true,
            trainable: Factors::<bool>::default(),
            init: Factors::<Init>::default(),
            penalties: Factors::<Penalty>::default(),
            constraints: Factors::<Constraint>::default(),
            output_penalty: Penalty::default(),
            mask: Vec::new(),
        }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        check::fused(self.kind(), self.activation)?;
        let Factors { basis, lambda_in, lambda_out, bias } = self.penalties;
        check::penalty(self.kind(), "the basis", basis)?;
        check::penalty(self.kind(), "lambda_in", lambda_in)?;
        check::penalty(self.kind(), "lambda_out", lambda_out)?;
        check::penalty(self.kind(), "the biases", bias)?;
        check::penalty(self.kind(), "the outputs", self.output_penalty)?;
        let Factors { basis, lambda_in, lambda_out, bias } = self.constraints;
        let names = ["the basis", "lambda_in", "lambda_out", "the biases"];
        for (name, constraint) in names.into_iter().zip([basis, lambda_in, lambda_out, bias]) {
            constraint.check(name)?;
        }
        if !(self.mask.is_empty() || self.mask.len() == self.units) {
            let problem =
                format!("`mask` has {} entries for {} units; it needs one for each", self.mask.len(), self.units);
            return Err(check::bad(self.kind(), problem));
        }
        check::width(self.kind(), self.units, inputs)
    }

    fn bias<'a>(&self, params: NodeParams<'a>) -> Option<&'a Tensor> {
        self.bias.then(|| params.value(BIAS))
    }
}

impl Layer for Spectral {
    fn kind(&self) -> &'static str {
        "spectral"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.width(inputs).map(|_| Shape::vector(self.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let width = self.width(inputs)?;
        let (matrix, inner, outer) =
            (Shape::matrix(self.units, width), Shape::vector(width), Shape::vector(self.units));
        let (trainable, init, penalties, constraints) = (self.trainable, self.init, self.penalties, self.constraints);
        let pruned = |entries: usize| {
            let of_unit = entries / self.units;
            (!self.mask.is_empty()).then(|| Mask::from_fn(entries, |k| !self.mask[k / of_unit]))
        };
        let fan = (width, self.units);
        // Fans of the eigenvalues as in spectraltools, where the vectors have shapes [in, 1] and [1, units].
        let basis = ParamSpec::new("basis", Role::Basis, matrix, &[UnitAxis::Out, UnitAxis::In]);
        let lambda_in = ParamSpec::new("lambda_in", Role::EigenvalueIn, inner, &[UnitAxis::In]);
        let lambda_out = ParamSpec::new("lambda_out", Role::EigenvalueOut, outer, &[UnitAxis::Out]);
        let mut specs = vec![
            ParamSpec {
                init: init.basis,
                fan,
                penalty: penalties.basis,
                constraint: constraints.basis,
                trainable: trainable.basis,
                pruned: pruned(matrix.len()),
                ..basis
            },
            ParamSpec {
                init: init.lambda_in,
                fan: (width, 1),
                penalty: penalties.lambda_in,
                constraint: constraints.lambda_in,
                trainable: trainable.lambda_in,
                ..lambda_in
            },
            ParamSpec {
                init: init.lambda_out,
                fan: (1, self.units),
                penalty: penalties.lambda_out,
                constraint: constraints.lambda_out,
                pruned: pruned(self.units),
                trainable: trainable.lambda_out,
                ..lambda_out
            },
        ];
        if self.bias {
            let bias = ParamSpec::new("bias", Role::Bias, outer, &[UnitAxis::Out]);
            specs.push(ParamSpec {
                init: init.bias,
                fan,
                penalty: penalties.bias,
                constraint: constraints.bias,
                trainable: trainable.bias,
                pruned: pruned(self.units),
                ..bias
            });
        }
        Ok(specs)
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        evaluate::saved(self.units, inputs.first().map_or(0, Shape::len))
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        evaluate::forward(self, cx)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        evaluate::vjp(self, cx)
    }

    fn output_penalty(&self) -> Penalty {
        self.output_penalty
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        let layer = match change {
            // The mask describes the initial units; the arena knows what is pruned now.
            Change::Units(units) => Self { units, mask: Vec::new(), ..self.clone() },
            Change::Bias if !self.bias => Self { bias: true, ..self.clone() },
            Change::Activation(activation) => Self { activation, ..self.clone() },
            _ => return None,
        };
        Some(Arc::new(layer))
    }

    fn op(&self) -> Op {
        let weight = Operand::Derived { index: 0, entries: Some(BASIS) };
        let bias = self.bias.then_some(Operand::Slot(BIAS));
        Word::Affine(Affine { weight, bias, activation: self.activation }).into()
    }

    fn derive(&self, cx: &Derive<'_>) -> Result<Vec<Tensor>> {
        let basis = cx.params.value(BASIS);
        let mut weight = cx.backend.zeros(basis.shape(), basis.dtype())?;
        cx.backend.spectral_weight(&evaluate::factors(cx.params), &mut weight)?;
        Ok(vec![weight])
    }
}

register_layer!(Spectral, "spectral", "act(W x + b) with W = basis * (lambda_in - lambda_out)", || {
    let all = Factors { basis: true, lambda_in: true, lambda_out: true, bias: true };
    let constraints = Factors { basis: Constraint::MaxNorm { max: 3.0 }, ..Factors::<Constraint>::default() };
    let layer = Spectral {
        trainable: all,
        constraints,
        output_penalty: Penalty { l1: 0.02, l2: 0.01 },
        mask: vec![true, false, true],
        ..Spectral::new(3, Activation::Gelu)
    };
    (Arc::new(layer), vec![Shape::vector(4)])
});
