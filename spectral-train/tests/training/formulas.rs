//! Every optimiser against its formula, written as a sum over the history of gradients, in f64.

use crate::support::{arena, tensor};
use spectral_core::{Backend, DType, ParamGradient, Penalty, Reference, Seed, Shape};
use spectral_cpu::Cpu;
use spectral_train::{
    Adam, AdamW, Adamax, Momentum, MomentumRestart, Nesterov, Optimizer, OptimizerState, ParamStep, RmsProp, Sgd,
    SignAgreement,
};

const STEPS: usize = 9;
const ENTRIES: usize = 21;

/// The step, over the rate, from all gradients so far.
type Formula = fn(&[f64]) -> f64;

struct Case {
    optimizer: Box<dyn Optimizer>,
    formula: Formula,
    decay: f64,
}

/// `sum_k decay^(t - k) f(g_k)`.
fn faded(gradients: &[f64], decay: f64, f: impl Fn(f64) -> f64) -> f64 {
    gradients.iter().rev().enumerate().map(|(age, g)| decay.powi(age as i32) * f(*g)).sum()
}

/// What an average over `t` steps that started from zero is missing.
fn missing(gradients: &[f64], decay: f64) -> f64 {
    1.0 - decay.powi(gradients.len() as i32)
}

fn last(gradients: &[f64]) -> f64 {
    gradients[gradients.len() - 1]
}

fn adam(g: &[f64], b1: f64, b2: f64, epsilon: f64) -> f64 {
    let m = (1.0 - b1) * faded(g, b1, |g| g) / missing(g, b1);
    let v = (1.0 - b2) * faded(g, b2, |g| g * g) / missing(g, b2);
    m / (v.sqrt() + epsilon)
}

/// Keras' and Sparana's: epsilon beside the root as it is. Sparana F2.
fn adam_hat(g: &[f64], b1: f64, b2: f64, epsilon: f64) -> f64 {
    let (m, v) = ((1.0 - b1) * faded(g, b1, |g| g), (1.0 - b2) * faded(g, b2, |g| g * g));
    missing(g, b2).sqrt() / missing(g, b1) * m / (v.sqrt() + epsilon)
}

/// With the largest `v` so far in the root.
fn amsgrad(g: &[f64], b1: f64, b2: f64, epsilon: f64) -> f64 {
    let v = |t: usize| (1.0 - b2) * faded(&g[..t], b2, |g| g * g);
    let most = (1..=g.len()).map(v).fold(0.0, f64::max);
    let m = (1.0 - b1) * faded(g, b1, |g| g) / missing(g, b1);
    m / ((most / missing(g, b2)).sqrt() + epsilon)
}

/// What RMSprop divides by in a centered step.
fn deviation(g: &[f64], rho: f64) -> f64 {
    let (square, mean) = ((1.0 - rho) * faded(g, rho, |g| g * g), (1.0 - rho) * faded(g, rho, |g| g));
    (square - mean * mean).sqrt()
}

/// Sparana F4: `|a|` is the sum of a geometric series over the last gradients of one sign.
fn sign_agreement(g: &[f64], friction: f64) -> f64 {
    let run = g.iter().rev().take_while(|x| x.signum() == last(g).signum()).count();
    last(g) * (1.0 - friction.powi(run as i32)) / (1.0 - friction)
}

/// Sparana F5: the velocity is a sum over the gradients since one last opposed what was summed before it.
fn momentum_restart(g: &[f64], friction: f64, epsilon: f64, start: usize) -> f64 {
    let past = &g[..g.len() - 1];
    let mut first = start - 1;
    for t in start..past.len() {
        if past[t] * faded(&past[first..t], friction, |g| g) <= -epsilon {
            first = t;
        }
    }
    last(g) + faded(past.get(first..).unwrap_or(&[]), friction, |g| g)
}

