//! Initial values of parameters.

use crate::base::{Error, Result, Stream};
use serde::{Deserialize, Serialize};

/// Initial values of a parameter. The fans are the layer's inputs `i` and outputs `o`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// 0 everywhere.
    Zeros,
    /// 1 everywhere.
    Ones,
    /// The same value everywhere.
    Constant(f64),
    /// Uniform in `[low, high)`.
    Uniform {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniform in `±sqrt(6 / (i + o))`. Glorot & Bengio 2010.
    GlorotUniform,
    /// Normal with deviation `sqrt(2 / (i + o))`. Glorot & Bengio 2010.
    GlorotNormal,
    /// Uniform in `±sqrt(6 / i)`. He et al. 2015.
    HeUniform,
    /// Normal with deviation `sqrt(2 / i)`. He et al. 2015.
    HeNormal,
    /// Uniform in `±sqrt(3 / i)`. LeCun et al. 1998.
    LecunUniform,
    /// Normal with deviation `sqrt(1 / i)`. LeCun et al. 1998.
    LecunNormal,
    /// Normal; values more than two deviations from the mean are drawn again.
    TruncatedNormal {
        /// Mean.
        mean: f64,
        /// Standard deviation before the tails are cut.
        deviation: f64,
    },
    /// A random matrix `[o, i]` whose rows, or whose columns if there are fewer of them, are orthonormal.
    /// Saxe et al. 2014.
    Orthogonal,
    /// 1 on the diagonal of a matrix `[o, i]`, 0 elsewhere.
    Identity,
    /// Normal with deviation `sqrt(3 / (i + o))`: Sparana's `Xavier`.
    Xavier,
    /// Uniform in `±1 / sqrt(i)`: PyTorch's default for linear layers.
    FanInUniform,
}

impl Init {
    /// Normal with deviation `sqrt(3 / (inputs + outputs)) / density`: Xavier divided by the share of weights that are
    /// present (Sparana's `Xavier_2`).
    ///
    /// # Errors
    /// The density is not above 0 and at most 1, or there are no inputs and outputs.
    pub fn xavier_over_density(inputs: usize, outputs: usize, density: f64) -> Result<Self> {
        if !(density > 0.0 && density <= 1.0) || inputs + outputs == 0 {
            let problem =
                format!("density {density} of {outputs} x {inputs} weights; it must be above 0 and at most 1");
            return Err(Error::config("initialiser", problem));
        }
        Ok(Self::Normal { mean: 0.0, deviation: (3.0 / (inputs + outputs) as f64).sqrt() / density })
    }

    /// Fills `values` from `stream`; `fan` is (inputs, outputs).
    ///
    /// # Errors
    /// A parameter of the distribution is not finite, or a range is empty.
    pub fn fill(self, values: &mut [f64], fan: (usize, usize), stream: &mut Stream) -> Result<()> {
        let (i, o) = (fan.0.max(1) as f64, fan.1.max(1) as f64);
        let bad = |problem: &str| Err(Error::config("initialiser", problem));
        match self {
            Self::Zeros => values.fill(0.0),
            Self::Ones => values.fill(1.0),
            Self::Constant(c) if !c.is_finite() => return bad("the constant must be finite"),
            Self::Constant(c) => values.fill(c),
            Self::Uniform { low, high } if !(low <= high && low.is_finite() && high.is_finite()) => {
                return bad("uniform needs finite `low` <= `high`");
            }
            Self::Uniform { low, high } => values.fill_with(|| stream.uniform(low, high)),
            Self::Normal { mean, deviation } | Self::TruncatedNormal { mean, deviation }
                if !(deviation >= 0.0 && deviation.is_finite() && mean.is_finite()) =>
            {
                return bad("normal needs a finite `mean` and a finite `deviation` >= 0");
            }
            Self::Normal { mean, deviation } => values.fill_with(|| mean + deviation * stream.normal()),
            Self::TruncatedNormal { mean, deviation } => values.fill_with(|| {
                let near = std::iter::repeat_with(|| stream.normal()).find(|z| z.abs() <= 2.0);
                mean + deviation * near.unwrap_or_default()
            }),
            Self::Orthogonal | Self::Identity if !values.len().is_multiple_of(fan.0.max(1)) => {
                return bad(
                    "orthogonal and identity are for whole matrices; a layer that stores some entries has none",
                );
            }
            Self::Orthogonal => orthogonal(values, fan.0.max(1), stream),
            Self::Identity => {
                values.iter_mut().enumerate().for_each(|(k, v)| *v = f64::from(k / fan.0.max(1) == k % fan.0.max(1)));
            }
            Self::LecunUniform => symmetric(values, (3.0 / i).sqrt(), stream),
            Self::LecunNormal => normal(values, (1.0 / i).sqrt(), stream),
            Self::GlorotUniform => symmetric(values, (6.0 / (i + o)).sqrt(), stream),
            Self::HeUniform => symmetric(values, (6.0 / i).sqrt(), stream),
            Self::FanInUniform => symmetric(values, 1.0 / i.sqrt(), stream),
            Self::GlorotNormal => normal(values, (2.0 / (i + o)).sqrt(), stream),
            Self::HeNormal => normal(values, (2.0 / i).sqrt(), stream),
            Self::Xavier => normal(values, (3.0 / (i + o)).sqrt(), stream),
        }
        Ok(())
    }
}

