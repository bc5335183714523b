//! The types behind `report.json`.
//!
//! Names and nesting of the first ten keys of [`Report`] are a contract that scripts depend on. Whatever else the page
//! shows comes after them and is left out where there is nothing to say. JSON has no NaN and no infinity: such numbers
//! are written as `null`.

mod verdict;

pub use verdict::{Check, Equality, Pace, Quality, Speed, TimeRatio, Verdict};

use serde::{Deserialize, Serialize};
use spectral_core::{Choice, EpochRecord, Proof, Table};
use spectral_sparse::TrainedLayer;
use std::collections::BTreeMap;

/// The version of the `report.json` layout that this crate writes.
pub const SCHEMA: u32 = 1;

/// Everything a run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the recipe.
    pub recipe: String,
    /// Seed of the run.
    pub seed: u64,
    /// The data.
    pub dataset: Dataset,
    /// Where it ran.
    pub machine: Machine,
    /// `dense`, `pruned`, `finetuned`, `compact`, `sparse`, in this order.
    pub stages: Vec<Stage>,
    /// Layers of the last stage, with the kernels chosen for them.
    pub layers: Vec<LayerRow>,
    /// Whether the result is smaller, faster, equal and as good.
    pub verdict: Verdict,
    /// The comparisons behind [`Verdict::equal`].
    pub proof: Vec<Proof>,
    /// Pruning steps, oldest first.
    pub pruning: Vec<PruneStep>,
    /// What deserves a second look although the run went on: layers all but cut through, lost accuracy, classes without
    /// a test sample. One sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Strategies that ran before the pruning steps, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<StrategyStep>,
    /// What strategies and trackers measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Training phases, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// Eigenvalues of the spectral layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spectra: Vec<Spectrum>,
    /// Weight histograms of the layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<WeightHistogram>,
    /// Accuracy against share pruned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<SweepPoint>,
    /// How the tensors of each artefact are stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileTable>,
    /// The resolved recipe, as TOML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_text: Option<String>,
    /// Wall-clock seconds of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// The data a run trained and tested on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Registry name or path.
    pub name: String,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
}

/// The machine that latencies were measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Threads used.
    pub threads: usize,
    /// Vector instructions used, for example `avx512`, or what else the backend says about itself.
    pub simd: String,
    /// The backend that ran everything.
    #[serde(default)]
    pub backend: String,
    /// Why it was not a better one, where `auto` had to do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// The model at one point of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `dense`, `pruned`, `finetuned`, `compact` or `sparse`.
    pub name: String,
    /// Share of test samples classified correctly, 0 to 1; `null` where the targets are values.
    pub accuracy: Option<f64>,
    /// Mean test loss.
    pub loss: f64,
    /// Stored parameters, pruned ones included.
    pub parameters: usize,
    /// Parameters that are not pruned.
    pub nonzeros: usize,
    /// Living units: inputs, each hidden layer, outputs.
    pub units: Vec<usize>,
    /// Floating-point operations of one forward pass of one sample.
    pub flops_per_sample: u64,
    /// Bytes of the model file.
    pub file_bytes: u64,
    /// Microseconds a forward pass takes, by batch size.
    pub latency_us: BTreeMap<usize, Latency>,
}

/// Microseconds of one forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// A layer and how it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Node name.
    pub name: String,
    /// Registry name of the layer kind.
    pub kind: String,
    /// Shape of its weights, `[out, in]`.
    pub shape: Vec<usize>,
    /// Weights that are not pruned.
    pub nonzeros: usize,
    /// The kernel for each batch class, and why.
    pub plan: BTreeMap<usize, Choice>,
}

/// One pruning step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneStep {
    /// From 1.
    pub step: usize,
    /// Registry name of the criterion.
    pub criterion: String,
    /// `weight` or `unit`.
    pub granularity: String,
    /// `global` or `layer`.
    pub scope: String,
    /// Weights or units removed by this step.
    pub removed: usize,
    /// Weights or units left after it.
    pub kept: usize,
    /// Content hash of the model it was applied to.
    pub parent: String,
}

/// One strategy that ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyStep {
    /// From 1.
    pub step: usize,
    /// Registry name.
    pub name: String,
    /// What it did, in a sentence.
    pub summary: String,
    /// Content hash of the model it was applied to.
    pub parent: String,
}

/// One training phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// `train`, `finetune` or whatever the recipe calls it.
    pub phase: String,
    /// One record an epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose parameters were kept, if the best one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<usize>,
    /// How the layers with masked matrices were trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<TrainedLayer>,
}