fn cases() -> Vec<Case> {
    let case = |optimizer: Box<dyn Optimizer>, formula: Formula, decay| Case { optimizer, formula, decay };
    let adamw = AdamW { rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.3, ..AdamW::default() };
    vec![
        case(Box::new(Sgd { rate: 0.1 }), last, 0.0),
        case(Box::new(Momentum { rate: 0.1, momentum: 0.7 }), |g| faded(g, 0.7, |g| g), 0.0),
        case(Box::new(Nesterov { rate: 0.1, momentum: 0.7 }), |g| last(g) + 0.7 * faded(g, 0.7, |g| g), 0.0),
        case(Box::new(Adam { rate: 0.02, ..Adam::default() }), |g| adam(g, 0.9, 0.999, 1e-8), 0.0),
        case(Box::new(adamw), |g| adam(g, 0.8, 0.95, 1e-3), 0.3),
        case(
            Box::new(Adamax { rate: 0.05, beta1: 0.8, beta2: 0.9, epsilon: 1e-4 }),
            |g| {
                let aged = g.iter().rev().enumerate().map(|(age, g)| 0.9f64.powi(age as i32) * g.abs());
                0.2 * faded(g, 0.8, |g| g) / missing(g, 0.8) / (aged.fold(0.0, f64::max) + 1e-4)
            },
            0.0,
        ),
        case(
            Box::new(RmsProp { rate: 0.05, rho: 0.9, epsilon: 1e-3, ..RmsProp::default() }),
            |g| last(g) / ((0.1 * faded(g, 0.9, |g| g * g)).sqrt() + 1e-3),
            0.0,
        ),
        case(
            Box::new(RmsProp { rate: 0.05, rho: 0.9, epsilon: 1e-3, epsilon_inside: true, ..RmsProp::default() }),
            |g| last(g) / (0.1 * faded(g, 0.9, |g| g * g) + 1e-3).sqrt(),
            0.0,
        ),
        case(
            Box::new(Adam { rate: 0.02, epsilon: 0.3, epsilon_hat: true, ..Adam::default() }),
            |g| adam_hat(g, 0.9, 0.999, 0.3),
            0.0,
        ),
        case(
            Box::new(AdamW { epsilon_hat: true, beta2: 0.95, epsilon: 0.1, weight_decay: 0.2, ..AdamW::default() }),
            |g| adam_hat(g, 0.9, 0.95, 0.1),
            0.2,
        ),
        case(
            Box::new(Adam { rate: 0.02, beta2: 0.6, epsilon: 1e-3, amsgrad: true, ..Adam::default() }),
            |g| amsgrad(g, 0.9, 0.6, 1e-3),
            0.0,
        ),
        case(
            Box::new(AdamW { beta2: 0.6, epsilon: 1e-3, amsgrad: true, weight_decay: 0.3, ..AdamW::default() }),
            |g| amsgrad(g, 0.9, 0.6, 1e-3),
            0.3,
        ),
        case(
            Box::new(RmsProp { rate: 0.05, epsilon: 0.1, centered: true, ..RmsProp::default() }),
            |g| last(g) / (deviation(g, 0.9) + 0.1),
            0.0,
        ),
        case(
            Box::new(RmsProp { rate: 0.05, epsilon: 0.1, momentum: 0.7, centered: true, ..RmsProp::default() }),
            |g| {
                let step = |t: usize| last(&g[..t]) / (deviation(&g[..t], 0.9) + 0.1);
                (1..=g.len()).map(|t| 0.7f64.powi((g.len() - t) as i32) * step(t)).sum()
            },
            0.0,
        ),
        case(
            Box::new(RmsProp { epsilon: 1e-3, momentum: 0.5, epsilon_inside: true, ..RmsProp::default() }),
            |g| {
                let step = |t: usize| last(&g[..t]) / (0.1 * faded(&g[..t], 0.9, |g| g * g) + 1e-3).sqrt();
                (1..=g.len()).map(|t| 0.5f64.powi((g.len() - t) as i32) * step(t)).sum()
            },
            0.0,
        ),
        case(Box::new(SignAgreement { rate: 0.1, friction: 0.7 }), |g| sign_agreement(g, 0.7), 0.0),
        case(
            Box::new(MomentumRestart { rate: 0.1, friction: 0.7, epsilon: 0.01, start: 1 }),
            |g| momentum_restart(g, 0.7, 0.01, 1),
            0.0,
        ),
        case(
            Box::new(MomentumRestart { rate: 0.1, friction: 0.7, epsilon: 0.01, start: 3 }),
            |g| momentum_restart(g, 0.7, 0.01, 3),
            0.0,
        ),
    ]
}

/// Largest relative difference between `STEPS` steps of the optimiser and of the formula.
fn difference(case: &Case, backend: &dyn Backend, dtype: DType, penalty: Penalty, decay: Penalty) -> f64 {
    let (shape, scale) = (Shape::matrix(3, 7), 0.5);
    let mut stream = Seed(11).stream("formulas", 0);
    let round = |v: f64| if dtype == DType::F32 { f64::from(v as f32) } else { v };
    let mut expected: Vec<f64> = (0..ENTRIES).map(|_| round(stream.normal())).collect();
    let mut history = vec![Vec::new(); ENTRIES];
    let (mut params, id) = arena(&expected, shape, dtype);
    // What a parameter carries and what the run adds count as one.
    let (carried, added) = (Penalty { l1: 0.0, l2: penalty.l2 / 5.0 }, Penalty { l2: penalty.l2 * 0.8, ..penalty });
    params.set_penalty(id, carried);
    let mut state = OptimizerState::new();
    for step in 0..STEPS {
        let gradient: Vec<f64> = (0..ENTRIES).map(|_| round(stream.normal())).collect();
        let rate = case.optimizer.rate() / (step + 1) as f64;
        for (w, (g, history)) in expected.iter_mut().zip(gradient.iter().zip(&mut history)) {
            history.push(scale * g + 2.0 * penalty.l2 * *w + penalty.l1 * w.signum());
            let beside = (case.decay + decay.l2) * *w + decay.l1 * w.signum();
            *w -= rate * (beside + (case.formula)(history));
        }
        let op = ParamStep {
            id,
            gradient: ParamGradient::Written(&tensor(&gradient, shape, dtype)),
            rate,
            gradient_scale: scale,
            penalty: added,
            decay,
        };
        state.step(&*case.optimizer, &mut params, backend, &op).unwrap();
    }
    let got = backend.download(params.get(id).value()).unwrap();
    got.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(0.1)).fold(0.0, f64::max)
}

