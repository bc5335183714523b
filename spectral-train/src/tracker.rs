//! How well layers separate classes, tracked over training.

mod distances;

pub use distances::ClassDistances;

use serde::{Deserialize, Serialize};
use spectral_core::{
    Batches, EpochRecord, Error, Flow, Gradients, Mode, Model, Progress, Result, Samples, Seed, Source, State, Table,
    TrainHook,
};

/// Samples of the probe in a batch.
const BATCH: usize = 256;

/// Measures, before training and after every epoch, how far apart the outputs of every layer are for samples of
/// different classes and of the same class: the mean cosine distance `1 - cos` over pairs of distinct samples.
///
/// The samples are a fixed probe with the same share of every class. Layers run as at inference, without dropout.
/// Determinism: the probe depends only on the data and the seed. Source: Sparana.
///
/// ```
/// use spectral_core::{Samples, Seed};
/// use spectral_train::{Adam, DistanceTracker, Trainer};
/// # fn follow(model: &mut spectral_core::Model, train: &Samples) -> spectral_train::Result<()> {
/// let mut tracker = DistanceTracker::new(train, 500, Seed(1))?;
/// Trainer::new(Adam::default()).epochs(10).fit_with(model, train, &mut [&mut tracker])?;
/// let tables = tracker.tables(); // epoch by layer, ready to plot
/// # let _ = tables; Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DistanceTracker {
    probe: Samples,
    checkpoints: Vec<Checkpoint>,
}

/// What a [`DistanceTracker`] measured at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Epochs done.
    pub epoch: usize,
    /// Every layer, by name, in the order in which they run.
    pub layers: Vec<(String, ClassDistances)>,
}

impl DistanceTracker {
    /// A tracker that measures `samples` samples of `data` (all of them, if it has no more), chosen by `seed`.
    ///
    /// # Errors
    /// `samples` is 0, or the targets of `data` are not classes.
    pub fn new(data: &Samples, samples: usize, seed: Seed) -> Result<Self> {
        if data.labels().is_none() || samples == 0 {
            let problem = "distances between classes need samples with classes, at least 1";
            return Err(Error::Data(format!("{}: {problem}", data.name)));
        }
        let probe = match samples < data.len() {
            true => data.split(samples as f64 / data.len() as f64, Seed(seed.key("probe", 0)))?.1,
            false => data.clone(),
        };
        Ok(Self { probe, checkpoints: Vec::new() })
    }

    /// The samples that it measures.
    pub fn probe(&self) -> &Samples {
        &self.probe
    }

    /// What it measured, oldest first.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// Measures `model` after `epoch` epochs.
    ///
    /// # Errors
    /// The data does not fit the model, or the device failed.
    pub fn look(&mut self, model: &Model, epoch: usize) -> Result<()> {
        self.checkpoints.push(Checkpoint { epoch, layers: self.measure(model)? });
        Ok(())
    }

    fn measure(&self, model: &Model) -> Result<Vec<(String, ClassDistances)>> {
        let graph = model.graph();
        let len = self.probe.len();
        let labels = self.probe.labels().unwrap_or_default();
        let classes = self.probe.targets().outputs();
        let width = |node| graph.shape(Source::Node(node)).len();
        let mut sums: Vec<_> = (0..graph.nodes().len()).map(|n| distances::Sums::new(classes, width(n))).collect();
        Batches::new(model, BATCH.min(len), Gradients::None)?.each(
            model,
            &self.probe,
            Mode::Infer,
            |batches, rows| {
                let labels = &labels[rows[0]..rows[0] + rows.len()];
                for (node, sums) in sums.iter_mut().enumerate() {
                    sums.add(&model.backend().download(batches.workspace.output(node))?, labels);
                }
                Ok::<_, Error>(())
            },
        )?;
        Ok(graph.nodes().iter().zip(sums).map(|(node, sums)| (node.name.clone(), sums.distances())).collect())
    }

    /// The measurements as tables with plots. Over all epochs, for every layer: the distance between classes (the mean
    /// over pairs of samples, and the mean over pairs of classes) and within classes. At the last epoch, for the last
    /// layer: the distance of each two classes. Empty, if nothing was measured.
    pub fn tables(&self) -> Vec<Table> {
        let Some(last) = self.checkpoints.last() else { return Vec::new() };
        let over_time = |title: &str, value: fn(&ClassDistances) -> Option<f64>| {
            let names = last.layers.iter().map(|(name, _)| name.as_str());
            let mut table = Table::new(title, std::iter::once("epoch").chain(names.clone()));
            for at in &self.checkpoints {
                // A hook may have changed the network meanwhile.
                let of = |name: &str| at.layers.iter().find(|(n, _)| n == name).and_then(|(_, d)| value(d));
                let cells = names.clone().map(|name| of(name).map_or_else(|| "".into(), Into::into));
                table.push(std::iter::once(at.epoch.into()).chain(cells));
            }
            let columns = table.columns.len();
            table.plotted(0, 1..columns)
        };
        let mut tables = vec![
            over_time("Cosine distance between classes, mean over samples", ClassDistances::mean_between),
            over_time("Cosine distance between classes, mean over classes", ClassDistances::class_mean_between),
            over_time("Cosine distance within classes, mean over classes", ClassDistances::class_mean_within),
        ];
        if let Some((name, distances)) = last.layers.last() {
            let classes = distances.classes();
            let title = format!("Cosine distance class by class, output of {name}, epoch {}", last.epoch);
            let header = (0..classes).map(|c| c.to_string());
            let mut table = Table::new(title, std::iter::once("class".to_owned()).chain(header));
            for a in 0..classes {
                let cells = (0..classes).map(|b| distances.mean(a, b).map_or_else(|| "".into(), Into::into));
                table.push(std::iter::once(a.into()).chain(cells));
            }
            tables.push(table);
        }
        tables
    }
}

impl TrainHook for DistanceTracker {
    fn start(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        self.look(model, at.epoch)
    }

    fn after_epoch(&mut self, model: &mut Model, at: &Progress, _: &EpochRecord) -> Result<Flow> {
        self.look(model, at.epoch)?;
        Ok(Flow::Continue)
    }

    fn save(&self) -> Result<State> {
        State::of(&self.checkpoints)
    }

    fn load(&mut self, _: &mut Model, state: &State) -> Result<()> {
        self.checkpoints = state.read("a distance tracker")?;
        Ok(())
    }
}