/// Eigenvalues of one spectral layer, one for each of its units in the original network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Node name.
    pub layer: String,
    /// Before pruning.
    pub before: Vec<f64>,
    /// After pruning and fine-tuning; same units in the same order, zero where the unit is gone.
    pub after: Vec<f64>,
    /// Indices of the units that are gone.
    pub removed: Vec<usize>,
}

/// How the weights of one layer are distributed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightHistogram {
    /// Node name.
    pub layer: String,
    /// Bin edges, ascending, one more than there are bins. A bin holds its lower edge, the last one both.
    pub edges: Vec<f64>,
    /// Weights in each bin before pruning.
    pub before: Vec<u64>,
    /// Weights in each bin after pruning and fine-tuning, without pruned ones.
    pub after: Vec<u64>,
}

/// The model at one share pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Share of units or weights removed, 0 to 1.
    pub amount: f64,
    /// Test accuracy right after pruning.
    pub accuracy_pruned: f64,
    /// Test accuracy after fine-tuning, where that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_finetuned: Option<f64>,
}

/// How one artefact is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTable {
    /// File name.
    pub file: String,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Its tensors.
    pub tensors: Vec<TensorRow>,
}

/// How one tensor is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRow {
    /// Parameter name.
    pub name: String,
    /// `dense`, `bitmask`, `csr-u16`, ...
    pub encoding: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes it would take dense.
    pub dense_bytes: u64,
}

impl Report {
    /// A report with no results yet.
    pub fn new(recipe: impl Into<String>, seed: u64, dataset: Dataset, machine: Machine) -> Self {
        Self {
            schema: SCHEMA,
            recipe: recipe.into(),
            seed,
            dataset,
            machine,
            stages: Vec::new(),
            layers: Vec::new(),
            verdict: Verdict::default(),
            proof: Vec::new(),
            pruning: Vec::new(),
            warnings: Vec::new(),
            strategies: Vec::new(),
            tables: Vec::new(),
            curves: Vec::new(),
            spectra: Vec::new(),
            weights: Vec::new(),
            sweep: Vec::new(),
            files: Vec::new(),
            recipe_text: None,
            seconds: None,
        }
    }

    /// The content of `report.json`: indented, keys in the order of the fields, a newline at the end. Equal reports
    /// give equal bytes.
    ///
    /// # Errors
    /// None that these types can cause; passed on from the writer.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }

    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|s| s.name == name)
    }
}

impl LayerRow {
    /// Entries of its weights, pruned ones included; the largest number there is for shapes that make no sense.
    pub fn weights(&self) -> usize {
        self.shape.iter().fold(1, |all: usize, n| all.saturating_mul(*n))
    }
}

impl WeightHistogram {
    /// Bins that [`WeightHistogram::of`] uses.
    pub const BINS: usize = 48;

