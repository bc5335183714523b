//! The optimal brain surgeon, layer by layer.

use serde::{Deserialize, Serialize};
use spectral_core::{Error, InputGram, Needs, Pruner, Result, Target, register_pruner};

/// Weight `[o, i]`: `w[o, i]^2 / (2 [H^-1]_ii)`, where `H = mean x x^T + damping * mean(diag) * I` over the inputs `x`
/// of the layer in the calibration data. Unit or input: the mean over its weights.
///
/// It is by how much the mean squared error of the layer's outputs grows at least when the weight goes and the other
/// weights of its unit make up for it. Weights on inputs that other inputs can replace are worth little. Time and
/// memory grow with the cube and the square of the number of inputs. Hassibi & Stork, NIPS 1992, with the Hessian of
/// one linear layer as in Dong, Chen & Pan, NIPS 2017.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Obs {
    /// Added to the diagonal, as a share of its mean, above 0: keeps `H` invertible where inputs repeat each other.
    pub damping: f64,
}

impl Default for Obs {
    fn default() -> Self {
        Self { damping: 0.01 }
    }
}

impl Pruner for Obs {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let n = target.columns;
        let mut hessian = target.statistics.of(&InputGram)?.to_vec();
        let mean = (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / n as f64;
        if mean == 0.0 {
            // No input ever carries anything.
            scores.fill(0.0);
            return Ok(());
        }
        (0..n).for_each(|i| hessian[i * n + i] += self.damping * mean);
        let inverse = inverse_diagonal(hessian, n).ok_or_else(|| {
            let problem = "the inputs of the layer cannot be told apart; raise `damping`, or take more samples";
            Error::config(format!("criterion `obs` in layer `{}`", target.node), problem)
        })?;
        for (k, (score, w)) in scores.iter_mut().zip(target.weight.iter()).enumerate() {
            *score = w * w / (2.0 * inverse[k % n]);
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::statistic(InputGram)
    }

    fn check(&self) -> Result<()> {
        if self.damping.is_finite() && self.damping > 0.0 {
            return Ok(());
        }
        let problem = format!("`damping` is {}; it must be a finite number above 0", self.damping);
        Err(Error::config("criterion `obs`", problem))
    }
}

/// The diagonal of the inverse of a symmetric, positive definite `n x n` matrix; `None` if it is not that.
fn inverse_diagonal(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    // The Cholesky factor L, in place of the lower triangle.
    for i in 0..n {
        for j in 0..=i {
            let rest = a[i * n + j] - dot(&a[i * n..i * n + j], &a[j * n..j * n + j]);
            a[i * n + j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / a[j * n + j],
            };
        }
    }
    // Column j of L^-1 by forward substitution; its squared length is the entry of L^-T L^-1.
    let column = |j: usize| {
        let mut x = vec![0.0; n - j];
        for i in j..n {
            let unit = f64::from(u8::from(i == j));
            x[i - j] = (unit - dot(&a[i * n + j..i * n + i], &x[..i - j])) / a[i * n + i];
        }
        dot(&x, &x)
    };
    Some((0..n).map(column).collect())
}

register_pruner!(
    Obs,
    "obs",
    "keeps weights whose loss the rest of the layer cannot make up for (Hassibi & Stork 1992)"
);

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Seed;

    #[test]
    fn the_diagonal_is_that_of_the_inverse() {
        let n = 7;
        let mut stream = Seed(3).stream("matrix", 0);
        let b: Vec<f64> = (0..n * n).map(|_| stream.normal()).collect();
        let entry = |i: usize, j: usize| (0..n).map(|k| b[i * n + k] * b[j * n + k]).sum::<f64>();
        let a: Vec<f64> = (0..n * n).map(|k| entry(k / n, k % n) + f64::from(u8::from(k / n == k % n))).collect();
        let diagonal = inverse_diagonal(a.clone(), n).unwrap();
        for (i, got) in diagonal.into_iter().enumerate() {
            // Gauss-Jordan on the unit vector i.
            let (mut m, mut x) = (a.clone(), vec![0.0; n]);
            x[i] = 1.0;
            for p in 0..n {
                for r in (0..n).filter(|r| *r != p) {
                    let factor = m[r * n + p] / m[p * n + p];
                    (0..n).for_each(|c| m[r * n + c] -= factor * m[p * n + c]);
                    x[r] -= factor * x[p];
                }
            }
            assert!((got - x[i] / m[i * n + i]).abs() < 1e-12);
        }
        assert!(inverse_diagonal(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
