//! What pruning sees of a model: its weighted layers, as host slices.

use crate::Result;
use crate::eigenvalues::trains;
use spectral_core::{
    DType, Error, LayersWith, Mask, Model, Operand, Param, ParamId, Role, Source, SpectralFactors, Statistics, Target,
    UnitAxis, Units, Values, registry,
};
use std::collections::BTreeMap;

/// A layer that owns its units and has one weight matrix, `[out, in]`.
#[derive(Debug, Clone)]
pub(crate) struct Weighted {
    pub(crate) node: usize,
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Inputs: as many as columns, or fewer where an input has several, as in a convolution.
    pub(crate) inputs: usize,
    /// What the layer multiplies with, `[out, in]`.
    weight: Operand,
    /// The parameter to whose entries those of the weight belong: itself, or the basis of a spectral layer.
    pub(crate) matrix: ParamId,
    /// Eigenvalues in and out, if the layer is spectral.
    pub(crate) eigenvalues: Option<[ParamId; 2]>,
    /// Whether training may move any of its eigenvalues of inputs, and of outputs.
    pub(crate) trains_eigenvalues: [bool; 2],
    /// The nearest gate or normalisation behind the layer, and its factor.
    pub(crate) gate: Option<(usize, ParamId)>,
}

/// Every weighted layer, in execution order.
pub(crate) fn weighted_layers(model: &Model) -> Vec<Weighted> {
    let (graph, params) = (model.graph(), model.params());
    let (gates, mut layers) = (gates(model), Vec::new());
    for (index, node) in graph.nodes().iter().enumerate().filter(|(_, n)| n.units() == Units::Own) {
        let with = |role| node.params.iter().copied().find(|&id| params.get(id).role == role);
        let Some((weight, _)) = node.layer.op().word.weights() else { continue };
        let Some(matrix) = model.entries_of(index, weight) else { continue };
        let of_matrix = params.get(matrix);
        if !of_matrix.role.is_matrix() || of_matrix.axes != [UnitAxis::Out, UnitAxis::In] {
            continue;
        }
        let shape = of_matrix.full_shape();
        let spectral = params.get(matrix).role == Role::Basis;
        let eigenvalues = with(Role::EigenvalueIn).zip(with(Role::EigenvalueOut)).map(<[_; 2]>::from);
        let eigenvalues = eigenvalues.filter(|_| spectral);
        layers.push(Weighted {
            node: index,
            name: node.name.clone(),
            rows: shape.rows(),
            columns: shape.columns(),
            inputs: shape.extents()[1],
            weight,
            matrix,
            eigenvalues,
            trains_eigenvalues: eigenvalues.map_or([false; 2], |ids| ids.map(|id| params.get(id).is_trainable())),
            gate: gates.get(&index).copied(),
        });
    }
    layers
}

/// The weighted layers called `names` (all, if there are none) but for `except`.
///
/// # Errors
/// A name is not that of a weighted layer, or no layer is left.
pub(crate) fn choose_layers(model: &Model, names: &[String], except: &[String]) -> Result<Vec<Weighted>> {
    let mut layers = weighted_layers(model);
    let known: Vec<String> = layers.iter().map(|l| l.name.clone()).collect();
    for name in names.iter().chain(except) {
        if !known.contains(name) {
            let nearest = registry::nearest(name, known.iter().map(String::as_str)).map(Into::into);
            return Err(crate::Error::UnknownLayer { name: name.clone(), nearest, known });
        }
    }
    layers.retain(|l| (names.is_empty() || names.contains(&l.name)) && !except.contains(&l.name));
    match layers.is_empty() {
        true => Err(crate::Error::Config("no layer is left to prune after `layers` and `except`".into())),
        false => Ok(layers),
    }
}

