//! The trait that all layers implement.

use crate::backend::{Accum, Activation, Backend, GradSlot, Penalty};
use crate::base::registry::Registered;
use crate::base::{Error, Result};
use crate::model::{Op, ParamId, ParamSpec, Params, Source, Word};
use crate::tensor::{Pattern, Shape, Tensor};
use std::sync::Arc;

/// A node's computation: hyper-parameters only, no values.
///
/// Values live in the model's [`Params`]; a layer names them by slot, the position in what
/// [`params`](Self::params) returned. So a layer is plain data that models can share.
pub trait Layer: std::fmt::Debug + Send + Sync + 'static {
    /// Registry name, stable across versions: `dense`, `my_crate.gate`.
    fn kind(&self) -> &'static str;

    /// Hyper-parameters as JSON: what a model file stores and [`LayerEntry::build`] reads back.
    ///
    /// # Errors
    /// A hyper-parameter cannot be written.
    fn config(&self) -> Result<serde_json::Value>;

    /// Shape of one output sample for input samples of these shapes (no batch axis).
    ///
    /// # Errors
    /// The number of inputs or a shape does not fit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Computes `cx.output` from `cx.inputs`.
    ///
    /// # Errors
    /// A kernel failed.
    fn forward(&self, cx: &mut Forward<'_>) -> Result<()>;

    /// Computes the wanted gradients from `cx.dy`, which it may overwrite.
    ///
    /// # Errors
    /// A kernel failed.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()>;

    /// The parameters it needs, in slot order.
    ///
    /// # Errors
    /// The inputs do not fit.
    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let _ = inputs;
        Ok(Vec::new())
    }

    /// Tensors it keeps from forward to backward.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let _ = inputs;
        Vec::new()
    }

    /// Penalty on its outputs, added to the loss as a mean over the samples of a batch; the workspace adds its
    /// gradient (Keras' activity regulariser).
    fn output_penalty(&self) -> Penalty {
        Penalty::default()
    }

    /// What it computes at inference, without values. Compaction, sparse storage, sessions and counting read this. The
    /// default is [`Word::Opaque`]: only the layer knows, and no unit next to it can be removed.
    fn op(&self) -> Op {
        Word::Opaque.into()
    }

    /// Computes the tensors that [`Operand::Derived`](crate::Operand::Derived) in its op refers to from its parameters.
    ///
    /// # Errors
    /// A kernel failed.
    fn derive(&self, cx: &Derive<'_>) -> Result<Vec<Tensor>> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// A copy with this change, if the layer supports it.
    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        let _ = change;
        None
    }
}

/// A change to a layer's configuration; see [`Layer::with`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Another number of output units. Every layer that makes its own units should accept it.
    Units(usize),
    /// Another share of weights that are present when a network is built.
    Density(f64),
    /// A bias parameter in the last slot, for layers that can have one but do not. Compaction needs it to keep the
    /// constants of removed units.
    Bias,
    /// Another element-wise activation, for layers whose pre-activation is linear in their matrices and bias:
    /// multiplying a unit's rows in all of them by a factor multiplies its pre-activation. This lets gates split off a
    /// factor behind the layer, and compaction fold one in.
    Activation(Activation),
}

/// Training or inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Random layers draw, and tensors for backward are kept.
    Train,
    /// Deterministic.
    Infer,
}

/// A tensor kept from forward to backward.
#[derive(Debug, Clone, Copy)]
pub enum Saved {
    /// Of this shape with the batch axis appended.
    PerSample(Shape),
    /// Of this shape.
    Fixed(Shape),
}

/// The inputs of a node.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) input: &'a Tensor,
    pub(crate) outputs: &'a [Tensor],
}

impl<'a> Inputs<'a> {
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Input `i`, `[features, batch]`; `i` is below the arity that [`Layer::output_shape`] accepted.
    pub fn get(&self, i: usize) -> &'a Tensor {
        match self.sources[i] {
            Source::Input => self.input,
            Source::Node(n) => &self.outputs[n],
        }
    }
}

/// The parameters of one node, by slot.
#[derive(Debug, Clone, Copy)]
pub struct NodeParams<'a> {
    pub(crate) all: &'a Params,
    pub(crate) ids: &'a [ParamId],
}

impl<'a> NodeParams<'a> {
    /// Number of slots.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The parameter in `slot`.
    pub fn get(&self, slot: usize) -> &'a crate::model::Param {
        self.all.get(self.ids[slot])
    }

    /// The values of the parameter in `slot`.
    pub fn value(&self, slot: usize) -> &'a Tensor {
        self.get(slot).value()
    }
}

/// What [`Layer::forward`] works with.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Runs the kernels.
    pub backend: &'a dyn Backend,
    /// Training or inference.
    pub mode: Mode,
    /// Parameters of this node.
    pub params: NodeParams<'a>,
    /// Inputs, `[features, batch]`.
    pub inputs: Inputs<'a>,
    /// Output, `[features, batch]`.
    pub output: &'a mut Tensor,
    /// Tensors for backward, as [`Layer::saved`] asked.
    pub saved: &'a mut [Tensor],
    /// Key of this node's random draws in this step.
    pub key: u64,
}

