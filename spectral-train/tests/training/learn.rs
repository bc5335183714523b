//! That training learns, and that it is the computation it claims to be.

use crate::support::{bits, blobs, lines, network, small, values};
use ndarray::Axis;
use spectral_core::{DType, Evaluate, Penalty, Progress, Reference, Role, Samples, Seed, Train, Trainable};
use spectral_cpu::Cpu;
use spectral_data::DataOptions;
use spectral_layers::prelude::*;
use spectral_layers::{Dense, Network};
use spectral_train::{Adam, Cosine, Evaluator, Loss, Sgd, TrainConfig, Trainer, Warmup};

#[test]
fn digits_are_learnt() {
    let digits = spectral_data::load("digits", &DataOptions::default()).unwrap();
    let cpu = Cpu::new().unwrap();
    let mut model = Network::new(64).spectral(40, Relu).dense(10, Identity).build(&cpu, Seed(7)).unwrap();
    let trainer = Trainer::new(Adam { rate: 5e-3, ..Adam::default() }).epochs(12).batch(50).seed(Seed(1));
    let history = trainer.fit(&mut model, &digits.train).unwrap();
    let test = Evaluator::default().evaluate(&model, &digits.test).unwrap();
    assert!(test.accuracy.unwrap() > 0.93, "{test:?}");
    assert_eq!((history.epochs.len(), test.samples), (12, digits.test.len()));
    assert!(history.epochs[11].train.loss < 0.3 * history.epochs[0].train.loss);
}

