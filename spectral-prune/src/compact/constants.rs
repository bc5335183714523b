//! Which units emit a constant.

use crate::Result;
use spectral_core::{Activation, Affine, Convolution, Graph, Lowered, Matrix, Model, Scale, Source};

/// A node at inference, on the host.
#[derive(Debug)]
pub(super) enum Op {
    Affine(Rows),
    Scale(Scales),
    Map(Activation),
    Add,
    Multiply,
    Concat,
    Flatten,
    Opaque,
}

/// `act(factor * x + bias)`, by unit.
#[derive(Debug)]
pub(super) struct Scales {
    pub(super) factor: Vec<f64>,
    /// Zero where the layer has none.
    pub(super) bias: Vec<f64>,
    pub(super) activation: Activation,
}

impl Scales {
    fn new(model: &Model, scale: &Scale) -> Result<Self> {
        let backend = model.backend();
        let factor = backend.download(&scale.factor)?;
        let bias = scale.bias.as_ref().map_or_else(|| Ok(vec![0.0; factor.len()]), |b| backend.download(b))?;
        Ok(Self { factor, bias, activation: scale.activation })
    }
}

/// `act(W x + b)` with the non-zero weights row by row.
#[derive(Debug)]
pub(super) struct Rows {
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
    /// Units it takes in.
    pub(super) inputs: usize,
    /// Whether some outputs see zeros in place of an input, so that a constant adds up to no constant.
    pub(super) padded: bool,
    /// `[out]`, zero where the layer has none.
    pub(super) bias: Vec<f64>,
    pub(super) activation: Activation,
}

impl Rows {
    /// What a unit makes of the constant `x` at an input of weight `weight`, if that is a constant.
    pub(super) fn constant(&self, weight: f64, x: f64) -> Option<f64> {
        if x == 0.0 {
            return Some(0.0);
        }
        (!self.padded).then_some(weight * x)
    }

    /// A convolution, by channel: the sum over the window of each that has a weight that is not zero.
    fn convolution(model: &Model, of: Convolution) -> Result<Self> {
        let backend = &**model.backend();
        let [rows, inputs, kernel, _] = *of.weight.shape().extents() else {
            return Err(
                spectral_core::Error::shape("compact", "weights [out, in, kernel, kernel]", of.weight.shape()).into()
            );
        };
        let weights = backend.download(&of.weight)?;
        let bias = of.bias.as_ref().map_or_else(|| Ok(vec![0.0; rows]), |b| backend.download(b))?;
        let (mut starts, mut entries) = (vec![0], Vec::new());
        for row in weights.chunks(inputs * kernel * kernel) {
            let channels = row.chunks(kernel * kernel).enumerate();
            let seen = channels.filter(|(_, taps)| taps.iter().any(|w| *w != 0.0));
            entries.extend(seen.map(|(c, taps)| (c as u32, taps.iter().sum::<f64>())));
            starts.push(entries.len());
        }
        Ok(Self { starts, entries, inputs, padded: of.window.padding > 0, bias, activation: of.activation })
    }

    /// (input, weight) of the non-zero weights of a unit.
    pub(super) fn row(&self, unit: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[unit]..self.starts[unit + 1]]
    }

    fn new(model: &Model, affine: Affine) -> Result<Self> {
        let backend = &**model.backend();
        let (rows, columns) = (affine.weight.rows(), affine.weight.columns());
        let bias = affine.bias.as_ref().map_or_else(|| Ok(vec![0.0; rows]), |b| backend.download(b))?;
        let (mut starts, mut entries) = (vec![0], Vec::new());
        match &affine.weight {
            Matrix::Dense(weight) => {
                for row in backend.download(weight)?.chunks(columns.max(1)) {
                    entries.extend(row.iter().enumerate().filter(|(_, w)| **w != 0.0).map(|(c, w)| (c as u32, *w)));
                    starts.push(entries.len());
                }
            }
            Matrix::Sparse { pattern, values } => {
                let values = backend.download(values)?;
                for r in 0..rows {
                    let at = pattern.starts()[r] as usize;
                    let row = pattern.row(r).iter().zip(&values[at..]);
                    entries.extend(row.filter(|(_, w)| **w != 0.0).map(|(c, w)| (*c, *w)));
                    starts.push(entries.len());
                }
            }
        }
        Ok(Self { starts, entries, inputs: columns, padded: false, bias, activation: affine.activation })
    }
}

