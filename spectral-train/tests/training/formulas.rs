//! Every optimiser against its formula, written as a sum over the history of gradients, in f64.

use crate::support::{arena, tensor};
use spectral_core::{Backend, DType, Penalty, Reference, Seed, Shape};
use spectral_cpu::Cpu;
use spectral_train::{Adam, AdamW, Adamax, Momentum, Nesterov, Optimizer, OptimizerState, ParamStep, RmsProp, Sgd};

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

fn cases() -> Vec<Case> {
    let case = |optimizer: Box<dyn Optimizer>, formula: Formula, decay| Case { optimizer, formula, decay };
    let adamw = AdamW { rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.3 };
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
            Box::new(RmsProp { rate: 0.05, rho: 0.9, epsilon: 1e-3, epsilon_inside: false }),
            |g| last(g) / ((0.1 * faded(g, 0.9, |g| g * g)).sqrt() + 1e-3),
            0.0,
        ),
        case(
            Box::new(RmsProp { rate: 0.05, rho: 0.9, epsilon: 1e-3, epsilon_inside: true }),
            |g| last(g) / (0.1 * faded(g, 0.9, |g| g * g) + 1e-3).sqrt(),
            0.0,
        ),
    ]
}

/// Largest relative difference between `STEPS` steps of the optimiser and of the formula.
fn difference(case: &Case, backend: &dyn Backend, dtype: DType) -> f64 {
    let shape = Shape::matrix(3, 7);
    let (penalty, scale) = (Penalty { l1: 0.03, l2: 0.2 }, 0.5);
    let mut stream = Seed(11).stream("formulas", 0);
    let round = |v: f64| if dtype == DType::F32 { f64::from(v as f32) } else { v };
    let mut expected: Vec<f64> = (0..ENTRIES).map(|_| round(stream.normal())).collect();
    let mut history = vec![Vec::new(); ENTRIES];
    let (mut params, id) = arena(&expected, shape, dtype);
    params.set_penalty(id, Penalty { l1: 0.0, l2: 0.05 });
    let mut state = OptimizerState::new();
    for step in 0..STEPS {
        let gradient: Vec<f64> = (0..ENTRIES).map(|_| round(stream.normal())).collect();
        let rate = case.optimizer.rate() / (step + 1) as f64;
        for (w, (g, history)) in expected.iter_mut().zip(gradient.iter().zip(&mut history)) {
            history.push(scale * g + 2.0 * (0.2 + 0.05) * *w + 0.03 * w.signum());
            *w -= rate * case.decay * *w + rate * (case.formula)(history);
        }
        let op = ParamStep { id, gradient: &tensor(&gradient, shape, dtype), rate, gradient_scale: scale, penalty };
        state.step(&*case.optimizer, &mut params, backend, &op).unwrap();
    }
    let got = backend.download(params.get(id).value()).unwrap();
    got.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(0.1)).fold(0.0, f64::max)
}

#[test]
fn every_optimiser_follows_its_formula_on_every_backend() {
    let cpu = Cpu::with_threads(2).unwrap();
    let mut failures = Vec::new();
    for case in cases() {
        for (backend, dtype, tolerance) in
            [(&Reference as &dyn Backend, DType::F64, 1e-12), (&cpu, DType::F64, 1e-12), (&cpu, DType::F32, 2e-5)]
        {
            let difference = difference(&case, backend, dtype);
            if difference.is_nan() || difference > tolerance {
                failures.push(format!("{:?} {} {dtype}: {difference:e}", case.optimizer, backend.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
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
        let op = ParamStep { id, gradient: &gradient, rate: 0.1, gradient_scale: 1.0, penalty: Penalty::default() };
        state.step(&Adam::default(), params, &Reference, &op).unwrap();
    };
    (0..5).for_each(|_| step(&mut params, id));
    step(&mut params, late);
    let first = params.get(late).value().host::<f64>().unwrap()[0];
    assert!((first + 0.1).abs() < 1e-8, "{first}");
}