fn symmetric(values: &mut [f64], limit: f64, stream: &mut Stream) {
    values.fill_with(|| stream.uniform(-limit, limit));
}

fn normal(values: &mut [f64], deviation: f64, stream: &mut Stream) {
    values.fill_with(|| deviation * stream.normal());
}

/// Normal numbers, made orthonormal by Gram-Schmidt, row by row (or column by column, if there are fewer columns).
fn orthogonal(values: &mut [f64], columns: usize, stream: &mut Stream) {
    let rows = values.len() / columns;
    let (few, long) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(few);
    while basis.len() < few {
        let mut v: Vec<f64> = (0..long).map(|_| stream.normal()).collect();
        // Twice, because one pass over nearly parallel vectors leaves rounding errors.
        for other in basis.iter().chain(&basis) {
            let dot: f64 = v.iter().zip(other).map(|(a, b)| a * b).sum();
            v.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        v.iter_mut().for_each(|a| *a /= norm);
        basis.push(v);
    }
    for (k, value) in values.iter_mut().enumerate() {
        let (row, column) = (k / columns, k % columns);
        *value = if rows <= columns { basis[row][column] } else { basis[column][row] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    #[test]
    fn spreads_follow_the_fans() {
        for (init, deviation) in [
            (Init::GlorotUniform, (2.0 / 400.0f64).sqrt()),
            (Init::GlorotNormal, (2.0 / 400.0f64).sqrt()),
            (Init::HeUniform, (2.0 / 100.0f64).sqrt()),
            (Init::HeNormal, (2.0 / 100.0f64).sqrt()),
            (Init::Xavier, (3.0 / 400.0f64).sqrt()),
            (Init::FanInUniform, 1.0 / 300.0f64.sqrt()),
            (Init::Normal { mean: 0.0, deviation: 0.3 }, 0.3),
            (Init::LecunUniform, 0.1),
            (Init::LecunNormal, 0.1),
            // Cutting at two deviations multiplies the deviation by this factor.
            (Init::TruncatedNormal { mean: 0.0, deviation: 0.3 }, 0.3 * 0.879_625_661),
        ] {
            let mut v = vec![0.0; 20_000];
            init.fill(&mut v, (100, 300), &mut Seed(5).stream("test", 0)).unwrap();
            let square = v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64;
            assert!((square.sqrt() / deviation - 1.0).abs() < 0.03, "{init:?}");
        }
    }

    /// Xavier over the density.
    #[test]
    fn xavier_over_density_grows_as_the_density_falls() {
        let Init::Normal { mean, deviation } = Init::xavier_over_density(100, 300, 0.1).unwrap() else { panic!() };
        assert_eq!((mean, deviation), (0.0, (3.0 / 400.0f64).sqrt() / 0.1));
        for (inputs, density) in [(4, 0.0), (4, -0.1), (4, 1.1), (4, f64::NAN), (0, 0.5)] {
            assert!(Init::xavier_over_density(inputs, 0, density).is_err(), "{density}");
        }
    }

    #[test]
    fn orthogonal_rows_or_columns_are_orthonormal() {
        for (rows, columns) in [(4, 7), (7, 4), (5, 5), (1, 3), (3, 1)] {
            let mut v = vec![0.0; rows * columns];
            Init::Orthogonal.fill(&mut v, (columns, rows), &mut Seed(2).stream("test", 0)).unwrap();
            let by_row = rows <= columns;
            let at = |a: usize, k: usize| if by_row { v[a * columns + k] } else { v[k * columns + a] };
            for (a, b) in (0..rows.min(columns)).flat_map(|a| (0..=a).map(move |b| (a, b))) {
                let dot: f64 = (0..rows.max(columns)).map(|k| at(a, k) * at(b, k)).sum();
                assert!((dot - f64::from(a == b)).abs() < 1e-12, "[{rows}, {columns}] {a} {b}: {dot}");
            }
        }
        let mut v = vec![9.0; 6];
        Init::Identity.fill(&mut v, (3, 2), &mut Seed(2).stream("test", 0)).unwrap();
        assert_eq!(v, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(Init::Orthogonal.fill(&mut v, (4, 2), &mut Seed(2).stream("test", 0)).is_err());
    }

    #[test]
    fn truncated_normals_stay_within_two_deviations() {
        let mut v = vec![0.0; 5_000];
        let init = Init::TruncatedNormal { mean: 1.0, deviation: 0.5 };
        init.fill(&mut v, (1, 1), &mut Seed(4).stream("test", 0)).unwrap();
        assert!(v.iter().all(|v| (v - 1.0).abs() <= 1.0));
    }

    #[test]
    fn impossible_distributions_are_refused() {
        let mut v = [0.0];
        for init in [
            Init::Uniform { low: 1.0, high: 0.0 },
            Init::Normal { mean: 0.0, deviation: -1.0 },
            Init::Constant(f64::NAN),
        ] {
            assert!(init.fill(&mut v, (1, 1), &mut Seed(0).stream("test", 0)).is_err());
        }
    }
}