/// Sparana F1, F2, F4, F5: the originals do nothing or fail with an L1 penalty alone, or without an L2 penalty. Theirs
/// decays beside the step.
#[test]
fn every_optimiser_follows_its_formula_on_every_backend_with_any_penalties() {
    let cpu = Cpu::with_threads(2).unwrap();
    let mut failures = Vec::new();
    for case in cases() {
        for (backend, dtype, tolerance) in
            [(&Reference as &dyn Backend, DType::F64, 1e-12), (&cpu, DType::F64, 1e-12), (&cpu, DType::F32, 2e-5)]
        {
            for (l1, l2) in [(0.0, 0.0), (0.03, 0.0), (0.0, 0.25), (0.03, 0.25)] {
                let (by, none) = (Penalty { l1, l2 }, Penalty::default());
                // In the gradient, or beside the step.
                for (penalty, decay) in [(by, none), (none, by)] {
                    let difference = difference(&case, backend, dtype, penalty, decay);
                    if difference.is_nan() || difference > tolerance {
                        let (name, optimizer) = (backend.name(), &case.optimizer);
                        failures.push(format!("{optimizer:?} {name} {dtype} {penalty:?} {decay:?}: {difference:e}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Values of one entry after each of `gradients`, by `optimizer` at rate 1.
fn path(optimizer: &dyn Optimizer, gradients: &[f64], penalty: Penalty) -> Vec<f64> {
    let shape = Shape::vector(1);
    let (mut params, id) = arena(&[0.0], shape, DType::F64);
    let mut state = OptimizerState::new();
    let step = |g: &f64| {
        let op = ParamStep {
            id,
            gradient: ParamGradient::Written(&tensor(&[*g], shape, DType::F64)),
            rate: 1.0,
            gradient_scale: 1.0,
            penalty,
            decay: Penalty::default(),
        };
        state.step(optimizer, &mut params, &Reference, &op).unwrap();
        params.get(id).value().host::<f64>().unwrap()[0]
    };
    gradients.iter().map(step).collect()
}

/// Sparana F4: the original fails without an L2 penalty.
#[test]
fn sign_agreement_grows_the_step_until_the_sign_changes() {
    let optimizer = SignAgreement { rate: 1.0, friction: 0.5 };
    let gradients = [1.0, 1.0, 1.0, -2.0, -2.0, 0.0, -2.0];
    let sizes = [-1.0, -1.5, -1.75, 2.0, 3.0, 0.0, 2.0];
    let mut at = 0.0;
    for (got, step) in path(&optimizer, &gradients, Penalty::default()).into_iter().zip(sizes) {
        at += step;
        assert_eq!(got, at);
    }
}

/// Sparana F5: the velocity is 0 while the step is below 10, and the original fails without an L2 penalty.
#[test]
fn momentum_restart_remembers_nothing_before_step_ten() {
    let optimizer = MomentumRestart { rate: 1.0, friction: 0.5, ..MomentumRestart::default() };
    assert_eq!(optimizer.start, 10);
    let mut gradients = [1.0; 14];
    gradients[12] = -1.0;
    let path = path(&optimizer, &gradients, Penalty::default());
    let steps: Vec<f64> = std::iter::once(path[0]).chain(path.windows(2).map(|w| w[1] - w[0])).collect();
    // Step 10 is the first to leave a velocity, 11 to use it; 13 opposes it, so 14 starts from 13 alone.
    assert_eq!(steps[..10], [-1.0; 10]);
    assert_eq!(steps[10..], [-2.0, -2.5, -0.75, 0.0]);
}

#[test]
fn steps_are_counted_per_parameter() {
    // A parameter that begins to train later gets Adam's correction for its own first step.
    let shape = Shape::vector(1);
    let (mut params, id) = arena(&[0.0], shape, DType::F64);
    let late = params.push(spectral_core::Param::new(
        "late",
        spectral_core::Role::Bias,
        &[],
        tensor(&[0.0], shape, DType::F64),
    ));
    let mut state = OptimizerState::new();
    let gradient = tensor(&[3.0], shape, DType::F64);
    let mut step = |params: &mut _, id| {
        let op = ParamStep {
            id,
            gradient: ParamGradient::Written(&gradient),
            rate: 0.1,
            gradient_scale: 1.0,
            penalty: Penalty::default(),
            decay: Penalty::default(),
        };
        state.step(&Adam::default(), params, &Reference, &op).unwrap();
    };
    (0..5).for_each(|_| step(&mut params, id));
    step(&mut params, late);
    let first = params.get(late).value().host::<f64>().unwrap()[0];
    assert!((first + 0.1).abs() < 1e-8, "{first}");
}
