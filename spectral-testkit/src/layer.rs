//! What core expects of a layer.

use crate::probe::{BATCH, Probe, Wiring, ids};
use crate::{Failed, Report, gradcheck};
use spectral_core::registry::find;
use spectral_core::{
    Activation, BackendHandle, Change, DType, Gradients, IntoBackend, Layer, LayerEntry, Mode, Model, NodeSpec, Param,
    Plan, Result, Role, Seed, Session, Shape, Source, UnitAxis, Units, boundary,
};
use std::sync::Arc;

/// Checks all that core expects of a layer over `inputs`:
///
/// * its gradients ([`gradcheck::layer`]), and those with one more input if it accepts that;
/// * it is registered under its kind and its configuration builds the same layer again;
/// * it rejects missing and empty inputs; its parameters fit their axes and have unique names;
/// * its op computes what its forward pass computes at inference, for other batch sizes too;
/// * it is deterministic, gives NaN only for inputs with NaN, and f32 results agree with f64;
/// * its op and the changes that it accepts ([`Layer::with`]) are what they claim to be.
///
/// # Errors
/// One of these checks failed; the error lists all failures.
pub fn conformance(
    backend: impl IntoBackend,
    layer: Arc<dyn Layer>,
    inputs: &[Shape],
    seed: Seed,
) -> Result<Report, Failed> {
    let backend = backend.into_backend();
    let mut report = Report::new(format!("layer `{}` over {inputs:?}", layer.kind()));
    let gradients = |inputs: &[Shape], report: &mut Report| {
        report.absorb(gradcheck::layer(&backend, layer.clone(), inputs, seed).unwrap_or_else(|f| f.0));
    };
    gradients(inputs, &mut report);
    let mut more = inputs.to_vec();
    more.extend(inputs.last());
    if layer.output_shape(&more).is_ok() {
        gradients(&more, &mut report);
    }
    let mut part = Report::default();
    for (what, run) in [
        ("configuration", configuration(&layer, inputs, &mut part)),
        ("shapes", shapes(&*layer, inputs, &mut part)),
        ("inference", inference(&backend, &layer, inputs, seed, &mut part)),
        ("units", units(&backend, &layer, inputs, seed, &mut part)),
    ] {
        part.attempt(what, run);
    }
    report.absorb(Report { suite: "contract".into(), ..part });
    report.into_result()
}

fn configuration(layer: &Arc<dyn Layer>, inputs: &[Shape], report: &mut Report) -> Result<()> {
    let entry = find::<LayerEntry>(layer.kind())?;
    let config = layer.config()?;
    let text = config.to_string();
    let read = serde_json::from_str(&text).map_err(|e| spectral_core::Error::Data(e.to_string()))?;
    let again = (entry.build)(read)?;
    report.expect(again.kind() == layer.kind(), "its configuration builds another kind of layer");
    report.expect(again.config()? == config, format!("its configuration changes when read back: {text}"));
    let shape = again.output_shape(inputs)?;
    report.expect(shape == layer.output_shape(inputs)?, "its configuration builds a layer of another output shape");
    let describe = |l: &dyn Layer| -> Result<String> { Ok(format!("{:?} {:?}", l.params(inputs)?, l.saved(inputs))) };
    report.expect(describe(&*again)? == describe(&**layer)?, "its configuration builds a layer of other parameters");
    Ok(())
}

fn shapes(layer: &dyn Layer, inputs: &[Shape], report: &mut Report) -> Result<()> {
    report.expect(layer.output_shape(&[]).is_err(), "output_shape accepts no inputs at all");
    for i in 0..inputs.len() {
        let mut hollow = inputs.to_vec();
        let mut extents = inputs[i].extents().to_vec();
        extents[0] = 0;
        hollow[i] = Shape::new(&extents)?;
        report.expect(layer.output_shape(&hollow).is_err(), format!("output_shape accepts an empty input {i}"));
    }
    let output = layer.output_shape(inputs)?;
    report.expect(!output.is_empty(), "its output is empty");
    let specs = layer.params(inputs)?;
    for (slot, spec) in specs.iter().enumerate() {
        let name = spec.name;
        let twice = specs[..slot].iter().any(|s| s.name == name);
        report.expect(!twice && !name.is_empty(), format!("parameter `{name}` needs a name of its own"));
        if spec.axes.is_empty() {
            continue;
        }
        let axes = spec.axes.len() <= spec.shape.rank();
        report.expect(axes, format!("`{name}` has more axes than its shape {}", spec.shape));
        for (&axis, &extent) in spec.axes.iter().zip(spec.shape.extents()) {
            let want = match axis {
                UnitAxis::Out => output.rows(),
                UnitAxis::In => inputs[0].rows(),
            };
            report.expect(extent == want, format!("axis {axis:?} of `{name}` has {extent} entries for {want} units"));
        }
        let last = slot + 1 == specs.len();
        report.expect(spec.role != Role::Bias || last, format!("bias `{name}` is not the last parameter"));
    }
    Ok(())
}

