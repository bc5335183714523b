//! Pruned entries stay exactly zero and frozen ones as they are, with every registered optimiser (field.md, pain 9).

use crate::support::{arena, tensor};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use spectral_core::registry::all;
use spectral_core::{
    Backend, DType, Mask, ParamGradient, ParamId, ParamView, Params, Penalty, Reference, Result, Seed, Shape, Tensor,
    Trainable,
};
use spectral_cpu::Cpu;
use spectral_train::{Momentum, Optimizer, OptimizerEntry, OptimizerState, ParamStep, StepContext, register_optimizer};

/// A plug-in that knows nothing of masks: it writes everywhere, NaN included.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Careless {}

impl Optimizer for Careless {
    fn slots(&self) -> usize {
        2
    }
    fn rate(&self) -> f64 {
        0.1
    }
    fn step(
        &self,
        cx: &StepContext<'_>,
        _: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        let moved: Vec<f64> = cx.backend.download(gradient)?.iter().map(|g| g.sqrt() + 1.0).collect();
        cx.backend.write(&moved, value)?;
        state.iter_mut().try_for_each(|s| cx.backend.write(&moved, s))
    }
}

register_optimizer!(Careless, "careless", "writes over everything, for tests");

const ENTRIES: usize = 35;

fn zero(values: &Tensor, mask: &Mask) -> bool {
    let values = values.host::<f32>().unwrap();
    mask.iter().all(|i| values[i].to_bits() == 0)
}

fn random_step(
    state: &mut OptimizerState,
    optimizer: &dyn Optimizer,
    params: &mut Params,
    backend: &dyn Backend,
    stream: &mut spectral_core::Stream,
) {
    let scale = 10f64.powf(stream.uniform(-3.0, 3.0));
    let gradient: Vec<f64> = (0..ENTRIES).map(|_| scale * stream.normal()).collect();
    let gradient = tensor(&gradient, Shape::matrix(5, 7), DType::F32);
    let penalty = Penalty { l1: 0.01, l2: 0.01 };
    let op = ParamStep {
        id: ParamId(0),
        gradient: ParamGradient::Written(&gradient),
        rate: 0.01,
        gradient_scale: 1.0,
        penalty,
        decay: Penalty::default(),
    };
    state.step(optimizer, params, backend, &op).unwrap();
}

