//! From scored layers to what is cut: builds the pools that compete, lets each hit its budget.

use crate::groups::Coupling;
use crate::selection::{Fit, Members, Pool};
use crate::weighted::Weighted;
use crate::{Budget, Error, Granularity, Result, Scope};
use spectral_core::{Mask, Model};
use std::collections::BTreeSet;

/// A chosen layer with the score of each of its entries.
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) layer: Weighted,
    /// By position in the whole matrix, or by unit.
    pub(crate) scores: Vec<f64>,
}

/// How pools are made and what they must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) scope: Scope,
    pub(crate) budget: Budget,
    pub(crate) fit: Fit,
    pub(crate) min_keep: usize,
    /// Whether the user named the layers, so that one without anything to prune is a mistake.
    pub(crate) named: bool,
}

/// What is cut.
#[derive(Debug)]
pub(crate) struct Cut {
    /// By chosen layer: stored entries of the matrix, or units.
    pub(crate) masks: Vec<(Weighted, Mask)>,
    /// Entries that go.
    pub(crate) removed: usize,
    /// Entries the pools ever had.
    pub(crate) total: usize,
    /// Entries the pools have left afterwards.
    pub(crate) kept: usize,
}

impl Cut {
    fn new(chosen: &[Scored], entries: impl Fn(&Weighted) -> usize) -> Self {
        let masks = chosen.iter().map(|s| (s.layer.clone(), Mask::none(entries(&s.layer)))).collect();
        Self { masks, removed: 0, total: 0, kept: 0 }
    }

    fn count(&mut self, pool: &Pool, removed: usize) {
        self.removed += removed;
        self.total += pool.total;
        self.kept += pool.total - pool.pruned - removed;
    }
}

/// Chooses weights.
pub(crate) fn cut_weights(model: &Model, chosen: Vec<Scored>, terms: Terms) -> Result<Cut> {
    let mut cut = Cut::new(&chosen, |l| l.matrix(model).value().len());
    for layers in shares(chosen.len(), terms.scope, |_| {}) {
        let mut pool = Pool {
            place: place(&layers, &chosen, terms.scope),
            what: Granularity::Weight.plural(),
            scores: Vec::new(),
            members: Members::One(Vec::new()),
            spare: Vec::new(),
            total: 0,
            pruned: 0,
            dtype: model.dtype(),
        };
        let (mut owners, mut entries) = (Vec::new(), Vec::new());
        for (own, &index) in layers.iter().enumerate() {
            let Scored { layer, scores } = &chosen[index];
            let before = entries.len();
            for (position, stored) in layer.kept(layer.matrix(model)) {
                pool.scores.push(scores[position]);
                owners.push(own as u32);
                entries.push((index, stored));
            }
            let kept = entries.len() - before;
            pool.spare.push(kept.saturating_sub(terms.min_keep));
            pool.total += layer.rows * layer.columns;
            pool.pruned += layer.rows * layer.columns - kept;
        }
        pool.members = Members::One(owners);
        let going = pool.choose(terms.budget, terms.fit)?;
        for &candidate in &going {
            let (index, stored) = entries[candidate];
            cut.masks[index].1.insert(stored);
        }
        cut.count(&pool, going.len());
    }
    Ok(cut)
}

