//! A pruning criterion of one's own, used by name like the built-in ones.

use serde::{Deserialize, Serialize};
use spectral::core::{Result, register_pruner};
use spectral::prelude::*;
use std::error::Error;

/// Keeps what is far from zero on the positive side.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Positive {}

impl Pruner for Positive {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(target.weight.iter()).for_each(|(score, w)| *score = w);
        Ok(())
    }
}

register_pruner!(Positive, "example-positive", "keeps the largest weights, sign included");

/// Prints what the criterion removed.
pub fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut model = Network::new(8).dense(16, Relu).dense(4, Identity).build(&Cpu::new()?, Seed(1))?;
    let report = Prune::by("example-positive").weights().globally().amount(0.5).apply(&mut model, None)?;
    println!("removed {} weights, kept {}", report.removed, report.kept);
    assert_eq!(report.removed, report.kept);
    Ok(())
}