fn holds(
    optimizer: &dyn Optimizer,
    backend: &dyn Backend,
    seed: u64,
    share: f64,
    frozen: f64,
) -> std::result::Result<(), String> {
    let mut stream = Seed(seed).stream("masks", 0);
    let start: Vec<f64> = (0..ENTRIES).map(|_| stream.normal()).collect();
    let (mut params, id) = arena(&start, Shape::matrix(5, 7), DType::F32);
    let trains = Mask::from_fn(ENTRIES, |_| stream.unit() >= frozen);
    params.set_trainable(id, Trainable::Only(trains.clone())).unwrap();
    let mut state = OptimizerState::new();
    for step in 0..100 {
        if step == 10 || step == 60 {
            let more = Mask::from_fn(ENTRIES, |_| stream.unit() < share);
            params.prune(backend, id, &more).unwrap();
            state.follow_masks(&params, backend).unwrap();
            if !state.tensors(id).iter().all(|s| zero(s, &more)) {
                return Err(format!("state of entries pruned before step {step} was not cleared"));
            }
        }
        random_step(&mut state, optimizer, &mut params, backend, &mut stream);
    }
    let none = Mask::none(ENTRIES);
    let pruned = params.get(id).pruned().unwrap_or(&none).clone();
    if !zero(params.get(id).value(), &pruned) || !state.tensors(id).iter().all(|s| zero(s, &pruned)) {
        return Err("a pruned entry or its state is not exactly zero".into());
    }
    let now = params.get(id).value().host::<f32>().unwrap();
    let moved = (0..ENTRIES).filter(|&i| now[i].to_bits() != (start[i] as f32).to_bits());
    for i in moved {
        if !trains.contains(i) && !pruned.contains(i) {
            return Err(format!("frozen entry {i} moved"));
        }
    }
    let still = |i: usize| trains.contains(i) && !pruned.contains(i) && now[i].to_bits() == (start[i] as f32).to_bits();
    match (0..ENTRIES).find(|&i| still(i)) {
        Some(i) => Err(format!("entry {i}, which is free to move, did not")),
        None => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pruned_is_zero_and_frozen_is_still_after_100_steps(seed: u64, share in 0.0..1.0f64, frozen in 0.0..0.9f64) {
        let cpu = Cpu::with_threads(1).unwrap();
        for entry in all::<OptimizerEntry>().unwrap() {
            let optimizer = (entry.build)((entry.defaults)()).unwrap();
            for backend in [&Reference as &dyn Backend, &cpu] {
                if let Err(problem) = holds(&*optimizer, backend, seed, share, frozen) {
                    return Err(TestCaseError::fail(format!("{} on {}: {problem}", entry.name, backend.name())));
                }
            }
        }
    }
}

#[test]
fn momentum_from_before_pruning_does_not_revive_an_entry_that_grows_back() {
    let optimizer = Momentum { rate: 0.1, momentum: 0.9 };
    let (mut params, id) = arena(&[1.0; ENTRIES], Shape::matrix(5, 7), DType::F32);
    let mut state = OptimizerState::new();
    let mut stream = Seed(1).stream("masks", 0);
    for _ in 0..20 {
        random_step(&mut state, &optimizer, &mut params, &Reference, &mut stream);
    }
    assert!(state.tensors(id)[0].host::<f32>().unwrap()[4] != 0.0);
    params.prune(&Reference, id, &Mask::from_fn(ENTRIES, |i| i == 4)).unwrap();
    random_step(&mut state, &optimizer, &mut params, &Reference, &mut stream);
    params.set_pruned(&Reference, id, None).unwrap();
    let still = tensor(&[0.0; ENTRIES], Shape::matrix(5, 7), DType::F32);
    let op = ParamStep {
        id,
        gradient: ParamGradient::Written(&still),
        rate: 0.1,
        gradient_scale: 1.0,
        penalty: Penalty::default(),
        decay: Penalty::default(),
    };
    state.step(&optimizer, &mut params, &Reference, &op).unwrap();
    assert_eq!(params.get(id).value().host::<f32>().unwrap()[4].to_bits(), 0);
}

#[test]
fn state_starts_anew_where_a_parameter_changes_its_shape() {
    let optimizer = Momentum::default();
    let (mut params, id) = arena(&[1.0; ENTRIES], Shape::matrix(5, 7), DType::F32);
    let mut state = OptimizerState::new();
    random_step(&mut state, &optimizer, &mut params, &Reference, &mut Seed(1).stream("masks", 0));
    let (mut other, _) = arena(&[1.0; 4], Shape::vector(4), DType::F32);
    params.replace(id, other.get(ParamId(0)).duplicate().unwrap());
    let gradient = tensor(&[1.0; 4], Shape::vector(4), DType::F32);
    let op = ParamStep {
        id,
        gradient: ParamGradient::Written(&gradient),
        rate: 0.1,
        gradient_scale: 1.0,
        penalty: Penalty::default(),
        decay: Penalty::default(),
    };
    state.step(&optimizer, &mut params, &Reference, &op).unwrap();
    OptimizerState::new().step(&optimizer, &mut other, &Reference, &op).unwrap();
    assert_eq!(params.get(id).value().host::<f32>().unwrap(), other.get(id).value().host::<f32>().unwrap());
}

#[test]
fn a_frozen_parameter_gets_no_state_and_no_step() {
    let (mut params, id) = arena(&[1.0; ENTRIES], Shape::matrix(5, 7), DType::F32);
    params.set_trainable(id, Trainable::None).unwrap();
    let mut state = OptimizerState::new();
    random_step(&mut state, &Careless {}, &mut params, &Reference, &mut Seed(1).stream("masks", 0));
    assert_eq!(params.get(id).value().host::<f32>().unwrap(), [1.0; ENTRIES]);
    assert!(state.tensors(id).is_empty());
}
