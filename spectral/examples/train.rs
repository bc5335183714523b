//! Builds a spectral network, trains it on the digits, and looks at how well it does.

use spectral::prelude::*;
use std::error::Error;

/// Prints the test accuracy.
pub fn main() -> Result<(), Box<dyn Error>> {
    let data = spectral::data::load("digits", &Default::default())?;
    let mut model =
        Network::new(64).spectral(100, Relu).dropout(0.1).dense(10, Identity).build(&Cpu::new()?, Seed(7))?;
    let history =
        Trainer::new(Adam::default()).epochs(12).batch(50).validation(0.1).keep_best().fit(&mut model, &data.train)?;
    let metrics = Evaluator::default().evaluate(&model, &data.test)?;
    println!("{} epochs, test {metrics}", history.epochs.len());
    assert!(metrics.accuracy.is_some_and(|a| a > 0.9));
    Ok(())
}
