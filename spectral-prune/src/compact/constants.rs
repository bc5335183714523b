//! Which units emit a constant.

use crate::Result;
use spectral_core::{Graph, Known, Model, Source};

/// Every node of `model` at inference, with its values on the host.
pub(super) fn read(model: &Model) -> Result<Vec<Known>> {
    let nodes = model.graph().nodes().iter().enumerate();
    nodes.map(|(i, node)| Ok(node.layer.op().word.known(&model.operands(i)?)?)).collect()
}

/// The constant that each unit of each node emits, if it emits one.
#[derive(Debug)]
pub(super) struct Constants(Vec<Vec<Option<f64>>>);

impl Constants {
    /// One pass forward, in f64.
    pub(super) fn propagate(graph: &Graph, known: &[Known]) -> Self {
        let mut this = Self(Vec::with_capacity(known.len()));
        for (i, (node, known)) in graph.nodes().iter().zip(known).enumerate() {
            let rows = graph.shape(Source::Node(i)).rows();
            let sizes: Vec<usize> = node.inputs.iter().map(|&s| graph.shape(s).rows()).collect();
            let each = rows / sizes.first().copied().unwrap_or(1).max(1);
            let ask = |input: usize, unit: usize| this.get(node.inputs[input], unit);
            let values = (0..rows).map(|unit| known.constant(unit, &sizes, each, &ask)).collect();
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
