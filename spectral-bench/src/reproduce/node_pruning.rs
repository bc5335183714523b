//! T3: which units of a wide layer can go, by eigenvalues or by weights, with and without training afterwards.

mod published;

use super::lab::{Lab, accuracy};
use super::{Check, Outcome, Published, mean_and_deviation, range, spread};
use crate::{Failure, Result};
use published::SHARES;
use spectral_core::{Activation, Init, Model, Plot, Role, Seed, Table, Trainable};
use spectral_data::Dataset;
use spectral_layers::{Dense, Factors, Network, Spectral};
use spectral_prune::Prune;
use spectral_train::{Adam, Trainer};

pub(super) const PUBLISHED: Published = Published {
    id: "T3",
    title: "Trimming units of 784-2000-10 by eigenvalues or by weights, with the arms that were missing",
    source: "Buffoni, Civitelli, Giambagli, Chicchi, Fanelli, Spectral pruning of fully connected layers, Sci. Rep. \
             12:11201 (2022); numbers of the authors' results_df.pk (Buffoni/spectral_learning)",
    options: &["--activations", "--data", "--arms"],
    arms: &["dense", "spectral", "eigenvalues", "dense-retrained", "scratch"],
    run,
};

const UNITS: usize = 2_000;
const BATCH: usize = 200;

/// What was published: epochs, epochs of retraining, runs.
const EPOCHS: usize = 100;
const RETRAINING: usize = 20;
const RUNS: usize = 5;

/// Shares at which trimmed networks are trained further; the bars are there, too.
const RETRAINED: [usize; 2] = [50, 80];

/// A way to a small layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    /// Dense; units ranked by the sum of their absolute incoming weights; not trained after.
    Dense,
    /// Eigenvectors and eigenvalues trained; units ranked by |lambda|; not trained after.
    Spectral,
    /// Eigenvalues trained alone; ranked by them; both trained after. The paper's pre-training filter.
    Alternate,
    /// As `Dense`, and trained after: not in the paper.
    DenseRetrained,
    /// A dense network of the trimmed size, trained as long as the others in all: not in the paper.
    Scratch,
}

impl Arm {
    const ALL: [Self; 5] = [Self::Dense, Self::Spectral, Self::Alternate, Self::DenseRetrained, Self::Scratch];
    const PUBLISHED: [Self; 3] = [Self::Dense, Self::Spectral, Self::Alternate];

    /// What `--arms` calls it: the names are in the order of the variants.
    fn key(self) -> &'static str {
        PUBLISHED.arms[self as usize]
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Spectral => "spectral",
            Self::Alternate => "eigenvalues, retrained",
            Self::DenseRetrained => "dense, retrained",
            Self::Scratch => "small from scratch",
        }
    }
}

/// A data set and an activation.
struct Setting<'a> {
    set: &'a str,
    activation: &'a str,
    points: Vec<Point>,
}

struct Point {
    arm: Arm,
    /// Share trimmed, per cent.
    share: usize,
    accuracy: f64,
}

/// One run's training.
struct Trial<'a> {
    lab: &'a Lab<'a>,
    data: &'a Dataset,
    activation: Activation,
    epochs: usize,
    retraining: usize,
    seed: Seed,
}

fn run(lab: &Lab<'_>) -> Result<Outcome> {
    let epochs = lab.size(lab.scale.epochs, EPOCHS, 1);
    let retraining = (epochs / 2).clamp(1, RETRAINING);
    let seeds = lab.seeds(1, 1);
    let (sets, activations) = (sets(lab), activations(lab)?);
    let mut settings = Vec::new();
    // All of them first: a missing one should not be found hours later.
    let loaded = sets.iter().map(|set| lab.cx.dataset(set, None)).collect::<Result<Vec<_>>>()?;
    for (set, data) in sets.iter().zip(&loaded) {
        for (name, activation) in &activations {
            let mut points = Vec::new();
            for &seed in &seeds {
                let trial = Trial { lab, data, activation: *activation, epochs, retraining, seed };
                points.extend(trial.run()?);
            }
            settings.push(Setting { set, activation: name, points });
        }
    }
    let setting = vec![
        format!("784-{UNITS}-10, no bias, Adam 1e-3, batch {BATCH}; {}", range(&seeds)),
        format!(
            "{epochs} epochs and {retraining} of retraining; published: {EPOCHS} and {RETRAINING}, {RUNS} runs of each \
             (`--seeds {RUNS}`)"
        ),
        "bars: within two published deviations of the published means".into(),
    ];
    let mut tables = vec![beside(&settings)];
    tables.extend(settings.iter().map(Setting::table));
    Ok(Outcome { setting, tables, checks: settings.iter().flat_map(Setting::checks).collect() })
}

