//! What a criterion may have measured on calibration data.

use crate::backend::{Accum, Activation, Backend, GradSlot, Linear, LinearGrads, RowSum};
use crate::base::{Error, Result};
use crate::tensor::{Shape, Tensor};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Something that can be measured on data for one layer: the mean over samples of what [`add`](Self::add) adds.
///
/// A criterion asks for it in [`Needs`](crate::Needs) and reads it with [`Statistics::of`]. Your own is a struct with
/// this trait; nothing has to be registered. Sums over batches are kept in f64, and batches have a fixed size, so the
/// result does not depend on the number of threads.
pub trait Statistic: Debug + Send + Sync + 'static {
    /// Identifies it: two statistics of one name are the same.
    fn name(&self) -> &'static str;

    /// How many numbers it keeps for a layer with a weight matrix of this many rows (outputs) and columns (inputs).
    fn len(&self, rows: usize, columns: usize) -> usize;

    /// Adds what one batch says to `sums`, which has [`len`](Self::len) numbers, 0 at first.
    ///
    /// # Errors
    /// A kernel failed, or the layer has no such statistic.
    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()>;

    /// Whether it reads gradients of the loss: then the data needs targets.
    fn needs_gradients(&self) -> bool {
        false
    }
}

/// One layer in one batch of calibration data, run as at inference.
#[derive(Debug, Clone, Copy)]
pub struct LayerBatch<'a> {
    /// Runs kernels.
    pub backend: &'a dyn Backend,
    /// Name of the node.
    pub node: &'a str,
    /// Outputs, and inputs, of its weight matrix.
    pub size: (usize, usize),
    /// What it takes in, `[features, batch]` (an image keeps its axes before the batch).
    pub input: &'a Tensor,
    /// What it puts out, `[units, batch]`.
    pub output: &'a Tensor,
    /// Gradients of the loss, summed over the batch; absent unless [`Statistic::needs_gradients`].
    pub gradients: Option<LayerGradients<'a>>,
}

/// Gradients of the loss around one layer, summed over a batch. The loss is softmax cross-entropy for classes and mean
/// squared error for values.
#[derive(Debug, Clone, Copy)]
pub struct LayerGradients<'a> {
    /// With respect to the output, `[units, batch]`.
    pub output: &'a Tensor,
    /// The weight matrix, `[out, in]`; of a spectral layer the basis. Zero where an entry is pruned or not stored.
    pub weight: &'a [f64],
    /// With respect to that matrix, `[out, in]`; zero where an entry is pruned or not stored.
    pub of_weight: &'a [f64],
}

impl<'a> LayerBatch<'a> {
    /// The input, if it has one value for each column of the weight matrix.
    ///
    /// # Errors
    /// It has not, as that of a convolution.
    pub fn columns(&self) -> Result<&'a Tensor> {
        if self.input.shape().rows() == self.size.1 {
            return Ok(self.input);
        }
        let problem = format!("takes {}, and statistics need flat inputs", self.input.shape());
        Err(Error::config(format!("layer `{}`", self.node), problem))
    }

    /// The gradients.
    ///
    /// # Errors
    /// The statistic did not ask for them.
    pub fn gradients(&self) -> Result<LayerGradients<'a>> {
        self.gradients.ok_or_else(|| {
            Error::config(format!("layer `{}`", self.node), "no gradients: `needs_gradients` of the statistic says so")
        })
    }
}

/// Mean of each input, `[in]`.
#[derive(Debug, Clone, Copy)]
pub struct InputMean;

/// Mean absolute value of each input, `[in]`.
#[derive(Debug, Clone, Copy)]
pub struct InputMeanAbs;

/// Mean over samples of weight times gradient, `w dL/dw`, `[out, in]`. For a spectral layer basis times its gradient,
/// which is the same number.
#[derive(Debug, Clone, Copy)]
pub struct WeightGradient;

/// Gram matrix of the inputs: mean over samples of `x x^T`, `[in, in]`. Its products are taken by the backend.
#[derive(Debug, Clone, Copy)]
pub struct InputGram;

impl Statistic for InputMean {
    fn name(&self) -> &'static str {
        "input_mean"
    }

    fn len(&self, _: usize, columns: usize) -> usize {
        columns
    }

    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
        add_rows(RowSum::Plain, batch, sums)
    }
}