/// Refuses layers one of whose parameters another node has too: cutting one layer would cut the other, whose units may
/// have to stay.
pub(crate) fn check_unshared(model: &Model, layers: &[Weighted]) -> Result<()> {
    let mut users: BTreeMap<ParamId, Vec<&str>> = BTreeMap::new();
    let nodes = model.graph().nodes();
    for node in nodes {
        node.params.iter().for_each(|id| users.entry(*id).or_default().push(&node.name));
    }
    for layer in layers {
        let own = nodes[layer.node].params.iter().copied();
        let own = own.chain(layer.gate.into_iter().flat_map(|(gate, _)| nodes[gate].params.iter().copied()));
        if let Some((id, names)) = own.filter_map(|id| Some((id, users.get(&id)?))).find(|(_, names)| names.len() > 1) {
            let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
            let (names, param) = (names.join(" and "), &model.params().get(id).name);
            let problem = format!("{names} share `{param}`, so that one cannot be pruned without the other");
            return Err(crate::Error::Config(format!("{problem}; leave them out with `except`, or give each its own")));
        }
    }
    Ok(())
}

/// Behind each node that owns its units: the first node with a factor for each unit that is reached from it through
/// nodes that take nothing else in, and that factor.
fn gates(model: &Model) -> BTreeMap<usize, (usize, ParamId)> {
    let (nodes, mut gates) = (model.graph().nodes(), BTreeMap::new());
    for (index, node) in nodes.iter().enumerate() {
        let gain = |id: &ParamId| {
            let p = model.params().get(*id);
            p.role == Role::Gain && p.axes == [UnitAxis::Out]
        };
        let (Units::Same, Some(gain)) = (node.units(), node.params.iter().copied().find(gain)) else { continue };
        let mut inputs = node.inputs.as_slice();
        while let [Source::Node(before)] = *inputs {
            match nodes[before].units() {
                Units::Own => {
                    gates.entry(before).or_insert((index, gain));
                    break;
                }
                Units::Same => inputs = &nodes[before].inputs,
                _ => break,
            }
        }
    }
    gates
}

impl Weighted {
    /// Whether it has what a criterion needs.
    pub(crate) fn has(&self, needed: LayersWith) -> bool {
        match needed {
            LayersWith::Weights => true,
            LayersWith::Eigenvalues => self.eigenvalues.is_some(),
            LayersWith::Gain => self.gate.is_some(),
        }
    }

    /// The parameter that holds the matrix.
    pub(crate) fn matrix<'m>(&self, model: &'m Model) -> &'m Param {
        model.params().get(self.matrix)
    }

    /// The position in the whole matrix of every entry that is stored and not pruned, with its stored index.
    pub(crate) fn kept<'m>(&self, param: &'m Param) -> impl Iterator<Item = (usize, usize)> + 'm {
        let columns = self.columns;
        let stored = param.pattern.as_ref().map(|p| p.iter().map(|(r, c)| r * columns + c).collect::<Vec<_>>());
        (0..param.value().len())
            .filter(move |&k| !param.pruned().is_some_and(|m| m.contains(k)))
            .map(move |k| (stored.as_ref().map_or(k, |s| s[k]), k))
    }

    /// Entries of every row that are stored and not pruned.
    pub(crate) fn kept_per_row(&self, param: &Param) -> Vec<usize> {
        let mut rows = vec![0; self.rows];
        self.kept(param).for_each(|(position, _)| rows[position / self.columns.max(1)] += 1);
        rows
    }

    /// Entries of every input that are stored and not pruned.
    pub(crate) fn kept_per_input(&self, param: &Param) -> Vec<usize> {
        let mut inputs = vec![0; self.inputs];
        let taps = self.columns / self.inputs.max(1);
        self.kept(param).for_each(|(position, _)| inputs[position % self.columns / taps] += 1);
        inputs
    }

    /// Downloads what criteria look at.
    pub(crate) fn load(&self, model: &Model) -> Result<Loaded> {
        let backend = &**model.backend();
        let get = |id| Ok::<_, Error>(Owned::new(model.dtype(), backend.download(model.params().get(id).value())?));
        let gain = self.gate.map(|(_, gain)| get(gain)).transpose()?;
        if let Some([inner, outer]) = self.eigenvalues {
            let factors = [get(self.matrix)?, get(inner)?, get(outer)?];
            let trains = [inner, outer].map(|id| trains(model.params().get(id)));
            let weight = product(&factors, self.columns);
            let next = vec![Vec::new(); self.rows];
            return Ok(Loaded { weight, spectral: Some(Factors { values: factors, trains }), gain, next });
        }
        let operands = model.operands(self.node)?;
        let weight = Owned::new(model.dtype(), operands.matrix(self.weight)?.to_dense(backend)?);
        Ok(Loaded { weight, spectral: None, gain, next: vec![Vec::new(); self.rows] })
    }

    /// What a criterion is shown.
    pub(crate) fn target<'a>(&'a self, loaded: &'a Loaded, statistics: &'a Statistics, key: u64) -> Target<'a> {
        let spectral =
            loaded.spectral.as_ref().map(|Factors { values: [basis, inner, outer], trains }| SpectralFactors {
                basis: basis.values(),
                lambda_in: inner.values(),
                lambda_out: outer.values(),
                trains_in: &trains[0],
                trains_out: &trains[1],
            });
        let (rows, columns, weight) = (self.rows, self.columns, loaded.weight.values());
        let gain = loaded.gain.as_ref().map(Owned::values);
        Target { node: &self.name, rows, columns, weight, spectral, gain, next: &loaded.next, statistics, key }
    }
}

