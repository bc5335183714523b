//! Activation functions.

use serde::{Deserialize, Serialize};

/// A function applied to every output of a layer. All but [`Activation::Softmax`] act on each value alone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// `y = x`.
    #[default]
    Identity,
    /// `y = max(x, 0)`; the slope at 0 is 0.
    Relu,
    /// `y = x` for `x > 0`, else `slope * x`; `slope` is at least 0.
    LeakyRelu {
        /// Slope on the negative side.
        slope: f64,
    },
    /// `y = x` for `x > 0`, else `alpha * (exp(x) - 1)`; `alpha` is above 0. Clevert et al. 2016.
    Elu {
        /// Limit on the negative side, negated.
        alpha: f64,
    },
    /// `y = x * Phi(x)` with the normal distribution function `Phi`, exact form. Hendrycks & Gimpel 2016.
    Gelu,
    /// `y = 1 / (1 + exp(-x))`.
    Sigmoid,
    /// `y = tanh(x)`.
    Tanh,
    /// `y = ln(1 + exp(x))`.
    Softplus,
    /// `y = x / (1 + exp(-x))`, also called swish. Elfwing et al. 2018.
    Silu,
    /// `y = (x + 3) / 6`, brought into `0..=1`, as in PyTorch and as `HardSigmoid` of ONNX with `alpha = 1/6`; the
    /// slope is 0 where `|x| >= 3`.
    HardSigmoid,
    /// `y = x * hard_sigmoid(x)`; the slope is 0 up to -3 and 1 from 3 on. Howard et al. 2019.
    HardSwish,
    /// `y = x`, brought into `min..=max`; `min` is below `max`. The slope is 1 between them, and 0 at and beyond both.
    Clip {
        /// The smallest output.
        min: f64,
        /// The largest output.
        max: f64,
    },
    /// `y_i = exp(x_i) / sum_j exp(x_j)` over the features of a sample, shifted by the largest.
    Softmax,
}

impl Activation {
    /// Names as recipes and the command line write them; those with parameters get default values.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("clip", Self::Clip { min: 0.0, max: 6.0 }),
        ("elu", Self::Elu { alpha: 1.0 }),
        ("gelu", Self::Gelu),
        ("hard_sigmoid", Self::HardSigmoid),
        ("hard_swish", Self::HardSwish),
        ("identity", Self::Identity),
        ("leaky_relu", Self::LeakyRelu { slope: 0.01 }),
        ("relu", Self::Relu),
        ("sigmoid", Self::Sigmoid),
        ("silu", Self::Silu),
        ("softmax", Self::Softmax),
        ("softplus", Self::Softplus),
        ("tanh", Self::Tanh),
    ];

    /// The activation called `name`, with its default parameters.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> crate::base::Result<Self> {
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, a)| *a).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(n, _)| *n).collect();
            crate::base::registry::Unknown::new("activation", name, &names).into()
        })
    }

    /// Whether each output depends on one input only.
    pub fn is_elementwise(self) -> bool {
        self != Self::Softmax
    }

    /// Whether the slope must be computed from the input, because the output does not determine it.
    pub fn slope_needs_input(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu | Self::HardSwish)
    }

    /// `y` for one value.
    ///
    /// Softmax is not defined on one value and returns its input.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Identity | Self::Softmax => x,
            // Not `max`, which would turn NaN into 0 and hide it.
            Self::Relu => {
                if x <= 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Elu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x.exp_m1()
                }
            }
            Self::Gelu => x * normal_cdf(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Silu => x * sigmoid(x),
            Self::HardSigmoid => ((x + 3.0) / 6.0).clamp(0.0, 1.0),
            Self::HardSwish => {
                if x >= 3.0 {
                    x
                } else if x <= -3.0 {
                    0.0
                } else {
                    x * ((x + 3.0) / 6.0)
                }
            }
            // Not `clamp`, which panics where the limits are out of order.
            Self::Clip { min, max } => {
                if x <= min {
                    min
                } else if x >= max {
                    max
                } else {
                    x
                }
            }
        }
    }

    /// `dy/dx`, given the input for activations with [`slope_needs_input`](Self::slope_needs_input) and the
    /// output for all others.
    pub fn slope(self, at: f64) -> f64 {
        match self {
            Self::Identity | Self::Softmax => 1.0,
            Self::Relu => f64::from(at > 0.0),
            Self::LeakyRelu { slope } => {
                if at > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Elu { alpha } => {
                if at > 0.0 {
                    1.0
                } else {
                    at + alpha
                }
            }
            Self::Gelu => normal_cdf(at) + at * (-0.5 * at * at).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Self::Sigmoid => at * (1.0 - at),
            Self::Tanh => 1.0 - at * at,
            Self::Softplus => -(-at).exp_m1(),
            Self::Silu => {
                let s = sigmoid(at);
                s * (1.0 + at * (1.0 - s))
            }
            Self::HardSigmoid => {
                if at > 0.0 && at < 1.0 {
                    1.0 / 6.0
                } else {
                    0.0
                }
            }
            Self::HardSwish => {
                if at >= 3.0 {
                    1.0
                } else if at <= -3.0 {
                    0.0
                } else {
                    at / 3.0 + 0.5
                }
            }
            Self::Clip { min, max } => f64::from(at > min && at < max),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// The standard normal distribution function.
fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `1 - erf(x)` to about 1e-15 relative: the series of `erf` near 0, a continued fraction further out.
fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.0 {
        // erf(x) = 2/sqrt(pi) * exp(-x^2) * sum_n 2^n x^(2n+1) / (2n+1)!!
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > 1e-17 * sum {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum;
    }
    // exp(-x^2)/sqrt(pi) * 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))), from the inside out.
    let tail = (1..=60).rev().fold(x, |f, k| x + f64::from(k) / 2.0 / f);
    (-x * x).exp() / (std::f64::consts::PI.sqrt() * tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_match_differences() {
        for (name, a) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
            for x in [-3.1, -0.7, 0.3, 2.2] {
                let h = 1e-5;
                let numeric = (a.value(x + h) - a.value(x - h)) / (2.0 * h);
                let at = if a.slope_needs_input() { x } else { a.value(x) };
                assert!((numeric - a.slope(at)).abs() < 1e-8, "{name} at {x}: {numeric} {}", a.slope(at));
            }
        }
    }

    #[test]
    fn error_function_matches_tables() {
        for (x, want) in [
            (0.5, 0.479_500_122_186_953_5),
            (1.9, 0.007_209_570_764_742_53),
            (2.1, 0.002_979_466_656_333_1),
            (4.0, 1.541_725_790_028e-8),
        ] {
            assert!((erfc(x) / want - 1.0).abs() < 1e-10, "{x}: {}", erfc(x));
        }
        assert!((erfc(-1.0) - 1.842_700_792_949_715).abs() < 1e-14);
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        for (name, a) in Activation::NAMES {
            assert!(a.value(-1e4).is_finite() && a.value(700.0).is_finite(), "{name}");
            assert!(a.value(f64::NAN).is_nan(), "{name} hides NaN");
        }
    }
}