/// What [`Layer::vjp`] works with.
#[derive(Debug)]
pub struct Vjp<'a> {
    /// Runs the kernels.
    pub backend: &'a dyn Backend,
    /// The mode of the forward pass.
    pub mode: Mode,
    /// Parameters of this node.
    pub params: NodeParams<'a>,
    /// Inputs of the forward pass.
    pub inputs: Inputs<'a>,
    /// Output of the forward pass.
    pub output: &'a Tensor,
    /// Tensors that forward kept.
    pub saved: &'a mut [Tensor],
    /// The same key as forward.
    pub key: u64,
    /// Gradient of the loss with respect to the output. The layer may overwrite it.
    pub dy: &'a mut Tensor,
    /// Where gradients of inputs go.
    pub input_grads: InputGrads<'a>,
    /// Where gradients of parameters go.
    pub param_grads: ParamGrads<'a>,
}

/// Where the gradients of a node's inputs go.
#[derive(Debug)]
pub struct InputGrads<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) input: Option<&'a mut Gradient>,
    pub(crate) nodes: &'a mut [Gradient],
}

impl InputGrads<'_> {
    /// The slot of input `i`, or `None` if its gradient is not wanted. Write to it exactly once.
    pub fn slot(&mut self, i: usize) -> Option<GradSlot<'_>> {
        match self.sources[i] {
            Source::Input => self.input.as_deref_mut()?.slot(),
            Source::Node(n) => self.nodes[n].slot(),
        }
    }
}

/// Where the gradients of a node's parameters go.
#[derive(Debug)]
pub struct ParamGrads<'a> {
    pub(crate) node: usize,
    pub(crate) ids: &'a [ParamId],
    pub(crate) all: &'a mut [Gradient],
}

/// The left factor of a gradient that a layer leaves as a product: a tensor of its node that holds the factor when the
/// VJP returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftFactor {
    /// [`Vjp::dy`].
    Dy,
    /// This tensor of [`Vjp::saved`].
    Saved(usize),
}

impl ParamGrads<'_> {
    /// Says that the gradient of the weight `[out, in]` in `slot` is `left x^T`, with `x` the node's first input.
    ///
    /// Call it before asking for the slot: if the optimiser computes the product itself, there is no slot.
    pub fn leave_product(&mut self, slot: usize, left: LeftFactor) {
        let gradient = &mut self.all[self.ids[slot].index()];
        if gradient.may_be_left {
            gradient.forget();
            gradient.state = GradientState::Product(self.node, left);
        }
    }

    /// As [`leave_product`](Self::leave_product), for a weight that is stored on a pattern: the gradient is that
    /// product at the stored entries.
    pub fn leave_stored_product(&mut self, slot: usize, left: LeftFactor, pattern: &Arc<Pattern>) {
        self.leave_product(slot, left);
        let gradient = &mut self.all[self.ids[slot].index()];
        gradient.pattern = gradient.may_be_left.then(|| pattern.clone());
    }

    /// The slot of one parameter, or `None` if its gradient is not wanted. Write to it exactly once.
    pub fn slot(&mut self, slot: usize) -> Option<GradSlot<'_>> {
        self.all[self.ids[slot].index()].slot()
    }

    /// Several slots at a time; they must differ.
    ///
    /// # Errors
    /// Two of them are the same parameter.
    pub fn slots<const N: usize>(&mut self, slots: [usize; N]) -> Result<[Option<GradSlot<'_>>; N]> {
        let indices = slots.map(|s| self.ids[s].index());
        let grads = self.all.get_disjoint_mut(indices);
        let grads = grads.map_err(|e| Error::config("parameter gradients", e.to_string()))?;
        Ok(grads.map(Gradient::slot))
    }
}

/// A gradient buffer that knows whether it was written in this step.
#[derive(Debug, Default)]
pub struct Gradient {
    pub(crate) tensor: Option<Tensor>,
    /// Whether a layer may leave it as a product.
    pub(crate) may_be_left: bool,
    pub(crate) state: GradientState,
    /// The entries of a product that are wanted; all, if absent.
    pub(crate) pattern: Option<Arc<Pattern>>,
}

/// What happened to a gradient in this step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum GradientState {
    /// Nothing yet.
    #[default]
    Absent,
    /// The buffer holds it.
    Written,
    /// It is the product of a tensor of this node and the node's first input.
    Product(usize, LeftFactor),
}

impl Gradient {
    /// A buffer for a wanted gradient.
    pub fn wanted(tensor: Tensor) -> Self {
        Self { tensor: Some(tensor), ..Self::default() }
    }