/// Host copies of what a criterion looks at.
#[derive(Debug)]
pub(crate) struct Loaded {
    weight: Owned,
    spectral: Option<Factors>,
    gain: Option<Owned>,
    /// By unit, the eigenvalues by which spectral layers take it in.
    next: Vec<Vec<f64>>,
}

impl Loaded {
    /// The weights the layer multiplies with, `[out, in]`.
    pub(crate) fn weight(&self) -> Values<'_> {
        self.weight.values()
    }
}

impl Loaded {
    /// With the eigenvalues by which other layers take the units in, if there are any.
    pub(crate) fn with_next(mut self, next: Option<Vec<Vec<f64>>>) -> Self {
        if let Some(next) = next {
            self.next = next;
        }
        self
    }
}

#[derive(Debug)]
struct Factors {
    /// Basis, eigenvalues of inputs and of outputs.
    values: [Owned; 3],
    /// Which eigenvalues of inputs and of outputs training may move.
    trains: [Vec<bool>; 2],
}

#[derive(Debug)]
enum Owned {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Owned {
    fn new(dtype: DType, values: Vec<f64>) -> Self {
        match dtype {
            DType::F32 => Self::F32(values.into_iter().map(|v| v as f32).collect()),
            DType::F64 => Self::F64(values),
        }
    }

    fn values(&self) -> Values<'_> {
        match self {
            Self::F32(v) => Values::F32(v),
            Self::F64(v) => Values::F64(v),
        }
    }
}

/// `basis * (lambda_in - lambda_out)` in the arithmetic of its type.
///
/// Computed here and not by the backend, so that a criterion ranks weights the same on every device.
fn product([basis, inner, outer]: &[Owned; 3], columns: usize) -> Owned {
    fn of<T: Copy + std::ops::Sub<Output = T> + std::ops::Mul<Output = T>>(
        b: &[T],
        i: &[T],
        o: &[T],
        n: usize,
    ) -> Vec<T> {
        b.iter().enumerate().map(|(k, &b)| b * (i[k % n] - o[k / n])).collect()
    }
    match (basis, inner, outer) {
        (Owned::F32(b), Owned::F32(i), Owned::F32(o)) => Owned::F32(of(b, i, o, columns)),
        (Owned::F64(b), Owned::F64(i), Owned::F64(o)) => Owned::F64(of(b, i, o, columns)),
        _ => Owned::F64(Vec::new()),
    }
}

/// The entries of a parameter that belong to `units` along an axis, as a mask over the stored entries; `None` if it
/// has no such axis.
pub(crate) fn entries_along(axis: UnitAxis, param: &Param, units: &Mask) -> Option<Mask> {
    let unit = positions_along(axis, param)?;
    Some(Mask::from_fn(unit.len(), |k| units.contains(unit[k])))
}

/// Where along an axis each stored entry is; `None` if the parameter has no such axis.
pub(crate) fn positions_along(axis: UnitAxis, param: &Param) -> Option<Vec<usize>> {
    let axis = param.axes.iter().position(|a| *a == axis)?;
    if let Some(pattern) = &param.pattern {
        return Some(pattern.iter().map(|(row, column)| if axis == 0 { row } else { column }).collect());
    }
    let shape = param.value().shape();
    let inner: usize = shape.extents()[axis + 1..].iter().product();
    let extent = shape.extents()[axis];
    Some((0..param.value().len()).map(|k| k / inner.max(1) % extent).collect())
}
