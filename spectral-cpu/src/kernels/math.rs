//! Exponentials and what is made of them, on vectors.
//!
//! In f32 to about 2e-7 relative by polynomials; in f64, which is for checks, by the scalar library lane by lane.

use super::vector::{Lanes, Vector};

/// Transcendental functions of one element type on its vectors.
pub(crate) trait Math: Lanes {
    /// `exp(x)`.
    fn exp_lanes<V: Vector<Elem = Self>>(x: V) -> V;
    /// `exp(x) - 1`, accurate near 0.
    fn exp_m1_lanes<V: Vector<Elem = Self>>(x: V) -> V;
    /// `tanh(x)`.
    fn tanh_lanes<V: Vector<Elem = Self>>(x: V) -> V;
    /// `ln(1 + x)` for `x` in `0..=1`.
    fn ln_1p_lanes<V: Vector<Elem = Self>>(x: V) -> V;
    /// The standard normal distribution function.
    fn normal_cdf_lanes<V: Vector<Elem = Self>>(x: V) -> V;
}

/// `coefficients[0] + x * (coefficients[1] + ...)`.
#[inline(always)]
fn polynomial<V: Vector<Elem = f32>, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut sum = V::splat(coefficients[N - 1]);
    for c in coefficients[..N - 1].iter().rev() {
        sum = sum.fma(x, V::splat(*c));
    }
    sum
}

/// `(n, exp(r) - 1)` with `x = n ln 2 + r`, `|r| <= ln 2 / 2`, `x` clamped to where the result is finite or 0.
#[inline(always)]
fn split_exp<V: Vector<Elem = f32>>(x: V) -> (V, V) {
    // The clamped value comes second, so that NaN stays NaN.
    let x = V::splat(-104.0).max(x);
    let x = V::splat(89.0).min(x);
    let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
    // ln 2 in two parts, the first with few digits so that n times it is exact.
    let r = n.fma(V::splat(-0.693_359_4), x);
    let r = n.fma(V::splat(2.121_944_4e-4), r);
    let tail = polynomial(r, [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0]);
    (n, r.mul(r).fma(tail, r))
}

impl Math for f32 {
    #[inline(always)]
    fn exp_lanes<V: Vector<Elem = f32>>(x: V) -> V {
        let (n, r) = split_exp(x);
        r.add(V::splat(1.0)).scale2(n)
    }

    #[inline(always)]
    fn exp_m1_lanes<V: Vector<Elem = f32>>(x: V) -> V {
        let (n, r) = split_exp(x);
        let power = V::splat(1.0).scale2(n);
        r.scale2(n).add(power.sub(V::splat(1.0)))
    }

    #[inline(always)]
    fn tanh_lanes<V: Vector<Elem = f32>>(x: V) -> V {
        // Beyond 10 the result rounds to 1.
        let size = V::splat(10.0).min(x.abs());
        let t = Self::exp_m1_lanes(size.add(size));
        let y = t.div(t.add(V::splat(2.0)));
        V::select(x.le(V::zero()), V::zero().sub(y), y)
    }

    #[inline(always)]
    fn ln_1p_lanes<V: Vector<Elem = f32>>(x: V) -> V {
        // 2 artanh(x / (2 + x)).
        let s = x.div(x.add(V::splat(2.0)));
        let terms = [1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0, 1.0 / 17.0];
        let square = s.mul(s);
        let tail = polynomial(square, terms).mul(square);
        let twice = s.add(s);
        twice.fma(tail, twice)
    }

    #[inline(always)]
    fn normal_cdf_lanes<V: Vector<Elem = f32>>(x: V) -> V {
        // erfc(a) = t exp(-a^2 + P(t)), t = 1 / (1 + a / 2), to 1.2e-7 relative. Press et al., Numerical Recipes.
        let a = x.abs().mul(V::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = V::splat(1.0).div(a.fma(V::splat(0.5), V::splat(1.0)));
        let p = polynomial(
            t,
            [
                -1.265_512_2,
                1.000_023_7,
                0.374_091_96,
                0.096_784_18,
                -0.186_288_06,
                0.278_868_07,
                -1.135_204,
                1.488_515_9,
                -0.822_152_23,
                0.170_872_77,
            ],
        );
        let half_tail = t.mul(V::splat(0.5)).mul(Self::exp_lanes(p.sub(a.mul(a))));
        V::select(x.gt(V::zero()), V::splat(1.0).sub(half_tail), half_tail)
    }
}

impl Math for f64 {
    #[inline(always)]
    fn exp_lanes<V: Vector<Elem = f64>>(x: V) -> V {
        x.each(f64::exp)
    }
    #[inline(always)]
    fn exp_m1_lanes<V: Vector<Elem = f64>>(x: V) -> V {
        x.each(f64::exp_m1)
    }
    #[inline(always)]
    fn tanh_lanes<V: Vector<Elem = f64>>(x: V) -> V {
        x.each(f64::tanh)
    }
    #[inline(always)]
    fn ln_1p_lanes<V: Vector<Elem = f64>>(x: V) -> V {
        x.each(f64::ln_1p)
    }
    #[inline(always)]
    fn normal_cdf_lanes<V: Vector<Elem = f64>>(x: V) -> V {
        // gelu(x) = x cdf(x); at 0 the quotient has no value.
        x.each(|x| if x == 0.0 { 0.5 } else { spectral_core::Activation::Gelu.value(x) / x })
    }
}
