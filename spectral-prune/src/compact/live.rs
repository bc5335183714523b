//! Which units something still depends on.

use super::constants::Constants;
use crate::groups::Coupling;
use spectral_core::{Change, Known, Model, Operand, Source, UnitAxis, Units};

/// The units that stay.
#[derive(Debug)]
pub(super) struct Live {
    /// Of the network's input, then of every node.
    kept: Vec<Vec<usize>>,
}

impl Live {
    /// The smallest set of units that contains all that must stay and all that its units depend on. So it leaves out
    /// loops of units that only feed each other through residual connections.
    pub(super) fn find(model: &Model, known: &[Known], coupling: &Coupling, constants: &Constants) -> Self {
        let graph = model.graph();
        let foldable = (0..known.len()).map(|i| takes_constants(model, i)).collect();
        let (live, todo) = (vec![false; coupling.len()], Vec::new());
        let mut search = Search { model, known, coupling, constants, foldable, live, todo };
        (0..coupling.len() as u32).filter(|&c| coupling.is_fixed(c)).for_each(|c| search.mark(c));
        search.run();
        // A layer needs at least one unit. A constant one is the cheapest, because it depends on nothing.
        for (i, _) in graph.nodes().iter().enumerate().rev().filter(|(_, n)| n.units() == Units::Own) {
            let own = Source::Node(i);
            let units = 0..graph.shape(own).rows();
            if !units.clone().any(|u| search.live[coupling.class_of(own, u) as usize]) {
                let constant = units.clone().find(|&u| constants.get(own, u).is_some());
                search.mark(coupling.class_of(own, constant.unwrap_or(0)));
                search.run();
            }
        }
        let sources = std::iter::once(Source::Input).chain((0..graph.nodes().len()).map(Source::Node));
        let stays = |source, u: &usize| search.live[coupling.class_of(source, *u) as usize];
        let kept = sources.map(|s| (0..graph.shape(s).rows()).filter(|u| stays(s, u)).collect());
        Self { kept: kept.collect() }
    }

    /// The units of `source` that stay, ascending.
    pub(super) fn kept(&self, source: Source) -> &[usize] {
        match source {
            Source::Input => &self.kept[0],
            Source::Node(n) => &self.kept[n + 1],
        }
    }
}

/// Whether a constant can be added to the units of node `index`: its bias is a parameter itself, or it can be given
/// one.
fn takes_constants(model: &Model, index: usize) -> bool {
    let node = &model.graph().nodes()[index];
    match node.layer.op().word.weights() {
        Some((_, Some(Operand::Slot(slot)))) => {
            node.params.get(slot).is_some_and(|&id| model.params().get(id).axes == [UnitAxis::Out])
        }
        Some((_, Some(Operand::Derived { .. }))) | None => false,
        Some((_, None)) => node.layer.with(Change::Bias).is_some(),
    }
}

struct Search<'a> {
    model: &'a Model,
    known: &'a [Known],
    coupling: &'a Coupling,
    constants: &'a Constants,
    /// By node.
    foldable: Vec<bool>,
    live: Vec<bool>,
    todo: Vec<u32>,
}

impl Search<'_> {
    fn mark(&mut self, class: u32) {
        if !std::mem::replace(&mut self.live[class as usize], true) {
            self.todo.push(class);
        }
    }

    fn run(&mut self) {
        let coupling = self.coupling;
        while let Some(class) = self.todo.pop() {
            for (node, unit) in coupling.members(class) {
                self.follow(node, unit);
            }
        }
    }

    /// Marks what unit `unit` of `node` depends on.
    fn follow(&mut self, node: usize, unit: usize) {
        let (known, constants, coupling) = (self.known, self.constants, self.coupling);
        // The inputs of other nodes were fixed, or are tied to this class.
        let Some(rows) = known[node].rows() else { return };
        let source = self.model.graph().nodes()[node].inputs[0];
        for &(input, weight) in rows.row(unit) {
            let input = input as usize;
            let folds = match constants.get(source, input) {
                None => false,
                Some(x) => x == 0.0 || (self.foldable[node] && rows.adds(weight, x).is_some()),
            };
            if !folds {
                self.mark(coupling.class_of(source, input));
            }
        }
    }
}
