//! Prunes units by their eigenvalues, removes them for real, proves the result equal and saves it.

use spectral::prelude::*;
use std::error::Error;

/// Prints sizes and the proof.
pub fn main() -> Result<(), Box<dyn Error>> {
    let data = spectral::data::load("digits", &Default::default())?;
    let mut model =
        Network::new(64).spectral(200, Relu).spectral(60, Relu).dense(10, Identity).build(&Cpu::new()?, Seed(7))?;
    let trainer = Trainer::new(Adam::default()).epochs(12).batch(50);
    trainer.fit(&mut model, &data.train)?;
    Prune::by("eigenvalue").units().globally().amount(0.7).apply(&mut model, None)?;
    trainer.fit(&mut model, &data.train)?; // pruned units stay pruned

    let compact = model.compact()?;
    let sparse = compact.sparsify(Measured)?;
    let proofs = prove(&model, [&compact, &sparse], &data.test)?;
    assert!(proofs.iter().all(|p| p.equal));

    let folder = tempfile::tempdir()?;
    let (before, after) =
        (save(folder.path().join("a.spectral"), &model)?, save(folder.path().join("b.spectral"), &compact)?);
    println!(
        "{:?} -> {:?} units, {} -> {} bytes, proven equal",
        model.widths(),
        compact.widths(),
        before.bytes,
        after.bytes
    );
    assert!(after.bytes < before.bytes);
    Ok(())
}
