//! What a model says about itself, and what stays as it was: rows of the parity list that other tests only touch.

use crate::support::{bits, blobs, network, small, values};
use spectral_core::{DType, Evaluate, Penalty, Reference, Role, Seed, Shape, Source};
use spectral_layers::prelude::*;
use spectral_layers::{Factors, Network, Spectral};
use spectral_train::{Evaluator, Sgd, Trainer};

/// spectraltools A10: every combination of frozen factors trains what it says, and frozen tensors keep their bits.
#[test]
fn every_combination_of_frozen_factors_trains_the_others_alone() {
    let data = blobs(40, 3, 1);
    for combination in 0..8 {
        let [basis, lambda_in, lambda_out] = [0, 1, 2].map(|bit| combination >> bit & 1 == 1);
        let trainable = Factors { basis, lambda_in, lambda_out, bias: false };
        let layer = Spectral { trainable, bias: false, ..Spectral::new(6, Tanh) };
        let mut model = Network::new(4).layer(layer).dense(3, Identity).build(&Reference, Seed(3)).unwrap();
        let ids: Vec<_> = model.graph().nodes()[0].params.clone();
        let before: Vec<_> = ids.iter().map(|&id| values(&model)[id.index()].clone()).collect();
        Trainer::new(Sgd { rate: 0.1 }).epochs(2).batch(10).fit(&mut model, &data).unwrap();
        for (id, before) in ids.into_iter().zip(before) {
            let role = model.params().get(id).role;
            let trains = match role {
                Role::Basis => basis,
                Role::EigenvalueIn => lambda_in,
                Role::EigenvalueOut => lambda_out,
                other => panic!("no bias was asked for, and there is {other:?}"),
            };
            assert_eq!(values(&model)[id.index()] != before, trains, "{role:?} of combination {combination}");
        }
    }
}

/// spectraltools B8: spectral layers are those with a basis, wherever they are.
#[test]
fn spectral_layers_are_found_by_the_roles_of_their_parameters() {
    let network = Network::new(4).dense(5, Relu).spectral(6, Relu).dropout(0.1).spectral(3, Relu).dense(2, Identity);
    let model = network.build(&Reference, Seed(1)).unwrap();
    let is_spectral = |ids: &[spectral_core::ParamId]| ids.iter().any(|&id| model.params().get(id).role == Role::Basis);
    let nodes = model.graph().nodes().iter().enumerate();
    assert_eq!(nodes.filter(|(_, n)| is_spectral(&n.params)).map(|(i, _)| i).collect::<Vec<_>>(), [1, 3]);
}

/// spectraltools C7: penalties on basis and eigenvalues are part of the gradient, `2 l2 w`.
#[test]
fn penalties_on_basis_and_eigenvalues_are_part_of_the_step() {
    let data = blobs(40, 3, 1);
    let step = |penalised: &[(Role, f64)]| {
        let mut model = small(3, DType::F64);
        let mut trainer = Trainer::new(Sgd { rate: 0.1 }).batch(40);
        for &(role, l2) in penalised {
            trainer = trainer.penalty(role, Penalty { l1: 0.0, l2 });
        }
        trainer.fit(&mut model, &data).unwrap();
        values(&model)
    };
    let start = values(&small(3, DType::F64));
    let (free, held) = (step(&[]), step(&[(Role::Basis, 0.05), (Role::EigenvalueOut, 0.2)]));
    for (id, param) in small(3, DType::F64).params().iter() {
        let l2 = match param.role {
            Role::Basis => 0.05,
            Role::EigenvalueOut => 0.2,
            _ => 0.0,
        };
        let i = id.index();
        let near = |k: usize| (free[i][k] - 0.1 * 2.0 * l2 * start[i][k] - held[i][k]).abs() < 1e-12;
        assert!((0..free[i].len()).all(near), "{}", param.name);
    }
}

/// Sparana A4: measuring put the dropout of the whole model in the place of each layer's own.
#[test]
fn measuring_changes_nothing_and_leaves_every_dropout_as_it_was() {
    let data = blobs(60, 3, 1);
    let build = || {
        let network = Network::new(4).dense(16, Relu).dropout(0.1).dense(16, Relu).dropout(0.6).dense(3, Identity);
        network.build(&Reference, Seed(3)).unwrap()
    };
    let run = || Trainer::new(Sgd { rate: 0.1 }).epochs(2).batch(20).seed(Seed(4));
    let (mut measured, mut untouched) = (build(), build());
    let hash = measured.content_hash().unwrap();
    let first = Evaluator::default().evaluate(&measured, &data).unwrap();
    assert_eq!(Evaluator::default().evaluate(&measured, &data).unwrap(), first, "dropout sleeps");
    assert_eq!(measured.content_hash().unwrap(), hash);
    for model in [&mut measured, &mut untouched] {
        run().fit(model, &data).unwrap();
    }
    assert_eq!(bits(&measured), bits(&untouched));
}

/// Sparana A16, B8: sizes, layers and their settings can be read.
#[test]
fn a_model_says_its_sizes_its_layers_and_their_settings() {
    let model = network(3).build(&Reference, Seed(3)).unwrap();
    let graph = model.graph();
    assert_eq!((graph.input(), graph.output()), (Shape::vector(4), Shape::vector(3)));
    assert_eq!(graph.nodes().iter().map(|n| n.layer.kind()).collect::<Vec<_>>(), ["spectral", "dense", "dense"]);
    assert_eq!((0..3).map(|n| graph.shape(Source::Node(n)).rows()).collect::<Vec<_>>(), [6, 5, 3]);
    let dense = &graph.nodes()[1];
    assert_eq!(dense.layer.config().unwrap()["activation"], "relu");
    let names: Vec<&str> = dense.params.iter().map(|&id| model.params().get(id).name.as_str()).collect();
    assert_eq!(names, ["dense1.weight", "dense1.bias"]);
    let weight = model.params().by_name("dense1.weight").unwrap();
    assert_eq!(model.params().get(weight).value().shape(), Shape::matrix(5, 6));
    assert!(model.params().by_name("dense9.weight").is_none());
}

/// Sparana B6: weights are scaled in place, and pruned ones stay zero.
#[test]
fn weights_are_scaled_in_place() {
    let mut model = small(3, DType::F64);
    let id = model.params().by_name("dense1.weight").unwrap();
    let before = values(&model)[id.index()].clone();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &spectral_core::Mask::from_fn(30, |i| i == 7)).unwrap();
    params
        .edit(backend, id, |w| {
            let scaled: Vec<f64> = backend.download(w)?.iter().map(|w| 0.5 * w).collect();
            backend.write(&scaled, w)
        })
        .unwrap();
    let expected: Vec<f64> = before.iter().enumerate().map(|(i, w)| if i == 7 { 0.0 } else { 0.5 * w }).collect();
    assert_eq!(values(&model)[id.index()], expected);
}
