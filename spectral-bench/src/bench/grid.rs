//! The promise that a chosen plan is never slower than dense, over shapes, sparsities and batch classes.

use super::contest::Times;
use super::{Arena, Bar, Row};
use crate::Result;
use spectral_core::{Activation, BATCH_CLASSES, BackendHandle, Kernel, Mask, Model, Plan, Seed, Session};
use spectral_layers::Network;
use spectral_sparse::measure::{Monotonic, Paired, Timing, paired_timed};
use spectral_sparse::{Policy, sparsify};
use std::time::Duration;

const SHAPES: [(usize, usize); 5] = [(100, 300), (300, 784), (1000, 784), (1024, 1024), (4096, 4096)];
const SPARSITIES: [f64; 6] = [0.0, 0.5, 0.8, 0.9, 0.95, 0.99];

/// A longer look than the one that chose.
const TIMING: Timing = Timing {
    warmup: Duration::from_millis(5),
    budget: Duration::from_millis(150),
    pairs: 101,
    span: Duration::from_micros(200),
};

pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let threads = arena.cx.threads;
    let backend = arena.cpu(threads)?;
    let mut rows = Vec::new();
    for (outputs, inputs) in SHAPES {
        for zeros in SPARSITIES {
            let dense = layer(&backend, outputs, inputs, zeros)?;
            let chosen = sparsify(&dense, &Policy::default())?;
            for batch in BATCH_CLASSES {
                let kernel =
                    chosen.plan.layers.values().find_map(|of| of.get(&batch)).map_or(Kernel::Dense, |c| c.kernel);
                let name = format!("grid/{outputs}x{inputs}/{:.0}%/b{batch}/{kernel}", 100.0 * zeros);
                let flops = 2.0 * (batch * outputs * inputs) as f64 * (1.0 - zeros);
                let paired = compare(&dense, &chosen.model, &chosen.plan, batch)?;
                rows.push(row(name, threads, flops, kernel, &paired));
            }
        }
    }
    Ok(rows)
}

/// A plan that says dense runs the same code: it counts as level, whatever was measured.
fn row(name: String, threads: usize, flops: f64, kernel: Kernel, paired: &Paired) -> Row {
    let (dense, ours) = (paired.a_median / 1e6, paired.b_median / 1e6);
    let same = kernel == Kernel::Dense;
    let times = Times { ours: vec![ours], rivals: vec![("our dense".into(), vec![if same { ours } else { dense }])] };
    let bar = Some(Bar { rival: "our dense", least: 1.0 });
    let mut row = Row::new(name, threads, flops, times, bar);
    row.spread = (paired.quartiles.1 - paired.quartiles.0) / paired.ratio_median;
    row.pass = Some(same || paired.interval.0 > 1.0);
    row
}

fn compare(dense: &Model, chosen: &Model, plan: &Plan, batch: usize) -> Result<Paired> {
    let mut stream = Seed(3).stream("bench", 0);
    let x = ndarray::Array2::from_shape_simple_fn((batch, dense.graph().input().len()), || stream.unit() as f32);
    let mut out = ndarray::Array2::<f32>::zeros((batch, dense.graph().output().len()));
    let mut again = out.clone();
    let mut a = Session::with_capacity(dense, &Plan::default(), batch)?;
    let mut b = Session::with_capacity(chosen, plan, batch)?;
    let run_a = || a.run_into(x.view(), out.view_mut());
    let run_b = || b.run_into(x.view(), again.view_mut());
    Ok(paired_timed(&Monotonic::default(), &TIMING, run_a, run_b)?)
}

/// One layer with so many of its weights pruned.
fn layer(backend: &BackendHandle, outputs: usize, inputs: usize, zeros: f64) -> Result<Model> {
    let mut model = Network::new(inputs).dense(outputs, Activation::Relu).build(backend, Seed(0))?;
    let mut stream = Seed(2).stream("bench", 0);
    let (params, backend) = model.params_mut();
    let weight = params.iter().find(|(_, p)| p.role.is_matrix()).map(|(id, p)| (id, p.value().len()));
    if let Some((id, len)) = weight {
        let mask = Mask::from_fn(len, |_| stream.unit() < zeros);
        params.prune(backend, id, &mask)?;
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_cell_must_win_surely_and_a_dense_one_is_level() {
        let paired = |low| Paired {
            ratio_median: 1.1,
            quartiles: (1.0, 1.2),
            interval: (low, 1.2),
            a_median: 1.1e6,
            b_median: 1e6,
            pairs: 9,
        };
        let judged = |kernel, low| row("x".into(), 1, 1.0, kernel, &paired(low)).pass;
        assert_eq!((judged(Kernel::Csr, 1.01), judged(Kernel::Csr, 0.99)), (Some(true), Some(false)));
        assert_eq!(judged(Kernel::Dense, 0.5), Some(true));
    }
}
