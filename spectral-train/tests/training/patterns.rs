//! Optimiser state follows the pattern that a parameter is stored on.

use crate::support::tensor;
use spectral_core::registry::all;
use spectral_core::{DType, Mask, Param, ParamGradient, ParamId, Params, Pattern, Penalty, Reference, Role, Shape};
use spectral_train::{Optimizer, OptimizerEntry, OptimizerState, ParamStep};
use std::sync::Arc;

const ROWS: usize = 3;
const COLUMNS: usize = 4;
const WHOLE: [u64; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

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
    let stored = param.pattern.clone().unwrap_or_else(|| pattern(&WHOLE));
    let gradient: Vec<f64> =
        stored.iter().map(|(r, c)| ((r * COLUMNS + c + 1) as f64 * 0.3 * n as f64).sin()).collect();
    let gradient = tensor(&gradient, param.value().shape(), param.value().dtype());
    let op = ParamStep {
        id,
        gradient: ParamGradient::Written(&gradient),
        rate: 0.01,
        gradient_scale: 1.0,
        penalty: Penalty::default(),
        decay: Penalty::default(),
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

/// What is kept of a masked matrix takes the same steps whether it is stored alone in between or not.
#[test]
fn state_goes_along_from_the_whole_matrix_to_a_pattern_and_back() {
    let kept = [0, 2, 5, 7, 11];
    let matrix = Shape::matrix(ROWS, COLUMNS);
    let is_kept = |p: usize| kept.contains(&(p as u64));
    for entry in all::<OptimizerEntry>().unwrap() {
        let optimizer = (entry.build)((entry.defaults)()).unwrap();
        for dtype in [DType::F32, DType::F64] {
            let run = |stored: bool| {
                let mut params = Params::default();
                let values: Vec<f64> = WHOLE.iter().map(|p| 0.1 * (p + 1) as f64).collect();
                let id = params.push(Param::new("s.weight", Role::Weight, &[], tensor(&values, matrix, dtype)));
                params.set_pruned(&Reference, id, Some(Mask::from_fn(12, |p| !is_kept(p)))).unwrap();
                let mut state = OptimizerState::new();
                for n in 1..10 {
                    let now = host(params.get(id).value());
                    if stored && n == 4 {
                        let values: Vec<f64> = (0..12).filter(|p| is_kept(*p)).map(|p| now[p]).collect();
                        let value = tensor(&values, Shape::vector(kept.len()), dtype);
                        let mut param = Param::new("s.weight", Role::Weight, &[], value);
                        param.pattern = Some(pattern(&kept));
                        params.replace(id, param);
                    }
                    if stored && n == 7 {
                        let mut values = [0.0; 12];
                        kept.iter().zip(now).for_each(|(p, v)| values[*p as usize] = v);
                        params.replace(id, Param::new("s.weight", Role::Weight, &[], tensor(&values, matrix, dtype)));
                        params.set_pruned(&Reference, id, Some(Mask::from_fn(12, |p| !is_kept(p)))).unwrap();
                    }
                    step(&mut state, &*optimizer, &mut params, id, n);
                }
                let bits = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                (
                    bits(host(params.get(id).value())),
                    state.tensors(id).iter().map(|t| bits(host(t))).collect::<Vec<_>>(),
                )
            };
            assert_eq!(run(false), run(true), "{} {dtype}", entry.name);
        }
    }
}
