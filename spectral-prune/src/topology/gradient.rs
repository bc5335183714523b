//! Gradients of weights that are not stored, a few rows of the matrix at a time.

use crate::{Error, Result};
use spectral_core::{
    Activation, Backend, DType, Element, Linear, Matrix, Model, Penalty, Shape, Source, SparseLinear, Tensor, Values,
    Word, Workspace,
};

/// Entries of a weight gradient that exist at a time, if a row has fewer.
const PANEL: usize = 1 << 16;

/// The gradient `dz x^T` of a whole `[out, in]` weight matrix over one batch, computed when it is read.
///
/// Keeps `x` and `dz`, which have the size of activations, and one panel of rows.
#[derive(Debug)]
pub(super) struct DenseGradient<'a> {
    backend: &'a dyn Backend,
    dtype: DType,
    /// `[batch, in]`.
    x: Tensor,
    /// `[out, batch]`.
    dz: Vec<f64>,
    rows: usize,
    columns: usize,
    batch: usize,
}

impl<'a> DenseGradient<'a> {
    /// The gradient for the weight of `node`, whose output gradient `workspace` holds.
    ///
    /// # Errors
    /// The layer is not affine with stored entries, or a kernel failed.
    pub(super) fn new(model: &'a Model, workspace: &Workspace, node: usize) -> Result<Option<Self>> {
        let Some(dy) = workspace.node_grad(node) else { return Ok(None) };
        let (backend, dtype) = (&**model.backend(), model.dtype());
        let own = &model.graph().nodes()[node];
        let Word::Affine(affine) = own.layer.op().word else {
            let problem = format!("layer `{}` is not affine: gradients of absent weights are unknown", own.name);
            return Err(Error::Config(problem));
        };
        let operands = model.operands(node)?;
        let Matrix::Stored { pattern, values } = operands.matrix(affine.weight)? else {
            return Err(Error::Config(format!("layer `{}` stores all its weights", own.name)));
        };
        let x = match own.inputs.first() {
            Some(Source::Node(n)) => workspace.output(*n),
            _ => workspace.input(),
        };
        let mut dz = dy.duplicate()?;
        let penalty = own.layer.output_penalty();
        if penalty != Penalty::default() {
            backend.penalty_vjp(penalty, 1.0 / dy.shape().columns() as f64, workspace.output(node), &mut dz)?;
        }
        if affine.activation.slope_needs_input() {
            let bias = affine.bias.map(|bias| operands.tensor(bias)).transpose()?;
            let op = SparseLinear { x, pattern, values, bias, activation: Activation::Identity };
            let mut z = backend.zeros(dy.shape(), dtype)?;
            backend.sparse_linear(&op, &mut z, None)?;
            backend.activate_vjp(affine.activation, &z, &mut dz)?;
        } else if affine.activation != Activation::Identity {
            backend.activate_vjp(affine.activation, workspace.output(node), &mut dz)?;
        }
        let (rows, columns, batch) = (pattern.rows(), pattern.columns(), x.shape().columns());
        let by_feature = backend.download(x)?;
        let mut by_sample = vec![0.0; by_feature.len()];
        for (feature, values) in by_feature.chunks(batch).enumerate() {
            values.iter().enumerate().for_each(|(sample, v)| by_sample[sample * columns + feature] = *v);
        }
        let mut x = backend.zeros(Shape::matrix(batch, columns), dtype)?;
        backend.write(&by_sample, &mut x)?;
        let dz = backend.download(&dz)?;
        Ok(Some(Self { backend, dtype, x, dz, rows, columns, batch }))
    }