/// A quick repetition tries the first of each.
fn kept(lab: &Lab<'_>) -> usize {
    if lab.scale.quick { 1 } else { usize::MAX }
}

/// Data sets to try.
fn sets(lab: &Lab<'_>) -> Vec<String> {
    match lab.scale.sets.is_empty() {
        true => ["mnist", "fashion-mnist"].into_iter().take(kept(lab)).map(Into::into).collect(),
        false => lab.scale.sets.clone(),
    }
}

/// Activations to try, by name.
fn activations(lab: &Lab<'_>) -> Result<Vec<(String, Activation)>> {
    let usual = [("relu", Activation::Relu), ("tanh", Activation::Tanh), ("elu", Activation::Elu { alpha: 1.0 })];
    let asked = &lab.scale.activations;
    if let Some((name, _)) = asked.iter().find(|(_, a)| !a.is_elementwise()) {
        return Err(Failure::input(format!("--activations {name}: a hidden layer needs one by element")));
    }
    Ok(match asked.is_empty() {
        true => usual.into_iter().take(kept(lab)).map(|(name, a)| (name.into(), a)).collect(),
        false => asked.clone(),
    })
}

impl Trial<'_> {
    fn run(&self) -> Result<Vec<Point>> {
        let retrained: &[usize] = if self.lab.scale.quick { &RETRAINED[1..] } else { &RETRAINED };
        let every: Vec<usize> = (5..100).step_by(5).collect();
        let wanted = |arm: Arm| self.lab.scale.arms.is_empty() || self.lab.scale.arms.iter().any(|a| a == arm.key());
        let mut points = Vec::new();
        let mut add = |arm, shares: &[usize], reached: &dyn Fn(usize) -> Result<f64>| -> Result<()> {
            for &share in shares {
                points.push(Point { arm, share, accuracy: reached(share)? });
            }
            Ok(())
        };

        if wanted(Arm::Dense) || wanted(Arm::DenseRetrained) {
            let mut dense = self.dense(UNITS)?;
            self.train("dense", self.epochs, &mut dense)?;
            let trim = |share| self.trim(&dense, "magnitude", share);
            if wanted(Arm::Dense) {
                add(Arm::Dense, &every, &|share| accuracy(&trim(share)?, &self.data.test))?;
            }
            if wanted(Arm::DenseRetrained) {
                add(Arm::DenseRetrained, retrained, &|share| self.retrained(&trim(share)?))?;
            }
        }
        if wanted(Arm::Spectral) {
            let mut spectral = self.spectral(true)?;
            self.train("spectral", self.epochs, &mut spectral)?;
            let reached = |share| accuracy(&self.trim(&spectral, "eigenvalue", share)?, &self.data.test);
            add(Arm::Spectral, &every, &reached)?;
        }
        if wanted(Arm::Alternate) {
            let mut eigenvalues = self.spectral(false)?;
            self.train("eigenvalues", self.epochs, &mut eigenvalues)?;
            add(Arm::Alternate, retrained, &|share| self.retrained(&self.trim(&eigenvalues, "eigenvalue", share)?))?;
        }
        if wanted(Arm::Scratch) {
            let reached = |share| {
                let mut fresh = self.dense(UNITS - UNITS * share / 100)?;
                self.train("scratch", self.epochs + self.retraining, &mut fresh)?;
                accuracy(&fresh, &self.data.test)
            };
            add(Arm::Scratch, retrained, &reached)?;
        }
        Ok(points)
    }

    /// Accuracy of a trimmed network once everything that is left of it was trained.
    fn retrained(&self, trimmed: &Model) -> Result<f64> {
        let mut small = spectral_prune::compact(trimmed)?.model;
        thaw(&mut small)?;
        self.train("retrain", self.retraining, &mut small)?;
        accuracy(&small, &self.data.test)
    }

    fn dense(&self, units: usize) -> Result<Model> {
        let layer = |units, activation| Dense { bias: false, ..Dense::new(units, activation) };
        let network = Network::new(self.data.train.features())
            .layer_named("hidden", layer(units, self.activation))
            .layer(layer(self.data.classes, Activation::Identity));
        Ok(network.build(self.lab.cx.backend()?, self.seed)?)
    }

    /// One eigenvalue vector a layer, initial values of the published code.
    fn spectral(&self, basis: bool) -> Result<Model> {
        let uniform = |limit: f64| Init::Uniform { low: -limit, high: limit };
        let layer = |units, activation| Spectral {
            bias: false,
            trainable: Factors { basis, ..Factors::<bool>::default() },
            init: Factors { basis: uniform(0.2), lambda_out: uniform(0.5), ..Factors::<Init>::default() },
            ..Spectral::new(units, activation)
        };
        let network = Network::new(self.data.train.features())
            .layer_named("hidden", layer(UNITS, self.activation))
            .layer(layer(self.data.classes, Activation::Identity));
        Ok(network.build(self.lab.cx.backend()?, self.seed)?)
    }

    fn train(&self, phase: &str, epochs: usize, model: &mut Model) -> Result<()> {
        let trainer = Trainer::new(Adam { epsilon: 1e-7, ..Adam::default() }).epochs(epochs).batch(BATCH);
        self.lab.fit(phase, &trainer.seed(self.seed), model, &self.data.train)
    }

    /// A copy without the hidden units below a percentile.
    fn trim(&self, model: &Model, criterion: &str, share: usize) -> Result<Model> {
        let mut trimmed = model.duplicate()?;
        let prune = Prune::by(criterion).units().layers(&["hidden"]).percentile(share as f64);
        prune.apply(&mut trimmed, None)?;
        Ok(trimmed)
    }
}

