//! What is saved comes back to the bit.

use crate::models;
use proptest::prelude::*;
use spectral_core::{
    DType, LayerEntry, Mask, Memory, Model, NodeSpec, Pattern, Reference, Seed, Shape, Source, Trainable,
};
use spectral_io::{from_bytes, to_bytes};
use spectral_layers::prelude::*;
use std::sync::Arc;

#[test]
fn every_model_comes_back_to_the_bit() {
    let mut failed = Vec::new();
    for dtype in [DType::F32, DType::F64] {
        for (name, model) in models::all(dtype) {
            let bytes = to_bytes(&model).unwrap();
            let again = from_bytes(&bytes, &Reference).unwrap();
            let differences = models::differences(&model, &again);
            if !differences.is_empty() || to_bytes(&again).unwrap() != bytes || to_bytes(&model).unwrap() != bytes {
                failed.push((name, dtype, differences));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn not_a_number_and_infinity_keep_their_bits() {
    let mut model = models::dense(DType::F32);
    let odd = [
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffc1_2345),
        f32::INFINITY,
        -0.0,
        f32::MIN_POSITIVE / 2.0,
    ];
    let (params, backend) = model.params_mut();
    let id = params.by_name("dense1.weight").unwrap();
    params
        .edit(backend, id, |t| {
            t.host_mut::<f32>()?[..odd.len()].copy_from_slice(&odd);
            Ok(())
        })
        .unwrap();
    let again = from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
    assert_eq!(models::differences(&model, &again), Vec::<String>::new());
}

#[test]
fn tiny_files_of_huge_pruned_layers_still_load() {
    // The smallest encoding would unfold to far more than a reader accepts of a file this small.
    let mut model = Network::new(5_000).dense(1_500, Identity).build(&Reference, Seed(1)).unwrap();
    let (params, backend) = model.params_mut();
    let id = params.by_name("dense1.weight").unwrap();
    let len = params.get(id).value().len();
    params.prune(backend, id, &Mask::from_fn(len, |i| i != 17)).unwrap();
    let bytes = to_bytes(&model).unwrap();
    assert!(bytes.len() < len / 8 + 10_000);
    let again = from_bytes(&bytes, &Reference).unwrap();
    assert_eq!(models::differences(&model, &again), Vec::<String>::new());
}

/// A sparse model with this pattern.
fn with_pattern(rows: usize, columns: usize, seed: u64, odds: u64) -> Model {
    let mut model = Network::new(columns).layer(models::sparse_layer(rows, 0.0)).build(&Reference, Seed(0)).unwrap();
    let stored = |r: usize, c: usize| spectral_core::hash64(seed, (r * columns + c) as u64).is_multiple_of(odds);
    let pattern = Pattern::from_fn(rows, columns, stored).unwrap();
    let mut value = Reference.zeros(Shape::vector(pattern.nonzeros()), DType::F32).unwrap();
    let values: Vec<f64> = (0..pattern.nonzeros()).map(|i| (i % 7) as f64).collect();
    Reference.write(&values, &mut value).unwrap();
    let (params, _) = model.params_mut();
    let id = params.iter().find(|(_, p)| p.pattern.is_some()).unwrap().0;
    let old = params.get(id);
    let mut param = spectral_core::Param::new(old.name.clone(), old.role, &old.axes.clone(), value);
    param.pattern = Some(pattern.into());
    params.replace(id, param);
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_mask_comes_back(rows in 1usize..20, columns in 1usize..700, seed: u64, odds in 1u64..400, trains in 1u64..9) {
        let mut model = Network::new(columns).dense(rows, Identity).build(&Reference, Seed(seed)).unwrap();
        let (params, backend) = model.params_mut();
        let id = params.by_name("dense1.weight").unwrap();
        let set = |odds: u64, key: u64| Mask::from_fn(rows * columns, |i| !spectral_core::hash64(key, i as u64).is_multiple_of(odds));
        params.prune(backend, id, &set(odds, seed)).unwrap();
        params.set_trainable(id, Trainable::Only(set(trains, !seed))).unwrap();
        let again = from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
        prop_assert_eq!(models::differences(&model, &again), Vec::<String>::new());
    }

    #[test]
    fn any_pattern_comes_back(rows in 1usize..20, columns in 1usize..700, seed: u64, odds in 1u64..400) {
        let model = with_pattern(rows, columns, seed, odds);
        let again = from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
        prop_assert_eq!(models::differences(&model, &again), Vec::<String>::new());
    }
}

/// Every kind of layer that takes one input, with every setting its example uses: what only layers decide (constraints,
/// running averages) comes back with them.
#[test]
fn every_registered_layer_round_trips() {
    let mut tried = Vec::new();
    for entry in spectral_core::registry::all::<LayerEntry>().unwrap() {
        let (layer, inputs) = (entry.example)();
        let [input] = inputs[..] else { continue };
        let image = spectral_layers::Reshape { shape: input.extents().to_vec() };
        let nodes = [
            NodeSpec { name: "image".into(), layer: Arc::new(image), inputs: vec![Source::Input] },
            NodeSpec { name: "tried".into(), layer, inputs: vec![Source::Node(0)] },
        ];
        let model = Model::build(Shape::vector(input.len()), &nodes, &Reference, DType::F32, Seed(3)).unwrap();
        let again = from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
        assert_eq!(models::differences(&model, &again), Vec::<String>::new(), "{}", entry.name);
        for ((_, a), (_, b)) in model.params().iter().zip(again.params().iter()) {
            assert_eq!((a.constraint(), a.averaged()), (b.constraint(), b.averaged()), "{}", a.name);
        }
        tried.push(entry.name);
    }
    for name in ["batch_norm", "conv2d", "dense", "flatten", "gate", "reshape", "spectral"] {
        assert!(tried.contains(&name), "{name} is not among {tried:?}");
    }
}