/// Every node of `model` at inference.
pub(super) fn read(model: &Model) -> Result<Vec<Op>> {
    (0..model.graph().nodes().len())
        .map(|i| {
            Ok(match model.lower(i)? {
                Lowered::Affine(a) if a.activation.is_elementwise() => Op::Affine(Rows::new(model, a)?),
                Lowered::Scale(s) if s.activation.is_elementwise() => Op::Scale(Scales::new(model, &s)?),
                Lowered::Map(act) if act.is_elementwise() => Op::Map(act),
                Lowered::Convolution(c) if c.activation.is_elementwise() => Op::Affine(Rows::convolution(model, c)?),
                Lowered::Flatten => Op::Flatten,
                Lowered::Add => Op::Add,
                Lowered::Multiply => Op::Multiply,
                Lowered::Concat => Op::Concat,
                _ => Op::Opaque,
            })
        })
        .collect()
}

/// The constant that each unit of each node emits, if it does.
#[derive(Debug)]
pub(super) struct Constants(Vec<Vec<Option<f64>>>);

impl Constants {
    /// One pass forward, in f64.
    pub(super) fn propagate(graph: &Graph, ops: &[Op]) -> Self {
        let mut this = Self(Vec::with_capacity(ops.len()));
        for (i, (node, op)) in graph.nodes().iter().zip(ops).enumerate() {
            let rows = graph.shape(Source::Node(i)).rows();
            let inputs = &node.inputs;
            let across = |unit: usize| inputs.iter().map(move |&s| (s, unit));
            let values: Vec<Option<f64>> = match op {
                Op::Affine(affine) => (0..rows)
                    .map(|r| {
                        let sum = affine.row(r).iter().try_fold(affine.bias[r], |sum, &(c, w)| {
                            this.get(inputs[0], c as usize).and_then(|x| affine.constant(w, x)).map(|x| sum + x)
                        });
                        sum.map(|z| affine.activation.value(z))
                    })
                    .collect(),
                Op::Scale(Scales { factor, bias, activation }) => (0..rows)
                    .map(|u| {
                        let x = if factor[u] == 0.0 { Some(0.0) } else { this.get(inputs[0], u) };
                        x.map(|x| activation.value(factor[u] * x + bias[u]))
                    })
                    .collect(),
                Op::Map(act) => (0..rows).map(|u| this.get(inputs[0], u).map(|x| act.value(x))).collect(),
                Op::Add => {
                    (0..rows).map(|u| across(u).try_fold(0.0, |sum, (s, u)| this.get(s, u).map(|x| sum + x))).collect()
                }
                Op::Multiply => (0..rows)
                    .map(|u| {
                        if across(u).any(|(s, u)| this.get(s, u) == Some(0.0)) {
                            return Some(0.0);
                        }
                        across(u).try_fold(1.0, |product, (s, u)| this.get(s, u).map(|x| product * x))
                    })
                    .collect(),
                Op::Concat => inputs
                    .iter()
                    .flat_map(|&s| (0..graph.shape(s).rows()).map(move |u| (s, u)))
                    .map(|(s, u)| this.get(s, u))
                    .collect(),
                Op::Flatten => {
                    let each = rows / graph.shape(inputs[0]).rows().max(1);
                    (0..rows).map(|p| this.get(inputs[0], p / each.max(1))).collect()
                }
                Op::Opaque => vec![None; rows],
            };
            this.0.push(values);
        }
        this
    }

    /// The constant at unit `unit` of `source`.
    pub(super) fn get(&self, source: Source, unit: usize) -> Option<f64> {
        match source {
            Source::Input => None,
            Source::Node(n) => self.0[n][unit],
        }
    }
}
