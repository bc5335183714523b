//! A published accuracy of one network on MNIST, trained with Adamax: what T2 and T2b share.

use super::lab::{Lab, accuracy, trainable};
use super::{Check, Outcome, mean_and_deviation, range, spread};
use crate::Result;
use spectral_core::{BackendHandle, Model, Seed, Table};
use spectral_train::{Adamax, Trainer};

/// One network and what was published about it.
pub(super) struct Case {
    /// The set-up in words.
    pub(super) setting: &'static str,
    pub(super) network: fn(&BackendHandle, Seed) -> Result<Model>,
    pub(super) epochs: usize,
    pub(super) quick_epochs: usize,
    pub(super) batch: usize,
    pub(super) rate: f64,
    /// Entries that train.
    pub(super) trainable: usize,
    /// Training and test accuracy of the published run, per cent.
    pub(super) published: (f64, f64),
    /// The least test accuracy that counts as reproduced, per cent.
    pub(super) bar: f64,
}

impl Case {
    /// Trains the network from every seed.
    pub(super) fn repeat(&self, lab: &Lab<'_>) -> Result<Outcome> {
        let epochs = lab.size(lab.scale.epochs, self.epochs, self.quick_epochs);
        let seeds = lab.seeds(3, 1);
        let data = lab.cx.dataset("mnist", None)?;
        let mut table = Table::new("Accuracy on MNIST, %", ["run", "trainable", "parameters", "training", "test"]);
        let (mut train, mut test, mut sizes) = (Vec::new(), Vec::new(), (0, 0));
        for &seed in &seeds {
            let mut model = (self.network)(lab.cx.backend()?, seed)?;
            sizes = (trainable(&model), model.params().total());
            let adamax = Adamax { rate: self.rate, epsilon: 1e-7, ..Adamax::default() };
            let trainer = Trainer::new(adamax).epochs(epochs).batch(self.batch).seed(seed);
            let name = format!("seed {}", seed.0);
            lab.fit(&name, &trainer, &mut model, &data.train)?;
            let (on_train, on_test) = (accuracy(&model, &data.train)?, accuracy(&model, &data.test)?);
            table.push([name.into(), sizes.0.into(), sizes.1.into(), on_train.into(), on_test.into()]);
            train.push(on_train);
            test.push(on_test);
        }
        let (trains, all) = sizes;
        table.push(["ours".into(), trains.into(), all.into(), spread(&train, 2).into(), spread(&test, 2).into()]);
        let (on_train, on_test) = self.published;
        table.push(["published, 1 run".into(), self.trainable.into(), all.into(), on_train.into(), on_test.into()]);
        let setting = vec![
            self.setting.to_string(),
            format!(
                "Adamax {}, batch {}, {epochs} epochs (published: {}), {}",
                self.rate,
                self.batch,
                self.epochs,
                range(&seeds)
            ),
        ];
        let exact = self.trainable as f64;
        let checks = vec![
            Check::at_least("test accuracy, mean", mean_and_deviation(&test).0, self.bar, " %"),
            Check::between("trainable parameters", trains as f64, (exact, exact), ""),
        ];
        Ok(Outcome { setting, tables: vec![table], checks })
    }
}
