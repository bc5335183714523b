//! Running averages: those of short runs are as good as those of long ones.

use crate::support::blobs;
use spectral_core::{DType, Evaluate, Model, Reference, Samples, Seed};
use spectral_layers::prelude::*;
use spectral_layers::{BatchNorm, Network};
use spectral_train::{Adam, Evaluator, Sgd, Trainer};

fn normalised(momentum: f64) -> Model {
    let layer = BatchNorm { momentum, ..BatchNorm::default() };
    let network = Network::new(4).dtype(DType::F64).layer(layer).dense(3, Identity);
    network.build(&Reference, Seed(2)).unwrap()
}

fn averages(model: &Model) -> [Vec<f64>; 2] {
    ["batch_norm1.mean", "batch_norm1.variance"].map(|name| {
        let id = model.params().by_name(name).unwrap();
        model.backend().download(model.params().get(id).value()).unwrap()
    })
}

/// Mean and variance of every feature over some samples.
fn seen(data: &Samples, rows: &[usize]) -> [Vec<f64>; 2] {
    let n = rows.len() as f64;
    let column = |f: usize| rows.iter().map(move |&r| f64::from(data.inputs()[[r, f]]));
    let means: Vec<f64> = (0..4).map(|f| column(f).sum::<f64>() / n).collect();
    let variances = (0..4).map(|f| column(f).map(|x| (x - means[f]).powi(2)).sum::<f64>() / n).collect();
    [means, variances]
}

fn near(a: &[Vec<f64>; 2], b: &[Vec<f64>; 2]) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-12)
}

#[test]
fn averages_weigh_the_batches_of_a_run_and_nothing_else() {
    let (data, seed, momentum) = (blobs(60, 3, 1), Seed(5), 0.8f64);
    let trainer = Trainer::new(Sgd { rate: 0.0 }).epochs(2).batch(10).seed(seed);
    let order: Vec<usize> = (0..2).flat_map(|epoch| data.epoch_order(seed, epoch)).collect();
    let batches: Vec<[Vec<f64>; 2]> = order.chunks(10).map(|rows| seen(&data, rows)).collect();
    let weight = |k: usize| momentum.powi((batches.len() - 1 - k) as i32);
    let total: f64 = (0..batches.len()).map(weight).sum();
    let mean =
        |which: usize, f: usize| batches.iter().enumerate().map(|(k, b)| weight(k) * b[which][f]).sum::<f64>() / total;
    let expected = [0, 1].map(|which| (0..4).map(|f| mean(which, f)).collect::<Vec<_>>());
    let mut model = normalised(momentum);
    trainer.fit(&mut model, &data).unwrap();
    assert!(near(&averages(&model), &expected), "{:?} {expected:?}", averages(&model));
    // Another run starts from nothing: nothing of the first is left.
    trainer.fit(&mut model, &data).unwrap();
    assert!(near(&averages(&model), &expected));
}

#[test]
fn a_last_batch_of_one_sample_is_left_out() {
    let (data, seed) = (blobs(21, 3, 1), Seed(5));
    let mut model = normalised(0.9);
    Trainer::new(Sgd { rate: 0.0 }).epochs(1).batch(20).seed(seed).fit(&mut model, &data).unwrap();
    assert!(near(&averages(&model), &seen(&data, &data.epoch_order(seed, 0)[..20])));
}

#[test]
fn batches_of_one_sample_are_refused_where_they_have_no_variance() {
    let trainer = Trainer::new(Sgd { rate: 0.01 }).batch(1);
    let error = trainer.fit(&mut normalised(0.9), &blobs(9, 3, 1)).unwrap_err().to_string();
    assert!(error.contains("`batch_norm1`") && error.contains("`batch`"), "{error}");
    // The places of an image are values enough.
    let network = Network::new(4).reshape(&[1, 2, 2]).layer(BatchNorm::default()).flatten().dense(3, Identity);
    trainer.fit(&mut network.build(&Reference, Seed(2)).unwrap(), &blobs(9, 3, 1)).unwrap();
}

/// Sixty steps with the default momentum: averages that are not corrected have half of what they began with.
#[test]
fn a_short_run_is_as_good_at_inference_as_in_training() {
    let data = blobs(120, 3, 4);
    let block = |n: Network| n.dense(32, Identity).batch_norm().activation(Relu);
    let mut model = block(block(Network::new(4))).dense(3, Identity).build(&Reference, Seed(3)).unwrap();
    let trainer = Trainer::new(Adam { rate: 5e-3, ..Adam::default() }).epochs(10).batch(20);
    let history = trainer.fit(&mut model, &data).unwrap();
    let trained = history.epochs.last().unwrap().train;
    let measured = Evaluator::default().evaluate(&model, &data).unwrap();
    assert!(measured.loss < trained.loss + 0.05, "{trained:?} {measured:?}");
}