fn inference(
    backend: &BackendHandle,
    layer: &Arc<dyn Layer>,
    inputs: &[Shape],
    seed: Seed,
    report: &mut Report,
) -> Result<()> {
    let probe = Probe::new(backend, layer, inputs, (Wiring::Separate, 1), seed)?;
    let mut workspace = probe.workspace(Gradients::None)?;
    let width = probe.input.len() / BATCH;
    let want = probe.output(&mut workspace, Mode::Infer, &probe.input)?;
    let batch_first = ndarray_from(&probe.input, width);
    for capacity in [BATCH, BATCH + 2, 1] {
        let mut session = Session::with_capacity(&probe.model, &Plan::default(), capacity)?;
        let got = session.run(batch_first.view())?;
        let outputs = got.ncols();
        let got: Vec<f64> = (0..outputs * BATCH).map(|i| got[(i % BATCH, i / BATCH)]).collect();
        let error = relative(&want, &got);
        report
            .expect(error <= 1e-12, format!("a session at capacity {capacity} is off the forward pass by {error:.1e}"));
    }

    let again = probe.output(&mut workspace, Mode::Infer, &probe.input)?;
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    report.expect(bits(&want) == bits(&again), "the same inputs give other bits the second time");

    let model = probe.model.to_backend(backend, DType::F32)?;
    let mut session = Session::new(&model, &Plan::default())?;
    let narrow = session.run(batch_first.mapv(|v| v as f32).view())?;
    let narrow: Vec<f64> = (0..want.len()).map(|i| f64::from(narrow[(i % BATCH, i / BATCH)])).collect();
    let error = relative(&want, &narrow);
    report.expect(error <= 1e-4, format!("f32 is off f64 by {error:.1e}"));

    for size in [0.0, 1e-30, 1e3, 1e6] {
        for mode in [Mode::Infer, Mode::Train] {
            let input: Vec<f64> = probe.input.iter().map(|v| v * size).collect();
            let clean = probe.output(&mut workspace, mode, &input)?.iter().all(|v| !v.is_nan());
            report.expect(clean, format!("inputs of size {size:e} give NaN in mode {mode:?}"));
        }
    }
    Ok(())
}

/// `[batch, features]` from `[features, batch]`.
fn ndarray_from(major: &[f64], width: usize) -> ndarray::Array2<f64> {
    let mut rows = ndarray::Array2::zeros((BATCH, width));
    boundary::transpose_out(major, rows.view_mut());
    rows
}

/// The largest difference, relative to the largest value.
fn relative(want: &[f64], got: &[f64]) -> f64 {
    let largest = want.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let worst = want.iter().zip(got).fold(0.0, |m: f64, (w, g)| if (w - g).abs() <= m { m } else { (w - g).abs() });
    if want.len() == got.len() { worst / largest } else { f64::INFINITY }
}

/// Checks that another activation changes nothing else, and that the output of `linear` is linear in the rows of its
/// matrices and bias.
fn scaled_rows(
    backend: &BackendHandle,
    layer: &Arc<dyn Layer>,
    linear: &Arc<dyn Layer>,
    inputs: &[Shape],
    seed: Seed,
    report: &mut Report,
) -> Result<()> {
    let describe = |l: &dyn Layer| Ok::<_, spectral_core::Error>(format!("{:?} {:?}", l.kind(), l.params(inputs)?));
    let same = describe(&**layer)? == describe(&**linear)?;
    report.expect(same, "another activation changes the kind or the parameters");
    let mut probe = Probe::new(backend, linear, inputs, (Wiring::Separate, 1), seed)?;
    let mut workspace = probe.workspace(Gradients::None)?;
    let input = probe.input.clone();
    let before = probe.output(&mut workspace, Mode::Infer, &input)?;
    let units = linear.output_shape(inputs)?.rows();
    let factor = |u: usize| u as f64 - 0.5;
    for id in ids(probe.model.params()) {
        let param = probe.model.params().get(id);
        if !(param.role.is_matrix() || param.role == Role::Bias) || param.axes.first() != Some(&UnitAxis::Out) {
            continue;
        }
        let mut values = backend.download(param.value())?;
        let rows: Vec<usize> = match &param.pattern {
            Some(pattern) => pattern.iter().map(|(row, _)| row).collect(),
            None => (0..values.len()).map(|k| k / param.value().shape().columns()).collect(),
        };
        values.iter_mut().zip(rows).for_each(|(v, u)| *v *= factor(u));
        probe.set(id, &values)?;
    }
    let after = probe.output(&mut workspace, Mode::Infer, &input)?;
    let of_unit = before.len() / units;
    let want: Vec<f64> = before.iter().enumerate().map(|(i, y)| y * factor(i / of_unit)).collect();
    let error = relative(&want, &after);
    report.expect(error <= 1e-12, format!("its rows times a factor are off the output times it by {error:.1e}"));
    Ok(())
}

