//! Vector-Jacobian products against finite differences, in f64.

mod difference;

use crate::probe::{Differentiated, Probe, Wiring, ids};
use crate::{Failed, Report};
use difference::{Comparison, derivative};
use spectral_core::backend::{Accum, GradSlot, LossKernel, LossKind};
use spectral_core::{
    BackendHandle, DType, Gradients, IntoBackend, Layer, Result, Seed, Shape, Tensor, Trainable, Workspace,
};
use std::sync::Arc;

/// The largest relative error that passes.
pub const TOLERANCE: f64 = 1e-6;

/// The largest share of coordinates that may lie so close to a kink that no difference quotient settles.
const SKIPPED: f64 = 0.1;

/// Checks a layer's VJP on a small f64 model with random parameters (biases and eigenvalues not zero), in training
/// mode with a fixed key, through a random linear functional of the output:
///
/// * gradients of all parameters and inputs agree with finite differences to [`TOLERANCE`];
/// * a source or parameter that is used twice receives the sum of both gradients;
/// * nothing depends on running averages, and what a pass writes to their slots does not depend on the old content;
/// * frozen parameters receive no gradient, and freezing does not change the other gradients;
/// * the first contribution to a buffer never reads its old content.
///
/// Pruned entries are not varied. A coordinate is skipped if it is so close to a kink (of relu, for example) that no
/// step is small enough; more than a tenth of such coordinates is a failure.
///
/// # Errors
/// One of these checks failed; the error lists all failures.
pub fn layer(backend: impl IntoBackend, layer: Arc<dyn Layer>, inputs: &[Shape], seed: Seed) -> Result<Report, Failed> {
    let backend = backend.into_backend();
    let mut report = Report::new(format!("gradients of layer `{}` over {inputs:?}", layer.kind()));
    let mut wirings =
        vec![("once", Wiring::Separate, 1), ("with sources and parameters used twice", Wiring::Separate, 2)];
    if inputs.len() > 1 && inputs.iter().all(|s| *s == inputs[0]) {
        wirings.push(("with one source for all inputs", Wiring::Shared, 1));
    }
    for (how, wiring, copies) in wirings {
        let run = check(&backend, &layer, inputs, (wiring, copies), seed);
        if let Some(part) = report.attempt(how, run) {
            report.absorb(Report { suite: how.into(), ..part });
        }
    }
    report.into_result()
}

fn check(
    backend: &BackendHandle,
    layer: &Arc<dyn Layer>,
    inputs: &[Shape],
    wiring: (Wiring, usize),
    seed: Seed,
) -> Result<Report> {
    let mut report = Report::default();
    let mut probe = Probe::new(backend, layer, inputs, wiring, seed)?;
    let mut workspace = probe.workspace(Gradients::ParametersAndInput)?;
    let analytic = probe.gradients(&mut workspace)?;
    differences(&mut probe, &mut workspace, &analytic, &mut report)?;
    poisoned(&probe, &mut workspace, &analytic, &mut report)?;
    frozen(&mut probe, &analytic, &mut report)?;
    Ok(report)
}

/// Analytic gradients against differences of the functional.
fn differences(
    probe: &mut Probe,
    workspace: &mut Workspace,
    analytic: &Differentiated,
    report: &mut Report,
) -> Result<()> {
    for id in ids(probe.model.params()) {
        let param = probe.model.params().get(id);
        let name = param.name.clone();
        let pruned = param.pruned().cloned();
        let mut values = probe.model.backend().download(param.value())?;
        let Some(gradient) = &analytic.params[id.index()] else {
            report.expect(values.is_empty(), format!("`{name}` trains but received no gradient"));
            continue;
        };
        // Training does not compute with a running average; its slot holds the values seen in the batch.
        let none = vec![0.0; values.len()];
        let gradient = if probe.model.params().get(id).averaged().is_some() { &none } else { gradient };
        let mut comparison = Comparison::new(&name, gradient);
        for i in (0..values.len()).filter(|&i| !pruned.as_ref().is_some_and(|m| m.contains(i))) {
            let at = values[i];
            let numeric = derivative(comparison.floor(), |step| {
                values[i] = at + step;
                probe.set(id, &values)?;
                probe.value(workspace)
            })?;
            values[i] = at;
            probe.set(id, &values)?;
            comparison.add(i, numeric);
        }
        comparison.finish(report);
    }
    let gradient = analytic.input.clone().unwrap_or_default();
    report.expect(!gradient.is_empty(), "the input received no gradient");
    let mut comparison = Comparison::new("input", &gradient);
    for i in 0..gradient.len() {
        let at = probe.input[i];
        let numeric = derivative(comparison.floor(), |step| {
            probe.input[i] = at + step;
            probe.value(workspace)
        })?;
        probe.input[i] = at;
        comparison.add(i, numeric);
    }
    comparison.finish(report);
    Ok(())
}

/// A pass over buffers full of NaN gives the same bits as one over fresh buffers.
fn poisoned(probe: &Probe, workspace: &mut Workspace, clean: &Differentiated, report: &mut Report) -> Result<()> {
    probe.poison(workspace)?;
    let again = probe.gradients(workspace)?;
    let same = |a: &Option<Vec<f64>>, b: &Option<Vec<f64>>| match (a, b) {
        (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()),
        (a, b) => a.is_none() && b.is_none(),
    };
    let names = probe.model.params().iter().map(|(_, p)| p.name.as_str());
    let pairs = clean.params.iter().zip(&again.params).chain([(&clean.input, &again.input)]);
    for (name, (a, b)) in names.chain(["input"]).zip(pairs) {
        report.expect(same(a, b), format!("gradient of `{name}` depends on what its buffers held before"));
    }
    Ok(())
}