/// Chooses units, coupled ones together.
pub(crate) fn cut_units(model: &Model, chosen: Vec<Scored>, terms: Terms) -> Result<Cut> {
    let coupling = Coupling::of(model.graph());
    let mut index_of = vec![None; model.graph().nodes().len()];
    chosen.iter().enumerate().for_each(|(i, s)| index_of[s.layer.node] = Some(i));
    let rows: Vec<Vec<usize>> = chosen.iter().map(|s| s.layer.kept_per_row(s.layer.matrix(model))).collect();
    let mut free: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut tied_to = vec![BTreeSet::new(); chosen.len()];
    let mut open = vec![false; chosen.len()];
    for (class, members) in coupling.classes() {
        let inside: Option<Vec<(usize, usize)>> =
            members.iter().map(|&(node, unit)| index_of[node].map(|i| (i, unit))).collect();
        match inside {
            Some(members) if !coupling.is_fixed(class) => {
                members.iter().for_each(|m| open[m.0] = true);
                free.push(members);
            }
            _ => {
                let others = members.iter().filter(|m| index_of[m.0].is_none());
                let others: Vec<usize> = others.map(|m| m.0).collect();
                for i in members.iter().filter_map(|m| index_of[m.0]) {
                    tied_to[i].extend(others.iter().copied());
                }
            }
        }
    }
    let shut: Vec<usize> = (0..chosen.len()).filter(|&i| !open[i]).collect();
    if shut.len() == chosen.len() || (terms.named && !shut.is_empty()) {
        return Err(protected(model, &chosen, &shut, &tied_to));
    }
    let mut cut = Cut::new(&chosen, |l| l.rows);
    let ties = |join: &mut dyn FnMut(usize, usize)| {
        free.iter().for_each(|g| g.windows(2).for_each(|pair| join(pair[0].0, pair[1].0)));
    };
    let shares: Vec<Vec<usize>> = shares(chosen.len(), terms.scope, ties);
    let mut share_of = vec![0; chosen.len()];
    shares.iter().enumerate().for_each(|(s, layers)| layers.iter().for_each(|&l| share_of[l] = s));
    for (share, layers) in shares.iter().enumerate() {
        let groups: Vec<&Vec<(usize, usize)>> = free.iter().filter(|g| share_of[g[0].0] == share).collect();
        if groups.is_empty() {
            continue;
        }
        let alive = |&(i, unit): &(usize, usize)| rows[i][unit] > 0;
        let mut pool = Pool {
            place: place(layers, &chosen, terms.scope),
            what: Granularity::Unit.plural(),
            scores: Vec::new(),
            members: Members::One(Vec::new()),
            spare: chosen.iter().enumerate().map(|(i, _)| rows[i].iter().filter(|n| **n > 0).count()).collect(),
            total: groups.iter().map(|g| g.len()).sum(),
            pruned: 0,
            dtype: model.dtype(),
        };
        pool.spare.iter_mut().for_each(|n| *n = n.saturating_sub(terms.min_keep));
        let mut candidates: Vec<Vec<(usize, usize)>> = Vec::new();
        for group in groups {
            let living: Vec<(usize, usize)> = group.iter().copied().filter(alive).collect();
            pool.pruned += group.len() - living.len();
            if !living.is_empty() {
                let sum: f64 = living.iter().map(|&(i, unit)| chosen[i].scores[unit]).sum();
                pool.scores.push(sum / living.len() as f64);
                candidates.push(living);
            }
        }
        pool.members = if candidates.iter().all(|c| c.len() == 1) {
            Members::One(candidates.iter().map(|c| c[0].0 as u32).collect())
        } else {
            Members::Many(candidates.iter().map(|c| c.iter().map(|m| m.0 as u32).collect()).collect())
        };
        let mut removed = 0;
        for candidate in pool.choose(terms.budget, terms.fit)? {
            candidates[candidate].iter().for_each(|&(i, unit)| cut.masks[i].1.insert(unit));
            removed += candidates[candidate].len();
        }
        cut.count(&pool, removed);
    }
    Ok(cut)
}

/// The layers that share a budget: all, or each with those it is tied to.
fn shares(layers: usize, scope: Scope, ties: impl FnOnce(&mut dyn FnMut(usize, usize))) -> Vec<Vec<usize>> {
    if scope == Scope::Global {
        return vec![(0..layers).collect()];
    }
    let mut first: Vec<usize> = (0..layers).collect();
    ties(&mut |a, b| {
        let (a, b) = (first[a], first[b]);
        if a != b {
            first.iter_mut().filter(|f| **f == a.max(b)).for_each(|f| *f = a.min(b));
        }
    });
    let shares = (0..layers).map(|l| (0..layers).filter(|&k| first[k] == l).collect::<Vec<_>>());
    shares.filter(|s| !s.is_empty()).collect()
}

fn place(layers: &[usize], chosen: &[Scored], scope: Scope) -> String {
    match scope {
        Scope::Global => "the chosen layers".into(),
        Scope::Layer => names(layers.iter().map(|&i| chosen[i].layer.name.as_str())),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    quoted.join(", ")
}

/// Why the units of the `shut` layers must stay.
fn protected(model: &Model, chosen: &[Scored], shut: &[usize], tied_to: &[BTreeSet<usize>]) -> Error {
    let nodes = model.graph().nodes();
    let others: BTreeSet<usize> = shut.iter().flat_map(|&i| tied_to[i].iter().copied()).collect();
    let reason = if others.is_empty() {
        let last = nodes.len() - 1;
        let outputs = shut.iter().any(|&i| chosen[i].layer.node == last);
        let what = if outputs {
            "they are the network's outputs"
        } else {
            "the network's input, its output or a layer of unknown structure depends on them one by one"
        };
        format!("units stay where {what}; prune weights instead, or choose hidden layers")
    } else {
        let others = names(others.iter().map(|&n| nodes[n].name.as_str()));
        format!("units are coupled with those of {others}, which must be chosen as well")
    };
    Error::Protected { layers: names(shut.iter().map(|&i| chosen[i].layer.name.as_str())), reason }
}
