//! Structured RigL: constant fan-in, and units that starve are let go.

use super::exchange::Stored;
use super::gradient::{DenseGradient, Largest, absent};
use super::{Every, Method, Timing};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{Pattern, Stream};

/// SRigL: RigL in which every unit has the same number of inputs, and units of little use lose them all.
///
/// At an update the `share` smallest weights of a layer go. A weight is salient if it stays, or if its gradient is
/// among as many largest ones of absent weights. Units with fewer than `gamma` times the fan-in of salient weights
/// are ablated for good: they have no inputs from then on, and compaction removes them. The entries of the layer at
/// the beginning, shared equally by the units that are left, are the new fan-in (rounded down, at most the number of
/// inputs); each unit keeps its largest weights and grows by gradient up to it, from 0.
///
/// A layer whose fan-in is not constant is made so before the first step: large weights stay, random ones grow.
/// Output units of the network are never ablated. Memory and time as RigL, the gradient being computed twice.
/// Lasby et al. 2024.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Srigl {
    /// Share of stored entries that is exchanged at the beginning (alpha).
    pub share: f64,
    /// How often.
    pub every: Every,
    /// Share of the training after which the topology stays.
    pub until: f64,
    /// Share of its fan-in that must be salient for a unit to live; 0 ablates none.
    pub gamma: f64,
}

impl Default for Srigl {
    fn default() -> Self {
        Self { share: 0.3, every: Every::Steps(100), until: 0.75, gamma: 0.3 }
    }
}

impl Method for Srigl {
    fn timing(&self) -> Timing {
        Timing { share: self.share, every: self.every, until: self.until, cosine: true }
    }

    fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.gamma) {
            return Ok(());
        }
        Err(Error::Config(format!("`gamma` of srigl is {}; it must be from 0 to 1", self.gamma)))
    }

    fn reads_gradient(&self) -> bool {
        true
    }

    fn prepare(&self, layer: &Stored<'_>, stream: &mut Stream) -> Result<Option<Pattern>> {
        if layer.trainable.is_some() {
            return Err(Error::Config("srigl moves every weight of a layer, and some are frozen; thaw them".into()));
        }
        let pattern = layer.pattern;
        let mut fans = (0..pattern.rows()).map(|r| pattern.row(r).len()).filter(|n| *n > 0);
        let first = fans.next();
        if first.is_none() || fans.all(|n| Some(n) == first) {
            return Ok(None);
        }
        let fan_in = (pattern.nonzeros() / pattern.rows()).max(1);
        rows(pattern, |row, columns| {
            columns.extend(largest_stored(layer, row, fan_in, |_| true));
            let stored = pattern.row(row);
            let missing = fan_in - columns.len();
            let alone = Pattern::new(1, pattern.columns(), vec![0, stored.len() as u32], stored.to_vec())?;
            let ranks = stream.choose(alone.absent(), missing);
            columns.extend(alone.absent_at(&ranks).into_iter().map(|c| c as u32));
            Ok(())
        })
        .map(Some)
    }

    fn exchange(
        &self,
        layer: &Stored<'_>,
        share: f64,
        gradient: Option<&DenseGradient<'_>>,
        _: &mut Stream,
    ) -> Result<Option<Pattern>> {
        let pattern = layer.pattern;
        let active: Vec<bool> = (0..pattern.rows()).map(|r| !pattern.row(r).is_empty()).collect();
        let units = active.iter().filter(|a| **a).count();
        let gone = layer.smallest(layer.count(share));
        let (Some(gradient), 1.., 1..) = (gradient, units, gone.count()) else { return Ok(None) };
        let staying = |ends: &[u32]| (ends[0] as usize..ends[1] as usize).filter(|i| !gone.contains(*i)).count();
        let mut salient: Vec<usize> = pattern.starts().windows(2).map(staying).collect();
        let mut largest = Largest::new(gone.count());
        gradient.rows(|row, values| {
            if active[row] {
                let first = (row * pattern.columns()) as u64;
                absent(values, pattern.row(row), |column, g| largest.offer(g, first + column as u64));
            }
        })?;
        largest.positions().into_iter().for_each(|p| salient[(p / pattern.columns() as u64) as usize] += 1);
        let alive = self.alive(layer, &active, &salient, pattern.nonzeros() / units);
        let left = alive.iter().filter(|a| **a).count();
        let fan_in = (layer.budget / left.max(1)).clamp(1, pattern.columns());

        let mut grown: Vec<Vec<u32>> = vec![Vec::new(); pattern.rows()];
        gradient.rows(|row, values| {
            if !alive[row] {
                return;
            }
            let entries = pattern.starts()[row] as usize..pattern.starts()[row + 1] as usize;
            let kept = entries.filter(|i| !gone.contains(*i)).count();
            let mut largest = Largest::new(fan_in.saturating_sub(kept));
            absent(values, pattern.row(row), |column, g| largest.offer(g, column as u64));
            grown[row] = largest.positions().into_iter().map(|c| c as u32).collect();
        })?;
        rows(pattern, |row, columns| {
            if alive[row] {
                columns.extend(largest_stored(layer, row, fan_in, |i| !gone.contains(i)));
                columns.append(&mut grown[row]);
                // There was not enough to grow: what was to go stays.
                let missing = fan_in - columns.len();
                columns.extend(largest_stored(layer, row, missing, |i| gone.contains(i)));
            }
            Ok(())
        })
        .map(Some)
    }
}

impl Srigl {
    /// Which units live on: at least one.
    fn alive(&self, layer: &Stored<'_>, active: &[bool], salient: &[usize], fan_in: usize) -> Vec<bool> {
        if !layer.may_ablate {
            return active.to_vec();
        }
        let needed = self.gamma * fan_in as f64;
        let mut alive: Vec<bool> = active.iter().zip(salient).map(|(a, s)| *a && *s as f64 >= needed).collect();
        if !alive.contains(&true) {
            // `max_by_key` takes the last of equals.
            let best = (0..active.len()).filter(|r| active[*r]).rev().max_by_key(|r| salient[*r]);
            best.into_iter().for_each(|r| alive[r] = true);
        }
        alive
    }
}

/// The columns of the `count` stored entries of a row that are largest in magnitude among those that `may` stay.
fn largest_stored(layer: &Stored<'_>, row: usize, count: usize, may: impl Fn(usize) -> bool) -> Vec<u32> {
    let first = layer.pattern.starts()[row] as usize;
    let mut largest = Largest::new(count);
    for (i, &column) in (first..).zip(layer.pattern.row(row)).filter(|(i, _)| may(*i)) {
        largest.offer(layer.magnitude(i), u64::from(column));
    }
    largest.positions().into_iter().map(|c| c as u32).collect()
}

/// A pattern of the size of `like` with the columns that `fill` gives each row, in any order.
fn rows(like: &Pattern, mut fill: impl FnMut(usize, &mut Vec<u32>) -> Result<()>) -> Result<Pattern> {
    let mut starts = vec![0];
    let (mut indices, mut columns) = (Vec::with_capacity(like.nonzeros()), Vec::new());
    for row in 0..like.rows() {
        columns.clear();
        fill(row, &mut columns)?;
        columns.sort_unstable();
        indices.extend_from_slice(&columns);
        starts.push(indices.len() as u32);
    }
    Ok(Pattern::new(like.rows(), like.columns(), starts, indices)?)
}
