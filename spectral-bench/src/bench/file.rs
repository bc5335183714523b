//! Model files: how long a 90 % sparse network takes to load, and how large its file is.

use super::contest::{Contest, repeated};
use super::{Arena, Row};
use crate::{Failure, Result};
use spectral_core::{Activation, Seed};
use spectral_layers::Network;
use spectral_layers::Sparse;

const WIDTH: usize = 4096;
const DENSITY: f64 = 0.1;

pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let threads = arena.cx.threads;
    let backend = arena.cpu(threads)?;
    let layer = Sparse::new(WIDTH, Activation::Identity, DENSITY);
    let model = Network::new(WIDTH).layer(layer).build(&backend, Seed(0))?;
    let path = arena.files.path().join("model.spectral");
    spectral_io::save(&path, &model)?;
    // The same matrix, written by the other side; what it answers is the size of its files.
    let folder = arena.files.path().display().to_string();
    let rivals = arena.make("load", threads, &format!("{WIDTH} {DENSITY} {folder}"))?;
    let ours = repeated(|| {
        spectral_io::load(&path, &backend)?;
        Ok(())
    });
    let times = arena.compete(Contest::new(ours), &rivals)?;
    let mut row = Row::new(format!("file/load/{WIDTH}x{WIDTH}/90%"), threads, 0.0, times, None);
    let size = std::fs::metadata(&path).map_err(|e| Failure::reading(&path, e))?.len();
    row.bytes = Some(size);
    for (measured, variant) in row.rivals.iter_mut().zip(&rivals) {
        measured.bytes = variant.answer.map(|b| b as u64);
    }
    Ok(vec![row])
}