#[test]
fn gradient_descent_on_a_linear_map_is_the_textbook_loop() {
    let data = lines(10, 1);
    let (batch, rate, epochs, seed) = (4, 0.1, 3, Seed(9));
    let layer = Dense { bias: false, ..Dense::new(2, Identity) };
    let mut model = Network::new(3).layer(layer).dtype(DType::F64).build(&Reference, Seed(2)).unwrap();
    let mut w = values(&model)[0].clone();
    let trainer = Trainer::new(Sgd { rate }).loss(Loss::MeanSquaredError).epochs(epochs).batch(batch).seed(seed);
    trainer.fit(&mut model, &data).unwrap();
    let spectral_core::Targets::Values(targets) = data.targets() else { panic!() };
    for epoch in 0..epochs {
        for rows in data.epoch_order(seed, epoch as u64).chunks(batch) {
            let mut gradient = [0.0; 6];
            for &row in rows {
                let x: Vec<f64> = data.inputs().index_axis(Axis(0), row).iter().map(|&v| f64::from(v)).collect();
                for o in 0..2 {
                    let y: f64 = (0..3).map(|i| w[o * 3 + i] * x[i]).sum();
                    let residual = y - f64::from(targets[[row, o]]);
                    // d/dy of the mean over 2 outputs, averaged over the samples this batch really has.
                    (0..3).for_each(|i| gradient[o * 3 + i] += 2.0 * residual / 2.0 * x[i] / rows.len() as f64);
                }
            }
            w.iter_mut().zip(gradient).for_each(|(w, g)| *w -= rate * g);
        }
    }
    for (got, want) in values(&model)[0].iter().zip(&w) {
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
}

#[test]
fn metrics_are_averages_over_samples_not_batches() {
    let data = blobs(10, 3, 1);
    for dtype in [DType::F32, DType::F64] {
        let mut model = small(3, dtype);
        let before = bits(&model);
        let history = Trainer::new(Sgd { rate: 0.0 }).epochs(1).batch(4).fit(&mut model, &data).unwrap();
        assert_eq!(bits(&model), before);
        for batch in [1, 3, 10, 100] {
            let measured = Evaluator::default().batch(batch).evaluate(&model, &data).unwrap();
            let trained = history.epochs[0].train;
            assert!((measured.loss - trained.loss).abs() < 1e-6, "{measured:?} {trained:?}");
            assert_eq!((measured.accuracy, measured.samples), (trained.accuracy, 10));
        }
    }
}

/// Sparana A5, A6, A15: whatever the batch, and with the softmax in the network or not.
#[test]
fn logits_agree_with_the_accuracy_and_pass_over_a_final_softmax() {
    let data = blobs(53, 3, 2);
    let plain = network(3).build(&Reference, Seed(3)).unwrap();
    let softmax = network(3).softmax().build(&Reference, Seed(3)).unwrap();
    let accuracy = Evaluator::default().evaluate(&plain, &data).unwrap().accuracy.unwrap();
    let logits = Evaluator::default().logits(&plain, &data).unwrap();
    assert_eq!(logits.top_k_accuracy(&data, 1).unwrap(), accuracy);
    for loss in [Loss::CrossEntropy, Loss::MeanSquaredError] {
        assert_eq!(Evaluator::new(loss).batch(10).logits(&softmax, &data).unwrap(), logits);
    }
    let inputs = data.inputs().to_owned();
    let mut session = spectral_core::Session::new(&softmax, &Default::default()).unwrap();
    let outputs = session.run(inputs.view()).unwrap();
    let difference = |(a, b): (&f64, &f32)| (a - f64::from(*b)).abs();
    assert!(logits.probabilities().iter().zip(&outputs).map(difference).fold(0.0, f64::max) < 1e-6);
    for (ratio, row) in logits.top_two_ratio().unwrap().iter().zip(outputs.rows()) {
        let mut row: Vec<f64> = row.iter().map(|p| f64::from(*p)).collect();
        row.sort_by(f64::total_cmp);
        assert!((ratio / (row[2] / row[1]) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_final_softmax_changes_nothing_but_the_output() {
    let data = blobs(60, 3, 1);
    let mut plain = network(3).build(&Reference, Seed(3)).unwrap();
    let mut softmax = network(3).softmax().build(&Reference, Seed(3)).unwrap();
    assert_eq!(Loss::CrossEntropy.node(&softmax).unwrap(), 2);
    assert_eq!(Loss::MeanSquaredError.node(&softmax).unwrap(), 3);
    let trainer = Trainer::new(Adam::default()).epochs(3).batch(16).seed(Seed(4));
    let a = trainer.fit(&mut plain, &data).unwrap();
    let b = trainer.fit(&mut softmax, &data).unwrap();
    assert_eq!(bits(&plain), bits(&softmax));
    assert_eq!(a.epochs[2].train, b.epochs[2].train);
    let evaluator = Evaluator::new(Loss::CrossEntropy);
    assert_eq!(evaluator.evaluate(&plain, &data).unwrap(), evaluator.evaluate(&softmax, &data).unwrap());
}

#[test]
fn penalties_per_role_act_like_those_of_layers_and_count_frozen_tensors() {
    let data = blobs(40, 3, 1);
    let trainer = Trainer::new(Sgd { rate: 0.05 }).epochs(2).batch(10);
    let (mut by_role, mut by_param) = (small(3, DType::F64), small(3, DType::F64));
    let l2 = Penalty { l1: 0.01, l2: 0.1 };
    for id in ["spectral1.basis", "dense1.weight", "dense2.weight"].map(|n| by_param.params().by_name(n).unwrap()) {
        by_param.params_mut().0.set_penalty(id, l2);
    }
    let frozen = by_param.params().by_name("dense2.weight").unwrap();
    for model in [&mut by_role, &mut by_param] {
        model.params_mut().0.set_trainable(frozen, Trainable::None).unwrap();
    }
    let a = trainer.clone().penalty(Role::Basis, l2).penalty(Role::Weight, l2).fit(&mut by_role, &data).unwrap();
    let b = trainer.fit(&mut by_param, &data).unwrap();
    assert_eq!(bits(&by_role), bits(&by_param));
    let all = values(&by_param);
    let matrices = by_param.params().iter().zip(&all).filter(|((_, p), _)| p.role.is_matrix()).flat_map(|(_, v)| v);
    let expected: f64 = matrices.map(|w| 0.01 * w.abs() + 0.1 * w * w).sum();
    assert!((a.epochs[1].penalty / expected - 1.0).abs() < 1e-12);
    assert_eq!(a.epochs[1].penalty, b.epochs[1].penalty);
    assert!(all[frozen.index()].iter().any(|w| *w != 0.0));
}

#[test]
fn clipping_limits_the_step_to_the_norm() {
    let data = blobs(40, 3, 1);
    let step = |clip: Option<f64>| {
        let mut model = small(3, DType::F64);
        let before = values(&model).concat();
        let trainer = Trainer::new(Sgd { rate: 1.0 }).batch(40);
        let trainer = clip.map_or(trainer.clone(), |norm| trainer.clip_norm(norm));
        trainer.fit(&mut model, &data).unwrap();
        values(&model).concat().iter().zip(before).map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let free = step(None);
    let clipped = step(Some(0.01));
    assert!(norm(&free) > 0.01 && (norm(&clipped) / 0.01 - 1.0).abs() < 1e-9, "{} {}", norm(&free), norm(&clipped));
    let factor = 0.01 / norm(&free);
    assert!(free.iter().zip(&clipped).all(|(f, c)| (f * factor - c).abs() < 1e-12));
    assert_eq!(step(Some(1e6)), free);
}

#[test]
fn rates_follow_schedule_and_warm_up() {
    let data = blobs(40, 2, 1);
    let trainer = Trainer::new(Sgd { rate: 0.2 }).schedule(Cosine::default()).warmup(Warmup::Epochs(1)).epochs(3);
    let history = trainer.clone().batch(10).fit(&mut small(2, DType::F32), &data).unwrap();
    let rates: Vec<f64> = history.epochs.iter().map(|e| e.rate).collect();
    let cosine = |done: f64| 0.2 * (1.0 + (std::f64::consts::PI * done / 8.0).cos()) / 2.0;
    for (got, want) in rates.iter().zip([0.2, cosine(3.0), cosine(7.0)]) {
        assert!((got - want).abs() < 1e-15, "{rates:?}");
    }
    assert_eq!(trainer.rate(&Progress { step: 0, steps: 12, epoch: 0, epochs: 3 }), 0.05);
}

#[test]
fn bits_depend_on_the_seed_alone() {
    let data = blobs(130, 4, 1);
    let train = |threads: usize, seed: u64| {
        let cpu = Cpu::with_threads(threads).unwrap();
        let net = Network::new(4).spectral(70, Relu).dropout(0.3).dense(33, Tanh).dense(4, Identity);
        let mut model = net.build(&cpu, Seed(3)).unwrap();
        let trainer = Trainer::new(Adam::default()).epochs(3).batch(50).clip_norm(0.5).validation(0.2);
        let history = trainer.seed(Seed(seed)).fit(&mut model, &data).unwrap();
        let losses: Vec<_> = history.epochs.iter().map(|e| (e.train, e.validation, e.penalty)).collect();
        (bits(&model), losses)
    };
    let one = train(1, 5);
    for threads in [1, 2, 8] {
        assert!(train(threads, 5) == one, "{threads} threads");
    }
    assert!(train(1, 6) != one);
}

#[test]
fn a_recipe_table_trains_like_the_builder() {
    let config: TrainConfig = toml::from_str(
        r#"
        epochs = 2
        batch = 16
        optimizer = { name = "adam", rate = 0.01 }
        schedule = { name = "cosine", floor = 0.1 }
        warmup = { epochs = 1 }
        penalty = { basis = { l2 = 1e-4 } }
        "#,
    )
    .unwrap();
    let built = Trainer::new(Adam { rate: 0.01, ..Adam::default() })
        .epochs(2)
        .batch(16)
        .schedule(Cosine { floor: 0.1 })
        .warmup(Warmup::Epochs(1))
        .penalty(Role::Basis, Penalty { l1: 0.0, l2: 1e-4 })
        .seed(Seed(8));
    let data = blobs(50, 3, 1);
    let (mut a, mut b) = (small(3, DType::F32), small(3, DType::F32));
    config.build(Seed(8)).unwrap().train(&mut a, &data, &mut []).unwrap();
    built.fit(&mut b, &data).unwrap();
    assert_eq!(bits(&a), bits(&b));
    assert_eq!(toml::from_str::<TrainConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn data_of_another_size_is_refused_with_both_sizes() {
    let wide = Network::new(5).dense(3, Identity).build(&Reference, Seed(1)).unwrap();
    let few = small(2, DType::F32);
    let data = blobs(20, 3, 1);
    for (mut model, words) in [(wide, ["4 features", "the model 5"]), (few, ["3 outputs", "the model 2"])] {
        let fit = Trainer::new(Sgd::default()).fit(&mut model, &data).unwrap_err().to_string();
        let evaluate = Evaluator::default().evaluate(&model, &data).unwrap_err().to_string();
        for word in words {
            assert!(fit.contains(word) && evaluate.contains(word), "{fit} / {evaluate}");
        }
    }
}

#[test]
fn a_batch_of_none_is_refused() {
    let data: Samples = blobs(20, 2, 1);
    let error = Trainer::new(Sgd::default()).batch(0).fit(&mut small(2, DType::F32), &data).unwrap_err();
    assert!(error.to_string().contains("`batch` is 0"), "{error}");
    assert!(Evaluator::default().batch(0).evaluate(&small(2, DType::F32), &data).is_err());
}

/// Losses and metrics follow the kind of target: values have no classes that could be right.
#[test]
fn values_are_measured_by_their_error_and_have_no_accuracy() {
    let data = lines(40, 1);
    let mut model = Network::new(3).dense(2, Identity).build(&Reference, Seed(2)).unwrap();
    let history = Trainer::new(Sgd { rate: 0.2 }).epochs(30).batch(10).validation(0.25).fit(&mut model, &data).unwrap();
    let chosen = Evaluator::default().evaluate(&model, &data).unwrap();
    assert_eq!(chosen, Evaluator::new(Loss::MeanSquaredError).evaluate(&model, &data).unwrap());
    assert!(chosen.loss > 0.005 && chosen.loss < 0.05, "{chosen:?}");
    let validated = history.epochs[29].validation.unwrap();
    assert_eq!([chosen.accuracy, history.epochs[29].train.accuracy, validated.accuracy], [None; 3]);
    assert_eq!(chosen.to_string(), format!("loss {:.4}", chosen.loss));

    let trainer = Trainer::new(Sgd { rate: 0.2 }).loss(Loss::CrossEntropy);
    let evaluator = Evaluator::new(Loss::CrossEntropy);
    for error in [trainer.fit(&mut model, &data).map(drop), evaluator.run(&model, &data).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the targets of `lines` are values; take `mse`"), "{error}");
    }
}

/// Comparisons with NaN are false, so that every sample would count as one of the first class.
#[test]
fn a_model_of_nan_has_no_accuracy_either() {
    let data = blobs(10, 2, 1);
    let mut model = small(2, DType::F32);
    let id = model.params().iter().map(|(id, _)| id).last().unwrap();
    let (params, backend) = model.params_mut();
    params.edit(backend, id, |t| backend.fill(f64::NAN, t)).unwrap();
    let metrics = Evaluator::default().evaluate(&model, &data).unwrap();
    assert!(metrics.loss.is_nan() && metrics.accuracy.unwrap().is_nan(), "{metrics:?}");
}
