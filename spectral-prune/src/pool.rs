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
    /// What it adds to the values that percentiles are taken over, if these are not the scores.
    pub(crate) pool: Option<Vec<f64>>,
}

/// All chosen layers, scored.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) layers: Vec<Scored>,
    /// What other layers of the network add to the values that percentiles are taken over.
    pub(crate) elsewhere: Vec<f64>,
}

impl Scores {
    /// What percentiles over `layers` are taken over, if not the scores.
    fn pool(&self, layers: &[usize], scope: Scope) -> Option<Vec<f64>> {
        let own = layers.iter().filter_map(|l| self.layers[*l].pool.as_ref()).flatten();
        let elsewhere = self.elsewhere.iter().filter(|_| scope == Scope::Global);
        let pool: Vec<f64> = own.chain(elsewhere).copied().collect();
        (!pool.is_empty()).then_some(pool)
    }
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
    /// Several cuts of different layers, as one.
    pub(crate) fn all(cuts: impl IntoIterator<Item = Result<Self>>) -> Result<Self> {
        let mut all = Self { masks: Vec::new(), removed: 0, total: 0, kept: 0 };
        for cut in cuts {
            let Self { masks, removed, total, kept } = cut?;
            all.masks.extend(masks);
            (all.removed, all.total, all.kept) = (all.removed + removed, all.total + total, all.kept + kept);
        }
        Ok(all)
    }

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

/// Chooses what nothing ties to other layers: single weights, blocks of them, or inputs.
pub(crate) fn cut_single(model: &Model, scores: &Scores, terms: Terms, granularity: Granularity) -> Result<Cut> {
    let chosen = &scores.layers;
    let by_input = granularity == Granularity::Input;
    let mut cut = Cut::new(chosen, |l| if by_input { l.inputs } else { l.matrix(model).value().len() });
    for layers in shares(chosen.len(), terms.scope, |_| {}) {
        let mut pool = Pool {
            place: place(&layers, chosen, terms.scope),
            what: granularity.plural(),
            scores: Vec::new(),
            percentiles: scores.pool(&layers, terms.scope),
            members: Members::One(Vec::new()),
            spare: Vec::new(),
            total: 0,
            pruned: 0,
            protected: 0,
            dtype: model.dtype(),
        };
        // Of each candidate: its layer and how many entries it has, and where these begin.
        let (mut blocks, mut starts, mut entries) = (Vec::new(), vec![0], Vec::new());
        for (own, &index) in layers.iter().enumerate() {
            let Scored { layer, scores, .. } = &chosen[index];
            // Where the score is, and where the mask.
            let (mut left, total): (Vec<(usize, usize)>, usize) = match by_input {
                true => {
                    let kept = layer.kept_per_input(layer.matrix(model));
                    ((0..layer.inputs).filter(|&i| kept[i] > 0).map(|i| (i, i)).collect(), layer.inputs)
                }
                false => (layer.kept(layer.matrix(model)).collect(), layer.rows * layer.columns),
            };
            let block_of = |&(position, _): &(usize, usize)| match granularity {
                Granularity::Block { rows, columns } => {
                    (position / layer.columns / rows, position % layer.columns / columns)
                }
                _ => (position, 0),
            };
            left.sort_by_key(block_of);
            for block in left.chunk_by(|a, b| block_of(a) == block_of(b)) {
                let scores = block.iter().map(|e| scores[e.0]);
                if scores.clone().any(|s| s == f64::INFINITY) {
                    pool.protected += block.len();
                    continue;
                }
                pool.scores.push(scores.sum::<f64>() / block.len() as f64);
                blocks.push((own as u32, block.len() as u32));
                entries.extend(block.iter().map(|e| (index, e.1)));
                starts.push(entries.len());
            }
            pool.spare.push(left.len().saturating_sub(terms.min_keep));
            pool.total += total;
            pool.pruned += total - left.len();
        }
        pool.members = match granularity {
            Granularity::Block { .. } => Members::Blocks(blocks),
            _ => Members::One(blocks.into_iter().map(|b| b.0).collect()),
        };
        let going = pool.choose(terms.budget, terms.fit)?;
        let going: Vec<_> = going.into_iter().flat_map(|c| &entries[starts[c]..starts[c + 1]]).collect();
        going.iter().for_each(|&&(index, stored)| cut.masks[index].1.insert(stored));
        cut.count(&pool, going.len());
    }
    Ok(cut)
}

/// Chooses, of every `m` columns of a row in turn, all weights but the `n` of the largest scores.
///
/// # Errors
/// The criterion protects more of them.
pub(crate) fn cut_n_of_m(model: &Model, chosen: &[Scored], n: usize, m: usize) -> Result<Cut> {
    let mut cut = Cut::new(chosen, |l| l.matrix(model).value().len());
    for (Scored { layer, scores, .. }, (_, mask)) in chosen.iter().zip(&mut cut.masks) {
        let left: Vec<(usize, usize)> = layer.kept(layer.matrix(model)).collect();
        let place = |&(position, _): &(usize, usize)| (position / layer.columns, position % layer.columns / m);
        for few in left.chunk_by(|a, b| place(a) == place(b)) {
            let mut order = few.to_vec();
            // Stable, so that the first of equal ones stay; adding 0 makes one zero of the two.
            order.sort_by(|a, b| (scores[b.0] + 0.0).total_cmp(&(scores[a.0] + 0.0)));
            for &(position, stored) in order.iter().skip(n) {
                if scores[position] == f64::INFINITY {
                    return Err(Error::Config(format!(
                        "granularity `{n}:{m}` cannot keep all that the criterion protects in layer `{}`; take another \
                         criterion, or granularity `weight`",
                        layer.name
                    )));
                }
                mask.insert(stored);
            }
        }
        cut.removed += mask.count();
        cut.total += layer.rows * layer.columns;
        cut.kept += left.len() - mask.count();
    }
    Ok(cut)
}

/// Chooses units, coupled ones together.
pub(crate) fn cut_units(model: &Model, scores: &Scores, terms: Terms) -> Result<Cut> {
    let chosen = &scores.layers;
    let groups = free_groups(model, chosen, terms.named)?;
    let rows: Vec<Vec<usize>> = chosen.iter().map(|s| s.layer.kept_per_row(s.layer.matrix(model))).collect();
    let alive_units = |rows: &Vec<usize>| rows.iter().filter(|n| **n > 0).count();
    let spare: Vec<usize> = rows.iter().map(|r| alive_units(r).saturating_sub(terms.min_keep)).collect();
    let shares = shares(chosen.len(), terms.scope, |join| {
        groups.iter().for_each(|g| g.windows(2).for_each(|pair| join(pair[0].0, pair[1].0)));
    });
    let mut share_of = vec![0; chosen.len()];
    shares.iter().enumerate().for_each(|(s, layers)| layers.iter().for_each(|&l| share_of[l] = s));
    let mut groups_of = vec![Vec::new(); shares.len()];
    groups.into_iter().for_each(|g| groups_of[share_of[g[0].0]].push(g));
    let mut cut = Cut::new(chosen, |l| l.rows);
    for (layers, groups) in shares.iter().zip(groups_of).filter(|(_, g)| !g.is_empty()) {
        let total = groups.iter().map(Vec::len).sum();
        let alive = |g: Vec<(usize, usize)>| g.into_iter().filter(|&(i, unit)| rows[i][unit] > 0).collect();
        let living = groups.into_iter().map(alive).filter(|g: &Vec<_>| !g.is_empty());
        let mean =
            |g: &Vec<(usize, usize)>| g.iter().map(|&(i, unit)| chosen[i].scores[unit]).sum::<f64>() / g.len() as f64;
        let (protected, candidates): (Vec<_>, Vec<_>) = living.partition(|g| mean(g) == f64::INFINITY);
        let protected = protected.iter().map(Vec::len).sum::<usize>();
        let owners = candidates.iter().map(|g| g.iter().map(|m| m.0 as u32));
        let pool = Pool {
            place: place(layers, chosen, terms.scope),
            what: Granularity::Unit.plural(),
            scores: candidates.iter().map(mean).collect(),
            percentiles: scores.pool(layers, terms.scope),
            members: match candidates.iter().all(|g| g.len() == 1) {
                true => Members::One(owners.flatten().collect()),
                false => Members::Many(owners.map(Iterator::collect).collect()),
            },
            spare: spare.clone(),
            total,
            pruned: total - protected - candidates.iter().map(Vec::len).sum::<usize>(),
            protected,
            dtype: model.dtype(),
        };
        let going: Vec<(usize, usize)> =
            pool.choose(terms.budget, terms.fit)?.into_iter().flat_map(|c| candidates[c].iter().copied()).collect();
        going.iter().for_each(|&(i, unit)| cut.masks[i].1.insert(unit));
        cut.count(&pool, going.len());
    }
    Ok(cut)
}

/// The groups of units that may go, as (chosen layer, unit).
///
/// # Errors
/// There is none, or none in a layer that was named.
fn free_groups(model: &Model, chosen: &[Scored], named: bool) -> Result<Vec<Vec<(usize, usize)>>> {
    let coupling = Coupling::of(model.graph());
    let mut index_of = vec![None; model.graph().nodes().len()];
    chosen.iter().enumerate().for_each(|(i, s)| index_of[s.layer.node] = Some(i));
    let mut free: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut tied_to = vec![BTreeSet::new(); chosen.len()];
    let mut open = vec![false; chosen.len()];
    for (class, members) in coupling.classes() {
        let (inside, outside): (Vec<_>, Vec<_>) = members.into_iter().partition(|m| index_of[m.0].is_some());
        let inside: Vec<(usize, usize)> =
            inside.into_iter().filter_map(|(node, unit)| index_of[node].map(|i| (i, unit))).collect();
        if inside.is_empty() {
            continue;
        }
        if outside.is_empty() && !coupling.is_fixed(class) {
            inside.iter().for_each(|m| open[m.0] = true);
            free.push(inside);
        } else {
            inside.iter().for_each(|m| tied_to[m.0].extend(outside.iter().map(|o| o.0)));
        }
    }
    let shut: Vec<usize> = (0..chosen.len()).filter(|&i| !open[i]).collect();
    if shut.len() == chosen.len() || (named && !shut.is_empty()) {
        return Err(protected(model, chosen, &shut, &tied_to));
    }
    Ok(free)
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