    /// Counts finite weights in equal bins over the range of both sets. `after` is without pruned weights, else they
    /// would all sit at zero.
    pub fn of(layer: impl Into<String>, before: &[f64], after: &[f64]) -> Self {
        let all = || before.iter().chain(after).copied().filter(|w| w.is_finite());
        let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), w| (l.min(w), h.max(w)));
        let (low, high) = match () {
            () if low > high => (-1.0, 1.0),
            () if low == high => (low - 0.5, high + 0.5),
            () => (low, high),
        };
        let width = (high - low) / Self::BINS as f64;
        let count = |weights: &[f64]| {
            let mut bins = vec![0; Self::BINS];
            for w in weights.iter().filter(|w| w.is_finite()) {
                bins[(((w - low) / width) as usize).min(Self::BINS - 1)] += 1;
            }
            bins
        };
        let edges = (0..=Self::BINS).map(|i| if i == Self::BINS { high } else { low + width * i as f64 }).collect();
        Self { layer: layer.into(), edges, before: count(before), after: count(after) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use serde_json::Value;
    use std::collections::BTreeSet;

    const CONTRACT: &str = r#"{"schema":1,"recipe":"digits","seed":7,"dataset":{"name":"digits","train":1437,"test":360},
        "machine":{"cpu":"...","threads":2,"simd":"avx512"},
        "stages":[{"name":"dense","accuracy":0.97,"loss":0.1,
                   "parameters":0,"nonzeros":0,"units":[64,300,100,10],"flops_per_sample":0,"file_bytes":0,
                   "latency_us":{"1":{"p50":0.0,"p95":0.0},"128":{"p50":0.0,"p95":0.0}}}],
        "layers":[{"name":"...","kind":"...","shape":[0,0],"nonzeros":0,
                   "plan":{"1":{"kernel":"csr","reason":"..."},"128":{"kernel":"dense","reason":"..."}}}],
        "verdict":{"smaller":{"ok":true,"ratio":0.1},"faster":{"ok":true,"ratio":0.2},"equal":{"ok":true},
                   "as_good":{"ok":true,"drop":0.005,"limit":0.02}},
        "proof":[{"a":"finetuned","b":"compact","inputs":1360,"max_abs_diff":0.0,"max_rel_diff":0.0,"labels_differ":0,
                  "tolerance":1e-5,"equal":true}],
        "pruning":[{"step":1,"criterion":"eigenvalue","granularity":"unit","scope":"global","removed":0,"kept":0,
                    "parent":"hash"}]}"#;

    /// Keys beyond the contract, as path prefixes.
    const EXTRA: [&str; 18] = [
        "machine.backend",
        "warnings",
        "strategies",
        "tables",
        "curves",
        "spectra",
        "weights",
        "sweep",
        "files",
        "recipe_text",
        "seconds",
        "proof[].worst_input",
        "verdict.smaller.stage",
        "verdict.faster.batches",
        "verdict.as_good.metric",
        "verdict.as_good.before",
        "verdict.as_good.after",
        "verdict.as_good.interval",
    ];

    /// Every leaf as `path:type`, array items merged.
    fn leaves(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, v)| {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(v, &format!("{path}{dot}{key}"), into);
            }),
            Value::Array(items) => items.iter().for_each(|v| leaves(v, &format!("{path}[]"), into)),
            Value::Null => drop(into.insert(format!("{path}:null"))),
            Value::Bool(_) => drop(into.insert(format!("{path}:bool"))),
            Value::Number(_) => drop(into.insert(format!("{path}:number"))),
            Value::String(_) => drop(into.insert(format!("{path}:string"))),
        }
    }

    fn paths(json: &str) -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        leaves(&serde_json::from_str(json).unwrap(), "", &mut set);
        set
    }

    #[test]
    fn keys_are_exactly_the_contract_and_the_listed_extras() {
        let contract = paths(CONTRACT);
        let (extra, ours): (BTreeSet<_>, BTreeSet<_>) = paths(&example::digits().to_json().unwrap())
            .into_iter()
            .partition(|path| EXTRA.iter().any(|extra| path.starts_with(extra)));
        assert_eq!(ours, contract);
        for key in EXTRA {
            assert!(extra.iter().any(|path| path.starts_with(key)), "the example has no `{key}`");
        }
    }

    #[test]
    fn contract_keys_come_first_and_in_order() {
        let keys = |json: &str| -> Vec<usize> {
            let at = |key| json.find(&format!("\"{key}\":")).unwrap_or(usize::MAX);
            "schema recipe seed dataset machine stages layers verdict proof pruning curves".split(' ').map(at).collect()
        };
        let order = keys(&example::digits().to_json().unwrap());
        assert!(order.is_sorted() && order.iter().all(|&at| at != usize::MAX), "{order:?}");
    }

    #[test]
    fn round_trips_and_is_deterministic() {
        let report = example::digits();
        let json = report.to_json().unwrap();
        assert!(json == example::digits().to_json().unwrap(), "two reports of the same values differ");
        let back: Report = serde_json::from_str(&json).unwrap();
        // The reader of JSON may be off by the last bit of a number, so numbers are not compared.
        assert_eq!((&back.layers, &back.pruning, &back.files), (&report.layers, &report.pruning, &report.files));
        assert_eq!(back.stages.len(), report.stages.len());
        assert_eq!((&back.recipe_text, back.curves.len()), (&report.recipe_text, report.curves.len()));
    }

    #[test]
    fn extras_without_content_are_left_out() {
        let report = Report::new("r", 1, Dataset::default(), Machine::default());
        let json: Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 10);
        assert_eq!(json["schema"], 1);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn histograms_count_every_finite_weight_once() {
        let h = WeightHistogram::of("l", &[-1.0, 0.0, 1.0, f64::NAN], &[1.0, 0.5]);
        assert_eq!((h.edges.len(), h.edges[0], h.edges[WeightHistogram::BINS]), (WeightHistogram::BINS + 1, -1.0, 1.0));
        assert_eq!((h.before.iter().sum::<u64>(), h.after.iter().sum::<u64>()), (3, 2));
        assert_eq!((h.before[0], h.before[WeightHistogram::BINS / 2], h.before[WeightHistogram::BINS - 1]), (1, 1, 1));
        for same in [&[2.0, 2.0][..], &[]] {
            let h = WeightHistogram::of("l", same, &[]);
            assert!(h.edges.is_sorted() && h.before.iter().sum::<u64>() == same.len() as u64, "{h:?}");
        }
    }
}