/// Frozen parameters get no gradient, and the others get the same as before.
fn frozen(probe: &mut Probe, all: &Differentiated, report: &mut Report) -> Result<()> {
    let ids = ids(probe.model.params());
    let subsets = ids.iter().map(|&id| vec![id]).chain([ids.clone()]).filter(|s| !s.is_empty());
    for subset in subsets.collect::<Vec<_>>() {
        for &id in &subset {
            probe.train(id, Trainable::None)?;
        }
        for wanted in [Gradients::Parameters, Gradients::Products, Gradients::ParametersAndInput] {
            let mut workspace = probe.workspace(wanted)?;
            let part = probe.gradients(&mut workspace)?;
            let named = probe.model.params().iter().map(|(id, p)| (id, p.name.as_str()));
            for ((id, name), (old, new)) in named.zip(all.params.iter().zip(&part.params)) {
                if subset.contains(&id) {
                    report.expect(new.is_none(), format!("`{name}` is frozen but received a gradient"));
                } else {
                    report.expect(close(old, new), format!("freezing others changed the gradient of `{name}`"));
                }
            }
            if wanted == Gradients::ParametersAndInput {
                report.expect(close(&all.input, &part.input), "freezing parameters changed the gradient of the input");
            }
        }
        for &id in &subset {
            probe.train(id, Trainable::All)?;
        }
    }
    Ok(())
}

/// Equal up to rounding, because another set of wanted gradients may take another path.
fn close(a: &Option<Vec<f64>>, b: &Option<Vec<f64>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let largest = a.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * largest)
}

/// Every loss that has a kernel.
pub const LOSSES: [LossKind; 2] = [LossKind::SoftmaxCrossEntropy, LossKind::MeanSquaredError];

/// A new loss must be added to [`LOSSES`] before this compiles.
const fn listed(kind: LossKind) -> usize {
    match kind {
        LossKind::SoftmaxCrossEntropy => 0,
        LossKind::MeanSquaredError => 1,
    }
}

const _: () = {
    let mut i = 0;
    while i < LOSSES.len() {
        assert!(listed(LOSSES[i]) == i);
        i += 1;
    }
};

/// Checks a loss's gradient against finite differences, for classes, distributions and arbitrary values as targets.
/// Also checks that it is scaled and accumulated as requested, and that the first contribution does not read the old
/// content.
///
/// # Errors
/// One of these checks failed; the error lists all failures.
pub fn loss(backend: impl IntoBackend, kind: LossKind) -> Result<Report, Failed> {
    let backend = backend.into_backend();
    let mut report = Report::new(format!("gradient of loss {kind:?}"));
    for (outputs, batch) in [(1, 1), (5, 3), (10, 7)] {
        for targets in ["classes", "distributions", "values"] {
            let what = format!("{targets} [{outputs}, {batch}]");
            let run = check_loss(&backend, kind, (outputs, batch), targets);
            if let Some(part) = report.attempt(&what, run) {
                report.absorb(Report { suite: what, ..part });
            }
        }
    }
    report.into_result()
}

fn check_loss(
    backend: &BackendHandle,
    kind: LossKind,
    (outputs, batch): (usize, usize),
    targets: &str,
) -> Result<Report> {
    let scale = 0.3;
    let mut stream = Seed(11).stream(targets, (outputs * 100 + batch) as u64);
    let n = outputs * batch;
    let mut y: Vec<f64> = (0..n).map(|_| stream.uniform(-2.0, 2.0)).collect();
    let mut t: Vec<f64> = (0..n).map(|_| stream.uniform(0.1, 1.0)).collect();
    for b in 0..batch {
        let sum: f64 = t[b..].iter().step_by(batch).sum();
        let class = stream.below(outputs);
        for (o, t) in t[b..].iter_mut().step_by(batch).enumerate() {
            match targets {
                "classes" => *t = f64::from(o == class),
                "distributions" => *t /= sum,
                _ => {}
            }
        }
    }
    let make = |values: &[f64]| -> Result<Tensor> {
        let mut tensor = backend.zeros(Shape::matrix(outputs, batch), DType::F64)?;
        backend.write(values, &mut tensor)?;
        Ok(tensor)
    };
    let targets = make(&t)?;
    let value = |y: &[f64], gradient: Option<GradSlot<'_>>| -> Result<f64> {
        let mut totals = backend.zeros(Shape::vector(2), DType::F64)?;
        let op = LossKernel { kind, outputs: &make(y)?, targets: &targets, gradient_scale: scale };
        backend.loss(&op, &mut totals, gradient)?;
        Ok(backend.download(&totals)?[0] * scale)
    };
    let mut buffer = make(&vec![f64::NAN; n])?;
    value(&y, Some(GradSlot { tensor: &mut buffer, accum: Accum::Replace }))?;
    let gradient = backend.download(&buffer)?;
    value(&y, Some(GradSlot { tensor: &mut buffer, accum: Accum::Add }))?;
    let twice = backend.download(&buffer)?;
    let mut report = Report::default();
    let doubled = gradient.iter().zip(&twice).all(|(g, t)| (2.0 * g - t).abs() <= 1e-14 * g.abs());
    report.expect(doubled, "adding the gradient to itself does not double it");
    let mut comparison = Comparison::new("outputs", &gradient);
    for i in 0..n {
        let at = y[i];
        let numeric = derivative(comparison.floor(), |step| {
            y[i] = at + step;
            value(&y, None)
        })?;
        y[i] = at;
        comparison.add(i, numeric);
    }
    comparison.finish(&mut report);
    Ok(report)
}