    /// Calls `each` with every row of the gradient, in order.
    pub(super) fn rows(&self, mut each: impl FnMut(usize, Values<'_>)) -> Result<()> {
        match self.dtype {
            DType::F32 => self.panels::<f32>(&mut each),
            DType::F64 => self.panels::<f64>(&mut each),
        }
    }

    fn panels<E: Element>(&self, each: &mut dyn FnMut(usize, Values<'_>)) -> Result<()> {
        let height = (PANEL / self.columns.max(1)).clamp(1, self.rows.max(1));
        let mut weight = self.backend.zeros(Shape::matrix(height, self.batch), self.dtype)?;
        let mut panel = self.backend.zeros(Shape::matrix(height, self.columns), self.dtype)?;
        for first in (0..self.rows).step_by(height) {
            let rows = height.min(self.rows - first);
            weight.reshape(Shape::matrix(rows, self.batch))?;
            panel.reshape(Shape::matrix(rows, self.columns))?;
            self.backend.write(&self.dz[first * self.batch..(first + rows) * self.batch], &mut weight)?;
            let op = Linear { x: &self.x, weight: &weight, bias: None, activation: Activation::Identity };
            self.backend.linear(&op, &mut panel, None)?;
            let row = |r: usize| r * self.columns..(r + 1) * self.columns;
            match panel.host::<E>() {
                Ok(values) => (0..rows).for_each(|r| each(first + r, E::values(&values[row(r)]))),
                Err(_) => {
                    let values = self.backend.download(&panel)?;
                    (0..rows).for_each(|r| each(first + r, Values::F64(&values[row(r)])));
                }
            }
        }
        Ok(())
    }
}

/// Calls `each(column, |gradient|)` for the columns of one row that are not `stored`, in order.
pub(super) fn absent(gradient: Values<'_>, stored: &[u32], mut each: impl FnMut(usize, f64)) {
    fn walk<E: Element>(gradient: &[E], stored: &[u32], each: &mut impl FnMut(usize, f64)) {
        let mut next = 0;
        for &end in stored.iter().chain(&[gradient.len() as u32]) {
            let end = end as usize;
            gradient[next..end].iter().zip(next..).for_each(|(g, column)| each(column, g.wide().abs()));
            next = end + 1;
        }
    }
    match gradient {
        Values::F32(v) => walk(v, stored, &mut each),
        Values::F64(v) => walk(v, stored, &mut each),
    }
}

/// The positions of the largest of a stream of scores, in memory for twice as many as are wanted.
///
/// Positions must come in ascending order; of equal scores the first are taken.
#[derive(Debug)]
pub(super) struct Largest {
    wanted: usize,
    best: Vec<(f64, u64)>,
    /// Scores up to here cannot be among the largest.
    floor: f64,
}

impl Largest {
    pub(super) fn new(wanted: usize) -> Self {
        let floor = if wanted == 0 { f64::INFINITY } else { -1.0 };
        Self { wanted, best: Vec::with_capacity(Self::room(wanted)), floor }
    }

    /// Scores that are kept before the smaller ones go.
    fn room(wanted: usize) -> usize {
        if wanted == 0 { 0 } else { (2 * wanted).max(16) }
    }

    #[inline]
    pub(super) fn offer(&mut self, score: f64, position: u64) {
        if score > self.floor {
            self.best.push((score, position));
            if self.best.len() == Self::room(self.wanted) {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.best.len() > self.wanted && self.wanted > 0 {
            let order = |a: &(f64, u64), b: &(f64, u64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            let (_, last, _) = self.best.select_nth_unstable_by(self.wanted - 1, order);
            self.floor = last.0;
            self.best.truncate(self.wanted);
        }
    }

    /// The positions, ascending.
    pub(super) fn positions(mut self) -> Vec<u64> {
        self.cut();
        let mut positions: Vec<u64> = self.best.into_iter().map(|(_, p)| p).collect();
        positions.sort_unstable();
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Seed;

    #[test]
    fn the_largest_of_a_stream_are_those_of_a_sort() {
        for (offered, wanted, levels) in
            [(0, 3, 9), (5, 9, 9), (3000, 0, 9), (3000, 1, 5), (3000, 700, 40), (999, 300, 2)]
        {
            let mut stream = Seed(3).stream("test", wanted as u64);
            let scores: Vec<f64> = (0..offered).map(|_| stream.below(levels) as f64).collect();
            let mut largest = Largest::new(wanted);
            scores.iter().enumerate().for_each(|(i, s)| largest.offer(*s, i as u64));
            let mut order: Vec<usize> = (0..offered).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
            let mut want: Vec<u64> = order.iter().take(wanted).map(|i| *i as u64).collect();
            want.sort_unstable();
            assert_eq!(largest.positions(), want, "{wanted} of {offered}");
        }
    }

    #[test]
    fn absent_columns_are_all_but_the_stored_ones() {
        let gradient = [1.0, -2.0, 3.0, -4.0];
        for (stored, want) in [
            (vec![], vec![(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]),
            (vec![0, 3], vec![(1, 2.0), (2, 3.0)]),
            (vec![1], vec![(0, 1.0), (2, 3.0), (3, 4.0)]),
            (vec![0, 1, 2, 3], vec![]),
        ] {
            let mut found = Vec::new();
            absent(Values::F64(&gradient), &stored, |c, g| found.push((c, g)));
            assert_eq!(found, want);
        }
    }
}
