//! A converted network computes the same function, and converting back finds the same masks.

use crate::networks::{ACTIVATIONS, WIRINGS, Wiring, masked, proof};
use proptest::prelude::*;
use spectral_core::{DType, Kernel, Model, Role};
use spectral_sparse::{Policy, densify, sparsify};

/// The pruned entries of every weight.
fn masks(model: &Model) -> Vec<Vec<usize>> {
    let weights = model.params().iter().filter(|(_, p)| p.role.is_matrix());
    weights.map(|(_, p)| p.pruned().map_or(vec![], |m| m.iter().collect())).collect()
}

fn check(wiring: Wiring, act: usize, dtype: DType, density: f64, seed: u64) -> Result<(), String> {
    let model = masked(wiring, ACTIVATIONS[act], dtype, density, seed);
    let sparse = sparsify(&model, &Policy::Always).map_err(|e| e.to_string())?;
    let dense = densify(&sparse.model).map_err(|e| e.to_string())?;
    for (name, other) in [("sparse", &sparse.model), ("dense again", &dense)] {
        let p = proof(&model, other);
        if !p.equal {
            return Err(format!("{name}: {p:?}"));
        }
    }
    let kept: Vec<usize> = model.params().iter().filter(|(_, p)| p.role.is_matrix()).map(|(_, p)| p.kept()).collect();
    let stored: Vec<usize> = sparse.layers.iter().map(|l| l.nonzeros).collect();
    if kept != stored {
        return Err(format!("kept {kept:?}, stored {stored:?}"));
    }
    if masks(&model) != masks(&dense) {
        return Err("other masks".into());
    }
    // A second round trip changes nothing, not even a bit.
    let again = sparsify(&dense, &Policy::Always).map_err(|e| e.to_string())?.model;
    match again.content_hash().unwrap() == sparse.model.content_hash().unwrap() {
        true => Ok(()),
        false => Err("the second round trip differs".into()),
    }
}

#[test]
fn every_activation_in_every_wiring_and_type() {
    let mut failures = Vec::new();
    for wiring in WIRINGS {
        for (act, activation) in ACTIVATIONS.iter().enumerate() {
            for dtype in [DType::F32, DType::F64] {
                if let Err(problem) = check(wiring, act, dtype, 0.3, 1) {
                    failures.push(format!("{wiring:?} {activation:?} {dtype}: {problem}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_mask(wiring in 0..4usize, act in 0..9usize, wide: bool, density in 0.0..=1.0f64, seed in 0..1000u64) {
        let dtype = if wide { DType::F64 } else { DType::F32 };
        prop_assert_eq!(check(WIRINGS[wiring], act, dtype, density, seed), Ok(()));
    }
}

#[test]
fn all_layers_run_sparse_and_everything_else_stays() {
    let model = masked(Wiring::Chain, ACTIVATIONS[1], DType::F32, 0.2, 5);
    let sparse = sparsify(&model, &Policy::Always).unwrap();
    let kinds = |m: &Model| m.graph().nodes().iter().map(|n| n.layer.kind()).collect::<Vec<_>>();
    assert_eq!(kinds(&sparse.model), kinds(&model));
    let stored = |m: &Model| m.params().iter().filter(|(_, p)| p.pattern.is_some()).count();
    assert_eq!((stored(&model), stored(&sparse.model)), (0, 3));
    assert_eq!(sparse.model.graph().nodes()[1].layer.config().unwrap()["rate"], 0.3);
    assert!(sparse.plan.layers.values().flat_map(|c| c.values()).all(|c| c.kernel == Kernel::Csr));
    let roles = |m: &Model| m.params().iter().map(|(_, p)| (p.name.clone(), p.role)).collect::<Vec<_>>();
    assert_eq!(roles(&sparse.model), roles(&model));
    let dense = densify(&sparse.model).unwrap();
    assert_eq!(kinds(&dense), ["dense", "dropout", "dense", "dense"]);
    let actions: Vec<_> = dense.meta.history.iter().map(|h| (h.action.as_str(), h.parent)).collect();
    let hash = |m: &Model| m.content_hash().unwrap();
    assert_eq!(actions, [("sparsify", hash(&model)), ("densify", hash(&sparse.model))]);
    assert_eq!(dense.meta.plan, None);
    assert!(dense.params().iter().filter(|(_, p)| p.role == Role::Weight).all(|(_, p)| p.pattern.is_none()));
}
