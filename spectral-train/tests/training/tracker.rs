//! Class distances followed over a training run: the rows H of Sparana.

use crate::support::{bits, blobs, lines, network, small};
use spectral_core::{Cell, DType, Mask, Reference, Seed};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, DistanceTracker, Trainer};

/// Sparana H1: one checkpoint before training and one an epoch, of every layer, on a probe that stays the same.
#[test]
fn classes_move_apart_and_the_tracker_sees_it() {
    let data = blobs(300, 3, 1);
    let mut model = small(3, DType::F32);
    let mut tracker = DistanceTracker::new(&data, 90, Seed(2)).unwrap();
    let probe = tracker.probe().clone();
    assert_eq!(probe.len(), 90);
    assert!((0..3).all(|class| probe.labels().unwrap().iter().filter(|l| **l == class).count() == 30));
    let trainer = Trainer::new(Adam { rate: 0.01, ..Adam::default() }).epochs(6).batch(20);
    trainer.fit_with(&mut model, &data, &mut [&mut tracker]).unwrap();
    let seen = tracker.checkpoints();
    assert_eq!(seen.iter().map(|c| c.epoch).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    for at in seen {
        assert_eq!(at.layers.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["spectral1", "dense1", "dense2"]);
        for (name, d) in &at.layers {
            let all = (0..3).flat_map(|a| (0..3).map(move |b| (a, b))).map(|(a, b)| d.mean(a, b).unwrap());
            assert!(all.clone().all(|d| (0.0..=2.0).contains(&d)), "{name}: {:?}", all.collect::<Vec<_>>());
        }
    }
    let contrast = |epoch: usize| {
        let (_, output) = seen[epoch].layers.last().unwrap();
        output.mean_between().unwrap() - output.class_mean_within().unwrap()
    };
    assert!(contrast(6) > contrast(0) + 0.3, "{} {}", contrast(0), contrast(6));
    assert_eq!(tracker.probe().inputs(), probe.inputs());
}

#[test]
fn tables_have_an_epoch_a_row_and_a_layer_a_column() {
    let data = blobs(60, 3, 1);
    let mut tracker = DistanceTracker::new(&data, 1000, Seed(2)).unwrap();
    assert!(tracker.tables().is_empty());
    Trainer::new(Adam::default()).epochs(2).fit_with(&mut small(3, DType::F32), &data, &mut [&mut tracker]).unwrap();
    let tables = tracker.tables();
    assert_eq!(tables.len(), 4);
    for table in &tables[..3] {
        assert_eq!(table.columns, ["epoch", "spectral1", "dense1", "dense2"]);
        assert_eq!((table.rows.len(), table.plot.as_ref().unwrap().y.as_slice()), (3, &[1, 2, 3][..]));
        assert!(table.rows.iter().flatten().all(|cell| matches!(cell, Cell::Number(v) if v.is_finite())));
    }
    let (_, last) = tracker.checkpoints()[2].layers.last().unwrap();
    assert_eq!(tables[0].rows[2][3], Cell::Number(last.mean_between().unwrap()));
    assert_eq!((tables[3].rows.len(), &tables[3].rows[1][3]), (3, &Cell::Number(last.mean(1, 2).unwrap())));
}

/// Sparana H1: activations that are all zero give NaN there.
#[test]
fn dead_layers_and_absent_classes_leave_no_nan() {
    let data = blobs(40, 3, 1).without_classes(&[1]).unwrap();
    let mut model = Network::new(4).dense(5, Relu).dense(3, Identity).build(&Reference, Seed(1)).unwrap();
    for name in ["dense1.weight", "dense1.bias"] {
        let id = model.params().by_name(name).unwrap();
        let (params, backend) = model.params_mut();
        let len = params.get(id).value().len();
        params.prune(backend, id, &Mask::all(len)).unwrap();
    }
    let mut tracker = DistanceTracker::new(&data, 20, Seed(2)).unwrap();
    tracker.look(&model, 0).unwrap();
    let (_, dead) = &tracker.checkpoints()[0].layers[0];
    assert_eq!((dead.mean(0, 2), dead.mean(0, 0), dead.mean_between()), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!((dead.mean(1, 1), dead.mean(0, 1)), (None, None));
    let finite = |cell: &Cell| matches!(cell, Cell::Number(v) if v.is_finite()) || *cell == Cell::from("");
    assert!(tracker.tables().iter().flat_map(|t| &t.rows).flatten().all(finite));
}

/// Sparana H1: outputs of sparse layers are read along the wrong axis there.
#[test]
fn a_sparse_network_has_the_distances_of_the_masked_one() {
    let data = blobs(60, 3, 1);
    let masked = Network::new(4).masked(9, Relu, 0.4).masked(3, Identity, 0.6).build(&Cpu::new().unwrap(), Seed(1));
    let masked = masked.unwrap();
    let sparse = spectral_sparse::sparsify_with(&masked, &spectral_sparse::Policy::Always).unwrap();
    assert!(sparse.params().iter().any(|(_, p)| p.pattern.is_some()));
    let mut tracker = DistanceTracker::new(&data, 60, Seed(2)).unwrap();
    tracker.look(&masked, 0).unwrap();
    tracker.look(&sparse, 1).unwrap();
    let [a, b] = tracker.checkpoints() else { panic!() };
    for ((_, a), (_, b)) in a.layers.iter().zip(&b.layers) {
        for (x, y) in (0..3).flat_map(|x| (0..3).map(move |y| (x, y))) {
            assert!((a.mean(x, y).unwrap() - b.mean(x, y).unwrap()).abs() < 1e-6);
        }
    }
}

#[test]
fn looking_changes_nothing() {
    let data = blobs(80, 3, 1);
    let train = |follow: bool| {
        let mut model = network(3).dropout(0.3).dense(3, Identity).build(&Cpu::new().unwrap(), Seed(3)).unwrap();
        let mut tracker = DistanceTracker::new(&data, 30, Seed(2)).unwrap();
        let trainer = Trainer::new(Adam::default()).epochs(3).batch(16);
        match follow {
            true => trainer.fit_with(&mut model, &data, &mut [&mut tracker]).unwrap(),
            false => trainer.fit(&mut model, &data).unwrap(),
        };
        bits(&model)
    };
    assert_eq!(train(true), train(false));
}

#[test]
fn data_that_cannot_be_followed_is_refused() {
    let model = small(3, DType::F32);
    assert!(
        DistanceTracker::new(&lines(20, 1), 10, Seed(0)).unwrap_err().to_string().contains("need samples with classes")
    );
    assert!(DistanceTracker::new(&blobs(20, 3, 1), 0, Seed(0)).is_err());
    let wide = Network::new(9).dense(3, Identity).build(&Reference, Seed(1)).unwrap();
    let mut tracker = DistanceTracker::new(&blobs(20, 3, 1), 10, Seed(0)).unwrap();
    assert!(tracker.look(&wide, 0).unwrap_err().to_string().contains("has 4 features, the model takes 9"));
    assert!(tracker.checkpoints().is_empty());
    tracker.look(&model, 0).unwrap();
}
