//! What the report shows besides stages: spectra, histograms, the sweep, layers, files.

use crate::recipe::Recipe;
use crate::report::{FileTable, LayerRow, PruneStep, Spectrum, SweepPoint, TensorRow, WeightHistogram};
use crate::{Result, stage};
use spectral_core::{BATCH_CLASSES, Choice, Kernel, Model, Role, Samples, Seed, Word};
use spectral_io::FileReport;
use spectral_prune::{Granularity, Prune, PruneConfig, PruneReport, Schedule};

/// Test accuracy of the dense model pruned by each share of the recipe's sweep, without any training after.
pub(super) fn sweep(recipe: &Recipe, dense: &Model, (train, test): (&Samples, &Samples)) -> Result<Vec<SweepPoint>> {
    // Patterns know one share only.
    let swept =
        |c: &&PruneConfig| !recipe.report.sweep.is_empty() && !matches!(c.granularity, Granularity::NOfM { .. });
    let Some(config) = recipe.prune.first().filter(swept) else { return Ok(Vec::new()) };
    // The curve is one of accuracy, which values have none of.
    let Some(accuracy) = stage::evaluate(dense, test)?.accuracy else { return Ok(Vec::new()) };
    let mut points = vec![SweepPoint { amount: 0.0, accuracy_pruned: accuracy, accuracy_finetuned: None }];
    for &amount in &recipe.report.sweep {
        let budget = PruneConfig {
            schedule: Schedule::OneShot,
            count: None,
            threshold: None,
            percentile: None,
            amounts: Default::default(),
            ..config.clone()
        };
        let prune = Prune::from_config(budget).amount(amount).seed(Seed(recipe.seed));
        let mut model = dense.duplicate()?;
        match prune.apply(&mut model, train) {
            Ok(_) => {
                let accuracy = stage::evaluate(&model, test)?.accuracy;
                points.extend(accuracy.map(|accuracy_pruned| SweepPoint {
                    amount,
                    accuracy_pruned,
                    accuracy_finetuned: None,
                }));
            }
            // A share that cannot be reached is not a point of the curve.
            Err(spectral_prune::Error::Infeasible { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(points)
}

/// One pruning step in the words of the report.
pub(super) fn pruning_row(step: usize, done: &PruneReport) -> PruneStep {
    PruneStep {
        step,
        criterion: done.criterion.clone(),
        granularity: done.granularity.to_string(),
        scope: done.scope.name().into(),
        removed: done.removed,
        kept: done.kept,
        parent: done.parent.to_string(),
    }
}

/// Output eigenvalues of every spectral layer, before and after. Layers that a strategy took away are left out.
pub(super) fn spectra(before: &Model, after: &Model) -> Result<Vec<Spectrum>> {
    let mut spectra = Vec::new();
    for (_, param) in before.params().iter().filter(|(_, p)| p.role == Role::EigenvalueOut) {
        let Some(later) = after.params().by_name(&param.name).map(|id| after.params().get(id)) else { continue };
        let layer = param.name.split('.').next().unwrap_or_default();
        let old = before.backend().download(param.value())?;
        let mut removed = vec![true; old.len()];
        let mut new = vec![0.0; old.len()];
        // A layer that was cut says which of the original units are left.
        for (unit, value) in after.backend().download(later.value())?.into_iter().enumerate() {
            let place = after.meta.origin(layer, unit);
            let gone = later.pruned().is_some_and(|m| m.contains(unit));
            if let (Some(new), Some(removed)) = (new.get_mut(place), removed.get_mut(place)) {
                (*new, *removed) = (value, gone);
            }
        }
        let removed = (0..old.len()).filter(|&u| removed[u]).collect();
        spectra.push(Spectrum { layer: layer.into(), before: old, after: new, removed });
    }
    Ok(spectra)
}

/// Histograms of the weights that layers multiply with, before and after. Layers that a strategy took away are left
/// out.
pub(super) fn weights(before: &Model, after: &Model) -> Result<Vec<WeightHistogram>> {
    let mut histograms = Vec::new();
    for (i, node) in before.graph().nodes().iter().enumerate() {
        let Some(later) = after.graph().find(&node.name) else { continue };
        let (Some(old), Some(new)) = (weights_of(before, i)?, weights_of(after, later)?) else { continue };
        let new: Vec<f64> = new.into_iter().filter(|w| *w != 0.0).collect();
        histograms.push(WeightHistogram::of(&node.name, &old, &new));
    }
    Ok(histograms)
}

/// The matrix that a node multiplies with, if it does.
fn weights_of(model: &Model, node: usize) -> Result<Option<Vec<f64>>> {
    let Word::Affine(affine) = model.graph().nodes()[node].layer.op().word else { return Ok(None) };
    Ok(Some(model.operands(node)?.matrix(affine.weight)?.to_dense(&**model.backend())?))
}

/// The weighted layers of a model with the kernel that runs each and why.
pub(super) fn layers(model: &Model) -> Result<Vec<LayerRow>> {
    let plan = model.meta.plan.clone().unwrap_or_default();
    let mut rows = Vec::new();
    for (i, node) in model.graph().nodes().iter().enumerate() {
        let Word::Affine(affine) = node.layer.op().word else { continue };
        let operands = model.operands(i)?;
        let matrix = operands.matrix(affine.weight)?;
        let weights = model.backend().download(matrix.values())?;
        let stored = if matrix.is_stored() { Kernel::Csr } else { Kernel::Dense };
        let unplanned = || Choice { kernel: stored, reason: "as stored; not measured".into() };
        let chosen = |class: usize| (class, plan.choice(&node.name, class).cloned().unwrap_or_else(unplanned));
        rows.push(LayerRow {
            name: node.name.clone(),
            kind: node.layer.kind().into(),
            shape: vec![matrix.rows(), matrix.columns()],
            nonzeros: weights.iter().filter(|w| **w != 0.0).count(),
            plan: BATCH_CLASSES.iter().map(|&c| chosen(c)).collect(),
        });
    }
    Ok(rows)
}

/// How an artefact's tensors are stored.
pub(super) fn file_table(name: &str, file: &FileReport) -> FileTable {
    let tensors = file.tensors.iter().map(|t| TensorRow {
        name: t.name.clone(),
        encoding: t.encoding.to_string(),
        bytes: t.bytes,
        dense_bytes: t.dense_bytes,
    });
    FileTable { file: format!("{name}.spectral"), bytes: file.bytes, tensors: tensors.collect() }
}
