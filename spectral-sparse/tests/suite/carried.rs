//! What a conversion carries along besides the function.

use crate::networks::{ACTIVATIONS, Wiring, cpu, masked, proof};
use spectral_core::{
    BATCH_CLASSES, Constraint, DType, Graph, Mask, Masking, Meta, Model, Node, ParamId, Penalty, Role, Seed, Shape,
    Source, Trainable,
};
use spectral_layers::WeightConstraints;
use spectral_layers::prelude::*;
use spectral_sparse::{Measured, Policy, densify, sparsify, sparsify_with};
use std::sync::Arc;

const PENALTY: Penalty = Penalty { l1: 0.25, l2: 0.5 };

/// 3 inputs, 2 units, entries 1 and 4 pruned, entry 2 kept though it is zero; entries 2 and 5 may train.
fn small() -> Model {
    let mut model = Network::new(3).dense(2, Relu).build(cpu(), Seed(1)).unwrap();
    let (params, backend) = model.params_mut();
    params.edit(backend, ParamId(0), |t| backend.write(&[1.0, 9.0, 0.0, 4.0, 9.0, 6.0], t)).unwrap();
    params.set_pruned(backend, ParamId(0), Some(Mask::from_fn(6, |i| i == 1 || i == 4))).unwrap();
    params.set_trainable(ParamId(0), Trainable::Only(Mask::from_fn(6, |i| i == 2 || i == 5))).unwrap();
    params.set_penalty(ParamId(0), PENALTY);
    params.edit(backend, ParamId(1), |t| backend.write(&[0.5, 7.0], t)).unwrap();
    params.set_pruned(backend, ParamId(1), Some(Mask::from_fn(2, |i| i == 1))).unwrap();
    params.set_trainable(ParamId(1), Trainable::None).unwrap();
    params.set_penalty(ParamId(1), Penalty { l1: 0.0, l2: 0.125 });
    model
}

#[test]
fn penalties_masks_and_frozen_entries_go_both_ways() {
    let model = small();
    let sparse = sparsify_with(&model, &Policy::Always).unwrap();
    let weight = sparse.params().get(ParamId(0));
    let pattern = weight.pattern.as_ref().unwrap();
    assert_eq!((pattern.starts(), pattern.indices()), (&[0, 2, 4][..], &[0, 2, 0, 2][..]));
    assert_eq!(weight.value().host::<f32>().unwrap(), [1.0, 0.0, 4.0, 6.0]);
    assert_eq!(weight.trainable, Trainable::Only(Mask::from_fn(4, |i| i == 1 || i == 3)));
    assert_eq!(weight.penalty, PENALTY);
    let (before, after) = (&model.graph().nodes()[0].layer, &sparse.graph().nodes()[0].layer);
    assert_eq!((after.kind(), after.config().unwrap()), (before.kind(), before.config().unwrap()));

    let dense = densify(&sparse).unwrap();
    for (id, before) in model.params().iter() {
        let after = dense.params().get(id);
        assert_eq!((&after.name, after.role, &after.axes), (&before.name, before.role, &before.axes));
        assert_eq!(after.value().host::<f32>().unwrap(), before.value().host::<f32>().unwrap());
        assert_eq!((after.pruned(), &after.trainable), (before.pruned(), &before.trainable));
        assert_eq!(after.penalty, before.penalty);
    }
}

/// Training a sparse layer forgot what its dense original had to satisfy.
#[test]
fn constraints_and_the_penalty_on_outputs_go_both_ways_and_hold() {
    let constraints = WeightConstraints { weight: Constraint::MaxNorm { max: 0.4 }, bias: Constraint::NonNeg };
    let dense = Dense { constraints, output_penalty: PENALTY, ..Dense::new(5, Tanh) };
    let mut model = Network::new(3).layer(dense).dense(2, Identity).build(cpu(), Seed(1)).unwrap();
    let (params, backend) = model.params_mut();
    params.prune(backend, ParamId(0), &Mask::from_fn(15, |i| i % 4 == 1)).unwrap();
    let mut sparse = sparsify_with(&model, &Policy::Always).unwrap();
    for converted in [&sparse, &densify(&sparse).unwrap()] {
        let constraint = |id| converted.params().get(ParamId(id)).constraint();
        assert_eq!((constraint(0), constraint(1)), (constraints.weight, constraints.bias));
        assert_eq!(converted.graph().nodes()[0].layer.output_penalty(), PENALTY);
    }
    let (params, backend) = sparse.params_mut();
    params.step(backend, ParamId(0), Masking::Apply, |t, _| backend.write(&[1.0; 11], t)).unwrap();
    let weight = params.get(ParamId(0));
    let values = weight.value().host::<f32>().unwrap();
    for row in weight.pattern.as_ref().unwrap().starts().windows(2) {
        let norm = values[row[0] as usize..row[1] as usize].iter().map(|w| w * w).sum::<f32>().sqrt();
        assert!((norm - 0.4).abs() < 1e-6, "{norm}");
    }
}

