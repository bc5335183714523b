//! Whole networks at inference, through the boundary: `[batch, features]` in, `[batch, outputs]` out.

use super::contest::{Burst, Contest, repeated, same};
use super::train::name;
use super::{Arena, Bar, Row};
use crate::Result;
use ndarray::Array2;
use spectral_core::{Activation, BackendHandle, Mask, Model, Plan, Seed, Session};
use spectral_layers::Network;
use spectral_prune::{Prune, compact as remove_units};
use spectral_sparse::{Policy, sparsify};
use spectral_workflow::stage;

const WIDTHS: [usize; 5] = [784, 1000, 800, 400, 10];

/// Share of the weights that the sparse network has.
const DENSITY: f64 = 0.1;

/// Dense and 90 % sparse, against ONNX Runtime and PyTorch on the same (dense) network.
pub(super) fn dense(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in arena.threads() {
        let backend = arena.cpu(threads)?;
        for batch in [1, 128] {
            for (kind, least) in [("dense", 1.0 / 1.15), ("90%", if batch == 1 { 4.0 } else { 3.5 })] {
                let mut model = network(&backend)?;
                if kind != "dense" {
                    thin(&mut model)?;
                }
                let x = inputs(batch);
                let file = hand_over(arena, &model, &x)?;
                let rivals = arena.make("mlp", threads, &file)?;
                let converted = match kind {
                    "dense" => model,
                    _ => sparsify(&model, &Policy::default())?.model,
                };
                let y = Session::new(&converted, &plan(&converted))?.run(x.view())?;
                same(kind, f64::from(y.mapv(f32::abs).mean().unwrap_or_default()), &rivals)?;
                let times = arena.compete(Contest::new(running(&converted, &x)?), &rivals)?;
                let flops = (batch * stage::count(&converted)?.flops) as f64;
                let bar = Some(Bar { rival: "onnxruntime", least });
                let title = format!("inference/{}/{kind}/b{batch}/t{threads}", name(&WIDTHS));
                let row = Row::new(title, threads, flops, times, bar);
                // Two operations read a 32-bit weight, and a 16-bit index where it is sparse.
                let bytes = if kind == "dense" { 4 } else { 6 };
                rows.push(if batch == 1 { row.reading(flops as usize / 2 * bytes) } else { row });
            }
        }
    }
    Ok(rows)
}

/// 80 % of the units removed, against the network before: the time saved must come close to the work saved.
pub(super) fn compact(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    const BATCH: usize = 128;
    let mut rows = Vec::new();
    for threads in arena.threads() {
        let dense = network(&arena.cpu(threads)?)?;
        let mut pruned = dense.duplicate()?;
        let x = inputs(BATCH);
        let data = spectral_core::Samples::new(
            "bench",
            x.clone(),
            spectral_core::Targets::Classes { labels: vec![0; BATCH], classes: 10 },
        )?;
        Prune::by("magnitude").units().per_layer().amount(0.8).apply(&mut pruned, &data)?;
        let small = remove_units(&pruned)?.model;
        let flops = |model: &Model| -> Result<f64> { Ok((BATCH * stage::count(model)?.flops) as f64) };
        let work = flops(&dense)? / flops(&small)?;
        let contest = Contest::new(running(&small, &x)?).against("our dense network", running(&dense, &x)?);
        let bar = Some(Bar { rival: "our dense network", least: work / 1.3 });
        let title = format!("compact/{}/80% of units/b{BATCH}/t{threads}", name(&WIDTHS));
        let times = arena.compete(contest, &[])?;
        rows.push(Row::new(title, threads, flops(&small)?, times, bar));
    }
    Ok(rows)
}

fn network(backend: &BackendHandle) -> Result<Model> {
    let mut network = Network::new(WIDTHS[0]);
    for (i, &units) in WIDTHS.iter().enumerate().skip(1) {
        let last = i + 1 == WIDTHS.len();
        network = network.dense(units, if last { Activation::Identity } else { Activation::Relu });
    }
    Ok(network.build(backend, Seed(0))?)
}

/// Prunes random weights of every layer.
fn thin(model: &mut Model) -> Result<()> {
    let mut stream = Seed(2).stream("bench", 0);
    let (params, backend) = model.params_mut();
    let matrices: Vec<_> =
        params.iter().filter(|(_, p)| p.role.is_matrix()).map(|(id, p)| (id, p.value().len())).collect();
    for (id, len) in matrices {
        let mask = Mask::from_fn(len, |_| stream.unit() >= DENSITY);
        params.prune(backend, id, &mask)?;
    }
    Ok(())
}

fn inputs(batch: usize) -> Array2<f32> {
    let mut stream = Seed(3).stream("bench", 0);
    Array2::from_shape_simple_fn((batch, WIDTHS[0]), || stream.unit() as f32 - 0.5)
}

fn plan(model: &Model) -> Plan {
    model.meta.plan.clone().unwrap_or_default()
}

/// Runs a network again and again on the same inputs.
fn running<'a>(model: &'a Model, x: &'a Array2<f32>) -> Result<Burst<'a>> {
    let mut session = Session::with_capacity(model, &plan(model), x.nrows())?;
    let mut y = Array2::<f32>::zeros((x.nrows(), model.graph().output().len()));
    Ok(repeated(move || Ok(session.run_into(x.view(), y.view_mut())?)))
}

/// The network and its inputs, as the other side reads them.
fn hand_over(arena: &Arena<'_>, model: &Model, x: &Array2<f32>) -> Result<String> {
    let mut head = vec![x.nrows() as i64, WIDTHS.len() as i64 - 1];
    head.extend(WIDTHS.map(|w| w as i64));
    let mut bytes: Vec<u8> = head.iter().flat_map(|n| n.to_le_bytes()).collect();
    for (_, param) in model.params().iter() {
        bytes.extend(param.value().host::<f32>()?.iter().flat_map(|v| v.to_le_bytes()));
    }
    bytes.extend(x.iter().flat_map(|v| v.to_le_bytes()));
    arena.hand_over("network.bin", &[&bytes])
}
