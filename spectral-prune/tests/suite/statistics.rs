//! Statistics beyond the built-in means: a criterion that brings its own, and one that reads a Gram matrix.

use crate::support::*;
use spectral_core::{
    Activation::*, DType, InputMean, LayerBatch, Needs, Pruner, Result, Samples, Seed, Statistic, Target, Targets,
    register_pruner,
};
use spectral_layers::Network;
use spectral_prune::Prune;

/// Mean over samples of `|y dL/dy|` of each unit: a statistic that core does not have.
#[derive(Debug)]
struct OutputTimesGradient;

impl Statistic for OutputTimesGradient {
    fn name(&self) -> &'static str {
        "output_times_gradient"
    }

    fn len(&self, rows: usize, _: usize) -> usize {
        rows
    }

    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
        let y = batch.backend.download(batch.output)?;
        let dy = batch.backend.download(batch.gradients()?.output)?;
        let samples = y.len() / sums.len();
        for (k, (y, dy)) in y.iter().zip(&dy).enumerate() {
            sums[k / samples] += (y * dy).abs();
        }
        Ok(())
    }

    fn needs_gradients(&self) -> bool {
        true
    }
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitTaylor {}

impl Pruner for UnitTaylor {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let units = target.statistics.of(&OutputTimesGradient)?;
        scores.chunks_mut(target.columns).zip(units).for_each(|(row, unit)| row.fill(*unit));
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::statistic(OutputTimesGradient).and(InputMean)
    }
}

register_pruner!(UnitTaylor, "unit_taylor", "for this test");

#[test]
fn a_criterion_brings_its_own_statistic() {
    let network = Network::new(4).dense(6, Tanh).dense(3, Identity).dtype(DType::F64);
    let (mut m, data) = (build(&network, 5), samples(300, 4, 3, 1));
    let wanted = {
        // The same with numbers of the host: softmax cross-entropy of the logits.
        let [w1, b1, w2, b2] = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"].map(|n| values(&m, n));
        let mut sums = [0.0; 6];
        for (x, label) in data.inputs().rows().into_iter().zip(data.labels().unwrap()) {
            let unit = |u: usize| (b1[u] + (0..4).map(|i| w1[u * 4 + i] * f64::from(x[i])).sum::<f64>()).tanh();
            let y: Vec<f64> = (0..6).map(unit).collect();
            let logit = |c: usize| b2[c] + (0..6).map(|u| w2[c * 6 + u] * y[u]).sum::<f64>();
            let exp: Vec<f64> = (0..3).map(|c| logit(c).exp()).collect();
            let dz: Vec<f64> =
                (0..3).map(|c| exp[c] / exp.iter().sum::<f64>() - f64::from(u8::from(c == *label as usize))).collect();
            let dy = |u: usize| (0..3).map(|c| w2[c * 6 + u] * dz[c]).sum::<f64>();
            (0..6).for_each(|u| sums[u] += (y[u] * dy(u)).abs() / 300.0);
        }
        let mut order: Vec<usize> = (0..6).collect();
        order.sort_by(|&a, &b| sums[a].total_cmp(&sums[b]));
        let mut least = order[..4].to_vec();
        least.sort_unstable();
        least
    };
    Prune::by("unit_taylor").units().count(4).apply(&mut m, &data).unwrap();
    assert_eq!(dead_units(&m, "dense1"), wanted);
}

/// Inputs that repeat each other replace each other: `obs` sees that, magnitude does not.
#[test]
fn obs_prunes_what_other_inputs_can_make_up_for() {
    let network = Network::new(4).dense(2, Identity).dtype(DType::F64);
    let mut stream = Seed(2).stream("inputs", 0);
    let inputs = ndarray::Array2::from_shape_fn((500, 4), |_| stream.normal() as f32);
    let mut twins = inputs.clone();
    // Inputs 0 and 1 are almost the same; input 3 is small.
    for mut row in twins.rows_mut() {
        row[1] = row[0] + 0.01 * row[1];
        row[3] *= 0.1;
    }
    let data = Samples::new("twins", twins, Targets::Values(ndarray::Array2::zeros((500, 2)))).unwrap();
    let mut m = build(&network, 5);
    set(&mut m, "dense1.weight", &[1.0, 1.1, 0.9, 1.2, 1.1, 1.0, 0.8, 1.3]);
    let parameters = serde_json::json!({ "damping": 1e-6 });
    Prune::by("obs").parameters(parameters).count(4).apply(&mut m, &data).unwrap();
    // Of the twins and the small input: what costs least, (w^2 / 2) / [H^-1]_ii, is about w^2 * 1e-4 / 4 for the twins
    // and w^2 * 1e-2 / 2 for the small one.
    assert_eq!(pruned(&m, "dense1.weight"), [0, 1, 4, 5]);
    let bad = Prune::by("obs").parameters(serde_json::json!({ "damping": 0.0 })).count(1).apply(&mut m, &data);
    assert!(bad.unwrap_err().to_string().contains("`damping` is 0"));
}