    /// Clears the state: nothing has contributed yet.
    pub(crate) fn forget(&mut self) {
        (self.state, self.pattern) = (GradientState::Absent, None);
    }

    /// The next place to write to, if the gradient is wanted.
    pub fn slot(&mut self) -> Option<GradSlot<'_>> {
        let accum = match self.state {
            GradientState::Absent => Accum::Replace,
            GradientState::Written => Accum::Add,
            GradientState::Product(..) => return None,
        };
        let tensor = self.tensor.as_mut()?;
        self.state = GradientState::Written;
        Some(GradSlot { tensor, accum })
    }

    /// The gradient, if it was wanted and something contributed to it in this step.
    pub fn value(&self) -> Option<&Tensor> {
        self.tensor.as_ref().filter(|_| self.state == GradientState::Written)
    }
}

/// What [`Layer::derive`] works with.
#[derive(Debug, Clone, Copy)]
pub struct Derive<'a> {
    /// Runs the kernels.
    pub backend: &'a dyn Backend,
    /// Parameters of this node.
    pub params: NodeParams<'a>,
}

/// A kind of layer that a crate registered; see [`register_layer!`](crate::register_layer).
pub struct LayerEntry {
    /// The kind.
    pub name: &'static str,
    /// One line that says what it computes.
    pub summary: &'static str,
    /// Version of the settings, from 1.
    ///
    /// A new setting with a default needs no new version. A setting with a new meaning does, and so does a new default,
    /// because files leave out settings that have their default. A new version changes the content hashes of models
    /// with such layers.
    pub version: u32,
    /// Reads the hyper-parameters that [`Layer::config`] wrote.
    pub build: fn(serde_json::Value) -> Result<Arc<dyn Layer>>,
    /// Converts settings of an older version, the first argument, to those of [`version`](Self::version).
    pub upgrade: fn(u32, serde_json::Value) -> Result<serde_json::Value>,
    /// A small layer of this kind with its input shapes, for conformance tests and `plugins`.
    pub example: fn() -> (Arc<dyn Layer>, Vec<Shape>),
}

inventory::collect!(LayerEntry);

impl LayerEntry {
    /// Builds the layer from settings that were written as version `version`.
    ///
    /// # Errors
    /// The version is newer than this program knows, or a setting is unknown, missing or of the wrong type.
    pub fn read(&self, version: u32, config: serde_json::Value) -> Result<Arc<dyn Layer>> {
        let what = || format!("layer `{}`", self.name);
        if version > self.version {
            let known = self.version;
            let problem = format!(
                "has settings of version {version}, this program reads up to {known}; use a newer version of it"
            );
            return Err(Error::config(what(), problem));
        }
        if version == 0 {
            return Err(Error::config(what(), "has settings of version 0; versions count from 1"));
        }
        (self.build)(if version < self.version { (self.upgrade)(version, config)? } else { config })
    }
}

impl Registered for LayerEntry {
    const WHAT: &'static str = "layer";
    fn name(&self) -> &'static str {
        self.name
    }
    fn summary(&self) -> &'static str {
        self.summary
    }
}

/// Registers a kind of layer: `register_layer!(Dense, "dense", "act(W x + b)", example_function);`
///
/// The type must implement `Layer + serde::Deserialize`. The example is `fn() -> (Arc<dyn Layer>, Vec<Shape>)`. If a
/// new version changes the meaning of settings, add two arguments, see
/// [`LayerEntry::version`](crate::LayerEntry::version): `version = 2, upgrade = function`.
#[macro_export]
macro_rules! register_layer {
    ($type:ty, $name:literal, $summary:literal, $example:expr $(,)?) => {
        $crate::register_layer!($type, $name, $summary, $example, version = 1, upgrade = |_, config| Ok(config));
    };
    ($type:ty, $name:literal, $summary:literal, $example:expr, version = $version:literal, upgrade = $upgrade:expr $(,)?) => {
        $crate::registry::inventory::submit! {
            $crate::LayerEntry {
                name: $name,
                summary: $summary,
                version: $version,
                build: |config| {
                    let layer: $type = $crate::layer::from_config($name, config)?;
                    Ok(::std::sync::Arc::new(layer))
                },
                upgrade: $upgrade,
                example: $example,
            }
        }
    };
}

/// Reads the hyper-parameters of a part called `name`.
///
/// # Errors
/// A field is unknown, missing or of the wrong type.
pub fn from_config<T: serde::de::DeserializeOwned>(name: &str, config: serde_json::Value) -> Result<T> {
    serde_json::from_value(config).map_err(|e| Error::config(format!("`{name}`"), e.to_string()))
}

/// Writes the hyper-parameters of a part called `name`.
///
/// # Errors
/// A value cannot be written as JSON.
pub fn to_config<T: serde::Serialize>(name: &str, part: &T) -> Result<serde_json::Value> {
    serde_json::to_value(part).map_err(|e| Error::config(format!("`{name}`"), e.to_string()))
}