#[test]
fn stored_entries_that_were_pruned_later_go() {
    let mut sparse = sparsify_with(&small(), &Policy::Always).unwrap();
    let (params, backend) = sparse.params_mut();
    params.prune(backend, ParamId(0), &Mask::from_fn(4, |i| i == 2)).unwrap();
    let tighter = sparsify(&sparse, &Policy::Always).unwrap();
    assert_eq!(tighter.layers[0].nonzeros, 3);
    let weight = tighter.model.params().get(ParamId(0));
    assert_eq!(weight.pattern.as_ref().unwrap().indices(), [0, 2, 2]);
    assert_eq!(weight.trainable, Trainable::Only(Mask::from_fn(3, |i| i > 0)));
    assert!(weight.pruned().is_none() && proof(&sparse, &tighter.model).equal);
    let dense = densify(&sparse).unwrap();
    assert_eq!(dense.params().get(ParamId(0)).pruned().unwrap().iter().collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn the_weights_of_a_spectral_layer_train_unless_all_its_factors_are_frozen() {
    for (frozen, expected) in [
        (&[][..], Trainable::All),
        (&[Role::Basis][..], Trainable::All),
        (&[Role::Basis, Role::EigenvalueIn, Role::EigenvalueOut][..], Trainable::None),
    ] {
        let mut model = masked(Wiring::Spectral, ACTIVATIONS[4], DType::F64, 0.4, 3);
        let of_role = |m: &Model| m.params().iter().map(|(id, p)| (id, p.role)).collect::<Vec<_>>();
        for (id, _) in of_role(&model).into_iter().filter(|(_, role)| frozen.contains(role)) {
            let (params, _) = model.params_mut();
            params.set_trainable(id, Trainable::None).unwrap();
        }
        let sparse = sparsify_with(&model, &Policy::Always).unwrap();
        assert_eq!(sparse.params().get(ParamId(0)).trainable, expected, "frozen: {frozen:?}");
    }
}

#[test]
fn layers_that_share_weights_go_on_sharing_them() {
    let layer = Arc::new(Dense::new(4, Tanh));
    let single = Network::new(4).layer(*layer).dense(2, Identity).build(cpu(), Seed(4)).unwrap();
    let mut graph = Graph::new(Shape::vector(4)).unwrap();
    let shared = vec![ParamId(0), ParamId(1)];
    for (name, input) in [("first", Source::Input), ("second", Source::Node(0))] {
        let node = Node { name: name.into(), layer: layer.clone(), inputs: vec![input], params: shared.clone() };
        graph.add(node).unwrap();
    }
    let last = Node { inputs: vec![Source::Node(1)], ..single.graph().nodes()[1].clone() };
    graph.add(last).unwrap();
    let params = single.params().duplicate().unwrap();
    let model = Model::from_parts(graph, params, cpu(), DType::F32, Meta::default()).unwrap();
    let sparse = sparsify(&model, &Policy::Always).unwrap();
    assert_eq!(sparse.layers.iter().map(|l| l.stored).collect::<Vec<_>>(), [false, false, true]);
    let nodes = sparse.model.graph().nodes();
    assert_eq!(nodes[0].params, nodes[1].params);
    assert_eq!(sparse.model.params().len(), 4);
    assert!(proof(&model, &sparse.model).equal);
}

#[test]
fn measuring_on_this_machine_decides_every_cell_and_changes_no_function() {
    let model = masked(Wiring::Residual, ACTIVATIONS[4], DType::F32, 0.05, 8);
    let chosen = sparsify(&model, &Measured.into()).unwrap();
    assert_eq!(chosen.layers.len(), 3);
    for layer in &chosen.layers {
        assert_eq!(layer.classes.keys().copied().collect::<Vec<_>>(), BATCH_CLASSES);
        for (class, c) in &layer.classes {
            assert!(c.times.len() >= 2 && c.times.values().all(|t| *t > 0.0) && !c.choice.reason.is_empty());
            assert_eq!(chosen.plan.choice(&layer.name, *class), Some(&c.choice));
        }
    }
    assert!(proof(&model, &chosen.model).equal);
    let replayed = sparsify(&model, &Policy::Replay(chosen.plan.clone())).unwrap();
    assert_eq!(replayed.model.content_hash().unwrap(), chosen.model.content_hash().unwrap());
    assert_eq!(replayed.model.meta, chosen.model.meta);
}
