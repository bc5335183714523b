//! Initial values of parameters.

use crate::{Error, Result, Stream};
use serde::{Deserialize, Serialize};

/// How a parameter starts out. Fans are the layer's inputs `i` and outputs `o`.
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
    /// Normal with deviation `sqrt(3 / (i + o))`: what Sparana calls Xavier (row A8).
    Xavier,
    /// Uniform in `±1 / sqrt(i)`: what PyTorch gives linear layers.
    FanInUniform,
}

impl Init {
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
            Self::Normal { mean, deviation } if !(deviation >= 0.0 && deviation.is_finite() && mean.is_finite()) => {
                return bad("normal needs a finite `mean` and a finite `deviation` >= 0");
            }
            Self::Normal { mean, deviation } => values.fill_with(|| mean + deviation * stream.normal()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

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
        ] {
            let mut v = vec![0.0; 20_000];
            init.fill(&mut v, (100, 300), &mut Seed(5).stream("test", 0)).unwrap();
            let square = v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64;
            assert!((square.sqrt() / deviation - 1.0).abs() < 0.03, "{init:?}");
        }
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
