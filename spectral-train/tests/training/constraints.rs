//! Constraints, running averages and penalties on outputs in whole training runs.

use ndarray::Array2;
use spectral_core::registry::all;
use spectral_core::{Constraint, DType, Mask, Model, Penalty, Reference, Role, Samples, Seed, Targets, Trainable};
use spectral_layers::{BatchNorm, Dense, Factors, Network, Spectral, WeightConstraints};
use spectral_train::{OptimizerEntry, Sgd, Trainer};

fn samples() -> Samples {
    let mut stream = Seed(5).stream("samples", 0);
    let inputs = Array2::from_shape_fn((32, 4), |(_, f)| (stream.normal() * (f + 1) as f64 + 2.0) as f32);
    let labels = (0..32).map(|i| i % 3).collect();
    Samples::new("random", inputs, Targets::Classes { labels, classes: 3 }).unwrap()
}

fn values(model: &Model, name: &str) -> Vec<f64> {
    let id = model.params().by_name(name).unwrap();
    model.backend().download(model.params().get(id).value()).unwrap()
}

fn descent(rate: f64) -> Sgd {
    Sgd { rate }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// spectraltools A1: constraints by role, with every optimiser; pruned and frozen entries win.
#[test]
fn constraints_hold_after_training_with_every_optimiser() {
    for entry in all::<OptimizerEntry>().unwrap().into_iter().filter(|e| e.name != "careless") {
        let constraints = Factors {
            basis: Constraint::MaxNorm { max: 0.5 },
            bias: Constraint::NonNeg,
            ..Factors::<Constraint>::default().with_eigenvalues(Constraint::UnitNorm)
        };
        let layer = Spectral { constraints, ..Spectral::new(6, spectral_core::Activation::Tanh) };
        let weight = Constraint::MinMaxNorm { min: 0.7, max: 0.9, rate: 1.0 };
        let head = Dense {
            constraints: WeightConstraints { weight, ..WeightConstraints::default() },
            ..Dense::new(3, spectral_core::Activation::Identity)
        };
        let network = Network::new(4).dtype(DType::F64).layer(layer).layer(head);
        let mut model = network.build(&Reference, Seed(2)).unwrap();
        let basis = model.params().by_name("spectral1.basis").unwrap();
        let bias = model.params().by_name("spectral1.bias").unwrap();
        let (params, backend) = model.params_mut();
        params.prune(backend, basis, &Mask::from_fn(24, |i| i % 4 == 1)).unwrap();
        params.edit(backend, bias, |t| backend.fill(-3.0, t)).unwrap();
        params.set_trainable(bias, Trainable::Only(Mask::from_fn(6, |i| i != 2))).unwrap();
        let optimizer = (entry.build)(serde_json::json!({})).unwrap();
        Trainer::with_optimizer(optimizer).epochs(2).batch(8).fit(&mut model, &samples()).unwrap();
        let name = entry.name;
        let basis = values(&model, "spectral1.basis");
        assert!(basis.chunks(4).all(|row| norm(row) <= 0.5 + 1e-12), "{name}: {basis:?}");
        assert!(basis.iter().enumerate().all(|(i, v)| i % 4 != 1 || v.to_bits() == 0), "{name}");
        assert!((norm(&values(&model, "spectral1.lambda_out")) - 1.0).abs() < 1e-12, "{name}");
        let weight = values(&model, "dense1.weight");
        assert!(weight.chunks(6).all(|row| (0.7 - 1e-12..=0.9 + 1e-12).contains(&norm(row))), "{name}");
        let bias = values(&model, "spectral1.bias");
        let free = bias.iter().enumerate().filter(|(i, _)| *i != 2);
        assert!(bias[2] == -3.0 && free.into_iter().all(|(_, b)| *b >= 0.0), "{name}: {bias:?}");
    }
}

/// One step over all samples makes the averages those of the batch, whatever optimiser, rate, penalty and clipping are.
#[test]
fn running_averages_follow_the_batches_and_nothing_else() {
    let data = samples();
    let layer = BatchNorm { momentum: 0.8, ..BatchNorm::default() };
    let network = Network::new(4).dtype(DType::F64).layer(layer).dense(3, spectral_core::Activation::Identity);
    let mut model = network.build(&Reference, Seed(2)).unwrap();
    let trainer = Trainer::new(descent(0.1)).epochs(1).batch(32).clip_norm(1e-3);
    trainer.penalty(Role::Statistic, Penalty { l1: 1.0, l2: 1.0 }).fit(&mut model, &data).unwrap();
    let mut inputs = vec![0f64; 32 * 4];
    data.gather_inputs(&(0..32).collect::<Vec<_>>(), &mut inputs);
    let (means, variances) = (values(&model, "batch_norm1.mean"), values(&model, "batch_norm1.variance"));
    for f in 0..4 {
        let row = &inputs[f * 32..(f + 1) * 32];
        let mean = row.iter().sum::<f64>() / 32.0;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 32.0;
        assert!((means[f] - mean).abs() < 1e-12, "{} {mean}", means[f]);
        assert!((variances[f] - variance).abs() < 1e-12, "{} {variance}", variances[f]);
    }
    // Frozen, they stay.
    let ids: Vec<_> = model.params().iter().filter(|(_, p)| p.role == Role::Statistic).map(|(id, _)| id).collect();
    for id in ids {
        model.params_mut().0.set_trainable(id, Trainable::None).unwrap();
    }
    Trainer::new(descent(0.1)).epochs(1).batch(8).fit(&mut model, &data).unwrap();
    assert_eq!((values(&model, "batch_norm1.mean"), values(&model, "batch_norm1.variance")), (means, variances));
}

/// spectraltools A1: an activity regulariser shrinks what a layer puts out, and the history counts it.
#[test]
fn penalties_on_outputs_shrink_them() {
    let size = |l2: f64| {
        let output_penalty = Penalty { l1: 0.0, l2 };
        let layer = Dense { output_penalty, ..Dense::new(5, spectral_core::Activation::Identity) };
        let network = Network::new(4).layer(layer).dense(3, spectral_core::Activation::Identity);
        let mut model = network.build(&Reference, Seed(2)).unwrap();
        let history = Trainer::new(descent(0.01)).epochs(10).batch(8).fit(&mut model, &samples()).unwrap();
        (norm(&values(&model, "dense1.weight")), history.epochs[0].penalty)
    };
    let ((free, none), (held, some)) = (size(0.0), size(0.1));
    assert!(held < 0.8 * free, "{held} {free}");
    assert!(none == 0.0 && some > 0.0, "{none} {some}");
}

/// spectraltools A5: a penalty counts a frozen tensor as well, so it is a constant in the loss.
#[test]
fn penalties_count_frozen_parameters() {
    let penalties = Factors { lambda_in: Penalty { l1: 0.0, l2: 2.0 }, ..Factors::<Penalty>::default() };
    let init = Factors { lambda_in: spectral_core::Init::Ones, ..Factors::<spectral_core::Init>::default() };
    let layer = Spectral { penalties, init, ..Spectral::new(3, spectral_core::Activation::Identity) };
    let mut model = Network::new(4).layer(layer).build(&Reference, Seed(2)).unwrap();
    let history = Trainer::new(descent(0.01)).epochs(1).batch(8).fit(&mut model, &samples()).unwrap();
    assert_eq!(history.epochs[0].penalty, 8.0);
    assert_eq!(values(&model, "spectral1.lambda_in"), [1.0; 4]);
}
