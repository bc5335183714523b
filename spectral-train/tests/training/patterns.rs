//! Optimiser state follows the pattern that a parameter is stored on.

use crate::support::tensor;
use spectral_core::registry::all;
use spectral_core::{DType, Param, ParamGradient, ParamId, Params, Pattern, Penalty, Reference, Role, Shape};
use spectral_train::{Optimizer, OptimizerEntry, OptimizerState, ParamStep};
use std::sync::Arc;

const ROWS: usize = 3;
const COLUMNS: usize = 4;

fn pattern(stored: &[u64]) -> Arc<Pattern> {
    Arc::new(Pattern::from_positions(ROWS, COLUMNS, stored).unwrap())
}

fn arena(stored: &[u64], dtype: DType) -> (Params, ParamId) {
    let values: Vec<f64> = stored.iter().map(|&p| 0.1 * (p + 1) as f64).collect();
    let value = tensor(&values, Shape::vector(stored.len()), dtype);
    let mut param = Param::new("s.weight", Role::Weight, &[], value);
    param.pattern = Some(pattern(stored));
    let mut params = Params::default();
    let id = params.push(param);
    (params, id)
}

/// A gradient that differs from entry to entry and step to step.
fn step(state: &mut OptimizerState, optimizer: &dyn Optimizer, params: &mut Params, id: ParamId, n: u64) {
    let param = params.get(id);
    let gradient: Vec<f64> = param
        .pattern
        .as_ref()
        .unwrap()
        .iter()
        .map(|(r, c)| ((r * COLUMNS + c + 1) as f64 * 0.3 * n as f64).sin())
        .collect();
    let gradient = tensor(&gradient, param.value().shape(), param.value().dtype());
    let op = ParamStep {
        id,
        gradient: ParamGradient::Written(&gradient),
        rate: 0.01,
        gradient_scale: 1.0,
        penalty: Penalty::default(),
    };
    state.step(optimizer, params, &Reference, &op).unwrap();
}

fn host(t: &spectral_core::Tensor) -> Vec<f64> {
    spectral_core::Memory::download(&Reference, t).unwrap()
}

#[test]
fn state_of_kept_entries_stays_and_that_of_new_ones_is_zero_for_every_optimiser() {
    let (before, after) = ([0, 2, 5, 7, 11], [1, 2, 5, 8, 9, 11]);
    for entry in all::<OptimizerEntry>().unwrap() {
        for dtype in [DType::F32, DType::F64] {
            let optimizer = (entry.build)((entry.defaults)()).unwrap();
            let (mut params, id) = arena(&before, dtype);
            let mut state = OptimizerState::new();
            (1..4).for_each(|n| step(&mut state, &*optimizer, &mut params, id, n));
            let old: Vec<Vec<f64>> = state.tensors(id).iter().map(host).collect();
            params.rewire(&Reference, id, pattern(&after), |n| Ok(vec![0.0; n])).unwrap();
            state.follow_masks(&params, &Reference).unwrap();
            assert_eq!(state.tensors(id).len(), old.len(), "{}", entry.name);
            for (old, new) in old.iter().zip(state.tensors(id)) {
                let wanted = after.map(|p| before.iter().position(|b| *b == p).map_or(0.0, |i| old[i]));
                // One that a test registers leaves NaN behind.
                let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&host(new)), bits(&wanted), "{} {dtype}", entry.name);
            }
        }
    }
}

/// Entries that stay train on as if nothing had happened around them.
#[test]
fn kept_entries_take_the_same_steps_with_and_without_a_rewiring() {
    let (before, after) = ([0, 2, 5, 7, 11], [1, 2, 5, 8, 11]);
    for entry in all::<OptimizerEntry>().unwrap() {
        let optimizer = (entry.build)((entry.defaults)()).unwrap();
        let run = |rewired: bool| {
            let (mut params, id) = arena(&before, DType::F32);
            let mut state = OptimizerState::new();
            for n in 1..8 {
                if n == 4 && rewired {
                    params.rewire(&Reference, id, pattern(&after), |n| Ok(vec![0.0; n])).unwrap();
                }
                step(&mut state, &*optimizer, &mut params, id, n);
            }
            host(params.get(id).value())
        };
        let (plain, rewired) = (run(false), run(true));
        assert_eq!([plain[1], plain[2], plain[4]], [rewired[1], rewired[2], rewired[4]], "{}", entry.name);
        assert!(rewired[0] != 0.0 && rewired[3] != 0.0, "{}", entry.name);
    }
}