impl Statistic for InputMeanAbs {
    fn name(&self) -> &'static str {
        "input_mean_abs"
    }

    fn len(&self, _: usize, columns: usize) -> usize {
        columns
    }

    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
        add_rows(RowSum::Absolute, batch, sums)
    }
}

impl Statistic for WeightGradient {
    fn name(&self) -> &'static str {
        "weight_gradient"
    }

    fn len(&self, rows: usize, columns: usize) -> usize {
        rows * columns
    }

    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
        let LayerGradients { weight, of_weight, .. } = batch.gradients()?;
        sums.iter_mut().zip(weight.iter().zip(of_weight)).for_each(|(s, (w, g))| *s += w * g);
        Ok(())
    }

    fn needs_gradients(&self) -> bool {
        true
    }
}

impl Statistic for InputGram {
    fn name(&self) -> &'static str {
        "input_gram"
    }

    fn len(&self, _: usize, columns: usize) -> usize {
        columns * columns
    }

    fn add(&self, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
        let (backend, x) = (batch.backend, batch.columns()?);
        let square = || backend.zeros(Shape::matrix(batch.size.1, batch.size.1), x.dtype());
        // The gradient `dy x^T` of a square weight whose output gradient is `x` itself.
        let (weight, mut product) = (square()?, square()?);
        let op = Linear { x, weight: &weight, bias: None, activation: Activation::Identity };
        let slot = Some(GradSlot { tensor: &mut product, accum: Accum::Replace });
        backend.linear_vjp(&op, x, LinearGrads { weight: slot, ..LinearGrads::default() })?;
        sums.iter_mut().zip(backend.download(&product)?).for_each(|(s, p)| *s += p);
        Ok(())
    }
}

fn add_rows(kind: RowSum, batch: &LayerBatch<'_>, sums: &mut [f64]) -> Result<()> {
    let x = batch.columns()?;
    let mut part = batch.backend.zeros(Shape::vector(sums.len()), x.dtype())?;
    batch.backend.row_sums(kind, x, &mut part, Accum::Replace)?;
    sums.iter_mut().zip(batch.backend.download(&part)?).for_each(|(s, p)| *s += p);
    Ok(())
}

/// What was measured on calibration data for one layer.
#[derive(Debug, Clone, Default)]
pub struct Statistics(BTreeMap<&'static str, Vec<f64>>);

impl Statistics {
    /// What was measured of `statistic`.
    ///
    /// # Errors
    /// It was not measured: the criterion did not ask for it.
    pub fn of(&self, statistic: &dyn Statistic) -> Result<&[f64]> {
        self.0.get(statistic.name()).map(Vec::as_slice).ok_or_else(|| {
            let what = format!("statistic `{}`", statistic.name());
            Error::config(what, "was not measured; `needs` of the criterion must ask for it")
        })
    }

    /// Takes note of what was measured of `statistic`.
    pub fn insert(&mut self, statistic: &dyn Statistic, values: Vec<f64>) {
        self.0.insert(statistic.name(), values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory as _, Reference};
    use crate::base::DType;

    #[test]
    fn the_gram_matrix_is_the_sum_of_outer_products() {
        let mut x = Reference.zeros(Shape::matrix(3, 2), DType::F64).unwrap();
        Reference.write(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0], &mut x).unwrap();
        let batch = LayerBatch { backend: &Reference, node: "n", size: (1, 3), input: &x, output: &x, gradients: None };
        let mut sums = vec![1.0; 9];
        InputGram.add(&batch, &mut sums).unwrap();
        // [1 2 3]^T [1 2 3] + [4 5 6]^T [4 5 6], added to what was there.
        assert_eq!(sums, [18.0, 23.0, 28.0, 23.0, 30.0, 37.0, 28.0, 37.0, 46.0]);
        let error = WeightGradient.add(&batch, &mut sums).unwrap_err().to_string();
        assert!(error.contains("needs_gradients"), "{error}");
        let wide = LayerBatch { size: (1, 4), ..batch };
        assert!(InputMean.add(&wide, &mut sums[..4]).unwrap_err().to_string().contains("flat"));
    }

    #[test]
    fn what_was_not_measured_is_named() {
        let mut statistics = Statistics::default();
        statistics.insert(&InputMean, vec![1.0]);
        assert_eq!(statistics.of(&InputMean).unwrap(), [1.0]);
        assert!(statistics.of(&InputGram).unwrap_err().to_string().contains("`input_gram`"));
    }
}