/// Lets eigenvectors train as well.
fn thaw(model: &mut Model) -> Result<()> {
    let (params, _) = model.params_mut();
    let bases: Vec<_> = params.iter().filter(|(_, p)| p.role == Role::Basis).map(|(id, _)| id).collect();
    Ok(bases.into_iter().try_for_each(|id| params.set_trainable(id, Trainable::All))?)
}

impl Setting<'_> {
    fn at(&self, arm: Arm, share: usize) -> Vec<f64> {
        self.points.iter().filter(|p| p.arm == arm && p.share == share).map(|p| p.accuracy).collect()
    }

    /// Every share and arm.
    fn table(&self) -> Table {
        let title = format!("Test accuracy against share trimmed: {}, {}", self.set, self.activation);
        let columns = ["units trimmed, %", "arm", "test accuracy, %", "deviation", "published, %"];
        let mut table = Table::new(title, columns);
        for arm in Arm::ALL {
            for share in (5..100).step_by(5) {
                let values = self.at(arm, share);
                if values.is_empty() {
                    continue;
                }
                let (mean, deviation) = mean_and_deviation(&values);
                let known = published::find(self.set, self.activation, arm, share);
                let known = known.map_or_else(|| "".into(), |(mean, _)| mean.into());
                table.push([share.into(), arm.name().into(), mean.into(), deviation.into(), known]);
            }
        }
        table.plot = Some(Plot { x: 0, y: vec![2], by: Some(1) });
        table
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for arm in [Arm::Spectral, Arm::Alternate] {
            for share in RETRAINED {
                let values = self.at(arm, share);
                let Some((mean, deviation)) = published::find(self.set, self.activation, arm, share) else { continue };
                if values.is_empty() {
                    continue;
                }
                let what = format!("{}, {}, {}, {share} % trimmed", self.set, self.activation, arm.name());
                let (low, high) = (mean - 2.0 * deviation, mean + 2.0 * deviation);
                checks.push(Check::between(what, mean_and_deviation(&values).0, (low, high), " %"));
            }
        }
        checks
    }
}

/// Ours and the published numbers at the shares of the published table.
fn beside(settings: &[Setting<'_>]) -> Table {
    let shares: Vec<String> = SHARES.iter().map(|s| format!("{s} %")).collect();
    let columns = ["data", "activation", "arm", "numbers"].map(String::from).into_iter().chain(shares);
    let mut table = Table::new("Test accuracy in % by share of units trimmed", columns);
    for setting in settings {
        for arm in Arm::ALL.into_iter().filter(|arm| setting.points.iter().any(|p| p.arm == *arm)) {
            let mut row = |whose: &str, cell: &dyn Fn(usize) -> String| {
                let names = [setting.set, setting.activation, arm.name(), whose].map(spectral_core::Cell::from);
                table.push(names.into_iter().chain(SHARES.iter().map(|&s| cell(s).into())));
            };
            row("ours", &|share| spread(&setting.at(arm, share), 2).replace('-', ""));
            if Arm::PUBLISHED.contains(&arm) {
                let known = |share| published::find(setting.set, setting.activation, arm, share);
                let text = |(mean, deviation): published::Published| format!("{mean:.2} ± {deviation:.2}");
                row("published", &|share| known(share).map_or_else(String::new, text));
            }
        }
    }
    table
}
