//! Memory of sparse training: it goes with the stored entries, while the topology moves, too.

use super::set::{BATCH, WIDTHS, data, network, stored};
use super::{Arena, Bar, Measured, Row};
use crate::{Failure, Result};
use peak_alloc::PeakAlloc;
use spectral_core::Seed;
use spectral_prune::topology::{Rigl, Set, Srigl, Topology, TopologyHook};
use spectral_train::{Loss, Momentum, Trainer};
use std::time::Instant;

/// The most an entry may take: value, gradient, momentum, column and order by column while training, and at most 16
/// bytes more while entries are exchanged.
const BYTES_AN_ENTRY: usize = 40;

/// What the row is held against.
const LIMIT: &str = "40 bytes an entry";

/// What does not depend on the entries: activations, row starts, panels.
const REST: usize = 1 << 20;

/// Builds and trains a network for two epochs with every way to move a topology.
pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    if PeakAlloc.current_usage() == 0 {
        return Err(Failure::Check(
            "the suite `memory` needs a program that counts what it allocates, as xtask does".into(),
        ));
    }
    let data = data(&WIDTHS)?;
    let backend = arena.cpu(1)?;
    let mut rows = Vec::new();
    for (name, topology) in [
        ("set", Topology::Set(Set::default())),
        ("rigl", Topology::Rigl(Rigl::default())),
        ("srigl", Topology::Srigl(Srigl::default())),
    ] {
        let start = Instant::now();
        let before = PeakAlloc.current_usage();
        PeakAlloc.reset_peak_usage();
        let mut model = network(&WIDTHS).build(&backend, Seed(0))?;
        let mut hook = TopologyHook::new(topology, Seed(0))?.growing_on(&data, Loss::CrossEntropy, BATCH);
        let trainer = Trainer::new(Momentum { rate: 0.01, momentum: 0.9 }).epochs(2).batch(BATCH);
        trainer.fit_with(&mut model, &data, &mut [&mut hook])?;
        let peak = PeakAlloc.peak_usage().saturating_sub(before);
        let stored = stored(&model);
        let title = format!("memory/{}/{stored} stored/{name}", super::train::name(&WIDTHS));
        rows.push(row(title, 1e3 * start.elapsed().as_secs_f64(), peak, BYTES_AN_ENTRY * stored + REST));
    }
    Ok(rows)
}

/// A row whose ratio is that of the limit to what was taken.
fn row(name: String, ours_ms: f64, peak: usize, limit: usize) -> Row {
    let ratio = limit as f64 / peak.max(1) as f64;
    let allowed = Measured { name: LIMIT.into(), ms: 0.0, ratio, bytes: Some(limit as u64) };
    let bar = Some(Bar { rival: LIMIT, least: 1.0 });
    Row { bytes: Some(peak as u64), rivals: vec![allowed], bar, ..Row::timed(name, 1, ours_ms) }.judged()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_more_than_allowed_is_a_miss() {
        assert_eq!(row("a".into(), 1.0, 100, 100).pass, Some(true));
        assert_eq!(row("a".into(), 1.0, 101, 100).pass, Some(false));
    }
}