fn units(
    backend: &BackendHandle,
    layer: &Arc<dyn Layer>,
    inputs: &[Shape],
    seed: Seed,
    report: &mut Report,
) -> Result<()> {
    let output = layer.output_shape(inputs)?;
    let own = layer.op().units();
    match own {
        Units::Own => {
            for units in [1, output.rows() + 2] {
                let Some(resized) = layer.with(Change::Units(units)) else {
                    report.expect(false, "it makes units of its own but accepts no other number of them");
                    break;
                };
                report.expect(resized.kind() == layer.kind(), "another number of units makes another kind of layer");
                let rows = resized.output_shape(inputs)?.rows();
                report.expect(rows == units, format!("with {units} units it has {rows}"));
                shapes(&*resized, inputs, report)?;
                let back = resized.with(Change::Units(output.rows())).map(|l| l.config()).transpose()?;
                // Settings for single initial units are dropped with them.
                let own = layer.with(Change::Units(output.rows())).map(|l| l.config()).transpose()?;
                report.expect(back == own, "another number of units changes more than that");
            }
        }
        Units::Same => {
            let fit = inputs.iter().all(|s| s.rows() == output.rows());
            report.expect(fit, "it says output units are those of every input, but their numbers differ");
        }
        Units::Concat => {
            let sum: usize = inputs.iter().map(Shape::rows).sum();
            report.expect(sum == output.rows(), "it says output units are those of all inputs, but numbers differ");
        }
        Units::Flatten => {
            let fit = inputs.len() == 1 && output.rank() == 1 && output.rows() == inputs[0].len();
            report.expect(fit, "it says it flattens its input, but its output is no row of all values");
        }
        Units::Fixed => {}
    }
    if own != Units::Own {
        let none = layer.with(Change::Units(1)).is_none();
        report.expect(none, "it makes no units of its own but accepts another number of them");
    }
    if let Some(linear) = layer.with(Change::Activation(Activation::Identity)) {
        scaled_rows(backend, layer, &linear, inputs, seed, report)?;
    }
    let Some(with) = layer.with(Change::Bias) else { return Ok(()) };
    let (before, after) = (layer.params(inputs)?, with.params(inputs)?);
    report.expect(with.kind() == layer.kind(), "a bias makes another kind of layer");
    report.expect(with.with(Change::Bias).is_none(), "it offers a second bias");
    let grown = after.len() == before.len() + 1
        && after.last().is_some_and(|b| b.role == Role::Bias && b.shape == Shape::vector(output.rows()))
        && before.iter().zip(&after).all(|(b, a)| b.name == a.name && b.shape == a.shape);
    report.expect(grown, "a bias must add one parameter, a bias over the units, in the last slot");
    if !grown || inputs.len() != 1 || inputs[0].rank() != 1 {
        return Ok(());
    }
    let build = |layer: &Arc<dyn Layer>| {
        let node = NodeSpec { name: "tested".into(), layer: layer.clone(), inputs: vec![Source::Input] };
        Model::build(inputs[0], &[node], backend, DType::F64, seed)
    };
    let (old, mut new) = (build(layer)?, build(&with)?);
    let ids: Vec<_> = new.params().iter().map(|(id, _)| id).collect();
    for (i, id) in ids.into_iter().enumerate() {
        let old = old.params().iter().nth(i).map(|(_, p)| p);
        let values = old.map(|p| backend.download(p.value())).transpose()?;
        let (params, backend) = new.params_mut();
        params.set_pruned(backend, id, old.and_then(Param::pruned).cloned())?;
        params.edit(backend, id, |t| backend.write(&values.unwrap_or_else(|| vec![0.0; t.len()]), t))?;
    }
    let x = ndarray::Array2::from_shape_fn((BATCH, inputs[0].len()), |(b, f)| (b as f64 - 0.7) * (f as f64 + 0.3));
    let run = |model: &Model| Session::new(model, &Plan::default())?.run(x.view());
    report.expect(run(&old)? == run(&new)?, "a bias of zeros changes the output");
    Ok(())
}
