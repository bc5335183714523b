//! Units that can only be removed together, read from the explicit graph.
//!
//! Every node's output has one position for each unit. A node with [`Units::Same`] ties position `i` of its output to
//! position `i` of each input. [`Units::Flatten`] ties all values of a unit to that unit. [`Units::Concat`] ties its
//! positions to those of its inputs, one input after the other. A disjoint-set forest over all positions then holds the
//! groups. Time is linear in the number of positions.

use spectral_core::{Graph, Model, Shape, Source, Units};

/// Output units that merges tie together: remove all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `(node, output unit)` of every layer that makes one of the tied units, ascending.
    pub members: Vec<(usize, usize)>,
    /// Whether the network's input, its output or a layer of unknown structure needs this position. Then the units must
    /// stay.
    pub protected: bool,
}

/// The groups of a model, ordered by their first member. A unit without ties is a group of one.
pub fn groups(model: &Model) -> Vec<Group> {
    let coupling = Coupling::of(model.graph());
    coupling.classes().map(|(class, members)| Group { members, protected: coupling.is_fixed(class) }).collect()
}

/// The class of every position of every node.
#[derive(Debug)]
pub(crate) struct Coupling {
    /// Where the positions of each node start; the network's input comes first.
    starts: Vec<usize>,
    /// The lowest position of the class of each position.
    class: Vec<u32>,
    /// By lowest position: whether the class must stay.
    fixed: Vec<bool>,
    /// `(class, node, unit)` of every unit that a node makes itself, ascending.
    made: Vec<(u32, u32, u32)>,
}

impl Coupling {
    /// Ties the positions of `graph`.
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut starts = vec![0, graph.input().rows()];
        for i in 0..graph.nodes().len() {
            starts.push(starts[i + 1] + graph.shape(Source::Node(i)).rows());
        }
        let mut this =
            Self { class: (0..starts[starts.len() - 1] as u32).collect(), starts, fixed: vec![], made: vec![] };
        let mut stay = vec![Source::Input];
        for (i, node) in graph.nodes().iter().enumerate() {
            let own = Source::Node(i);
            let shapes = graph.input_shapes(&node.inputs);
            match tie(node.units(), &shapes, graph.shape(own)) {
                Tie::Own => {}
                Tie::Same => {
                    for &input in &node.inputs {
                        (0..graph.shape(own).rows()).for_each(|u| this.join((own, u), (input, u)));
                    }
                }
                Tie::Concat => {
                    let mut at = 0;
                    for &input in &node.inputs {
                        let rows = graph.shape(input).rows();
                        (0..rows).for_each(|u| this.join((own, at + u), (input, u)));
                        at += rows;
                    }
                }
                Tie::Flatten(each) => {
                    (0..graph.shape(own).rows()).for_each(|p| this.join((own, p), (node.inputs[0], p / each)));
                }
                Tie::Unknown => {
                    stay.push(own);
                    stay.extend(&node.inputs);
                }
            }
        }
        stay.extend(graph.nodes().len().checked_sub(1).map(Source::Node));
        for position in 0..this.class.len() {
            this.class[position] = this.root(position as u32);
        }
        this.fixed = vec![false; this.class.len()];
        stay.into_iter().for_each(|source| this.fix(source));
        for (i, node) in graph.nodes().iter().enumerate() {
            if node.units() == Units::Own {
                for unit in 0..graph.shape(Source::Node(i)).rows() {
                    let class = this.class_of(Source::Node(i), unit);
                    this.made.push((class, i as u32, unit as u32));
                }
            }
        }
        this.made.sort_unstable();
        this
    }

    /// The class of a position.
    pub(crate) fn class_of(&self, source: Source, unit: usize) -> u32 {
        self.class[self.position(source, unit)]
    }

    /// Declares that every position at `source` must stay.
    pub(crate) fn fix(&mut self, source: Source) {
        let node = slot(source);
        for position in self.starts[node]..self.starts[node + 1] {
            self.fixed[self.class[position] as usize] = true;
        }
    }

    /// Whether a class must stay.
    pub(crate) fn is_fixed(&self, class: u32) -> bool {
        self.fixed[class as usize]
    }

    /// Number of positions, above every class.
    pub(crate) fn len(&self) -> usize {
        self.class.len()
    }

    /// `(node, unit)` of the units in a class that nodes make themselves.
    pub(crate) fn members(&self, class: u32) -> impl Iterator<Item = (usize, usize)> + '_ {
        let start = self.made.partition_point(|m| m.0 < class);
        self.made[start..].iter().take_while(move |m| m.0 == class).map(|m| (m.1 as usize, m.2 as usize))
    }

    /// Every class with members, ordered by the first member.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (u32, Vec<(usize, usize)>)> + '_ {
        let mut chunks: Vec<(u32, Vec<(usize, usize)>)> = self
            .made
            .chunk_by(|a, b| a.0 == b.0)
            .map(|c| (c[0].0, c.iter().map(|m| (m.1 as usize, m.2 as usize)).collect()))
            .collect();
        chunks.sort_by_key(|(_, members)| members[0]);
        chunks.into_iter()
    }

    fn position(&self, source: Source, unit: usize) -> usize {
        self.starts[slot(source)] + unit
    }

    fn join(&mut self, a: (Source, usize), b: (Source, usize)) {
        let (a, b) = (self.position(a.0, a.1) as u32, self.position(b.0, b.1) as u32);
        let (a, b) = (self.root(a), self.root(b));
        // The lower position is the root, so that the names of classes do not depend on the order of joins.
        self.class[a.max(b) as usize] = a.min(b);
    }

    fn root(&mut self, mut position: u32) -> u32 {
        while self.class[position as usize] != position {
            let above = self.class[position as usize];
            self.class[position as usize] = self.class[above as usize];
            position = above;
        }
        position
    }
}

fn slot(source: Source) -> usize {
    match source {
        Source::Input => 0,
        Source::Node(n) => n + 1,
    }
}

enum Tie {
    Own,
    Same,
    Concat,
    /// This many positions for each position of the input.
    Flatten(usize),
    Unknown,
}

/// How a node's positions relate to those of its inputs, if its shapes agree with its op.
fn tie(units: Units, inputs: &[Shape], output: Shape) -> Tie {
    match units {
        Units::Own if inputs.len() == 1 => Tie::Own,
        Units::Same if !inputs.is_empty() && inputs.iter().all(|s| s.rows() == output.rows()) => Tie::Same,
        Units::Concat if inputs.iter().map(Shape::rows).sum::<usize>() == output.rows() => Tie::Concat,
        Units::Flatten if inputs.len() == 1 && !inputs[0].is_empty() && inputs[0].len() == output.rows() => {
            Tie::Flatten(inputs[0].columns())
        }
        _ => Tie::Unknown,
    }
}
