//! Kernels that act on every element alone, or move elements.

use super::store;
use crate::Torch;
use crate::storage::{count, flat, matrix};
use spectral_core::backend::{Dropout, RowCopy};
use spectral_core::{Accum, Activation, Elementwise, Mask, Penalty, Result, Tensor};
use tch::{Device, Kind, TchError};

impl Elementwise for Torch {
    fn activate_kernel(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let (x, mut y) = (matrix(x)?, matrix(y)?);
        self.call(|| y.f_copy_(&activated(act, &x)?))
    }

    fn activate_vjp_kernel(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        let (at, mut dy) = (matrix(at)?, matrix(dy)?);
        self.call(|| match act {
            Activation::Identity => Ok(()),
            Activation::Softmax => {
                let dot = at.f_mul(&dy)?.f_sum_dim_intlist([0i64].as_slice(), true, None)?;
                dy.f_sub_(&dot)?.f_mul_(&at).map(|_| ())
            }
            act => dy.f_mul_(&slope(act, &at)?).map(|_| ()),
        })
    }

    fn scale_kernel(&self, alpha: f64, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let (x, mut y) = (flat(x)?, flat(y)?);
        self.call(|| store(&x.f_mul_scalar(alpha)?, &mut y, accum))
    }

    fn multiply_kernel(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let (a, b, mut y) = (flat(a)?, flat(b)?, flat(y)?);
        self.call(|| match accum {
            Accum::Replace => a.f_mul_out(&y, &b).map(|_| ()),
            Accum::Add => y.f_addcmul_(&a, &b).map(|_| ()),
        })
    }

    fn copy_rows_kernel(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        let (from_row, to_row, rows) = (count(op.from_row), count(op.to_row), count(op.rows));
        let (from, to) = (matrix(from)?, matrix(to)?);
        self.call(|| store(&from.f_narrow(0, from_row, rows)?, &mut to.f_narrow(0, to_row, rows)?, accum))
    }

    fn dropout_kernel(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let len = count(x.len());
        let (x, mut y) = (flat(x)?, flat(y)?);
        self.call(|| {
            let dropped = dropped(op, len, self.device())?;
            let mut kept = x.f_mul_scalar(op.scale())?;
            store(&kept.f_masked_fill_(&dropped, 0.0)?, &mut y, accum)
        })
    }

    fn penalty_vjp_kernel(&self, penalty: Penalty, factor: f64, x: &Tensor, dx: &mut Tensor) -> Result<()> {
        let (x, mut dx) = (flat(x)?, flat(dx)?);
        self.call(|| {
            let pull = x.f_sign()?.f_mul_scalar_(factor * penalty.l1)?;
            dx.f_add_(&pull)?.f_add_(&x.f_mul_scalar(2.0 * factor * penalty.l2)?).map(|_| ())
        })
    }

    fn clamp(&self, limit: f64, t: &mut Tensor) -> Result<()> {
        let mut t = flat(t)?;
        self.call(|| t.f_clamp_(-limit, limit).map(|_| ()))
    }

    fn zero_where_kernel(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        let (mask, mut t) = (self.masks().on(self.device(), mask)?, flat(t)?);
        self.call(|| t.f_masked_fill_(&mask, 0.0).map(|_| ()))
    }
}

/// `act(x)` of a matrix, softmax down its columns.
pub(super) fn activated(act: Activation, x: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    match act {
        Activation::Identity => Ok(x.shallow_clone()),
        Activation::Relu => x.f_relu(),
        Activation::LeakyRelu { slope } => x.f_where_self(&x.f_gt(0.0)?, &x.f_mul_scalar(slope)?),
        Activation::Elu { alpha } => x.f_where_self(&x.f_gt(0.0)?, &x.f_expm1()?.f_mul_scalar_(alpha)?),
        Activation::Gelu => x.f_gelu("none"),
        Activation::Sigmoid => x.f_sigmoid(),
        Activation::Tanh => x.f_tanh(),
        // libtorch's own is the identity above 20.
        Activation::Softplus => x.f_clamp_min(0.0)?.f_add_(&x.f_abs()?.f_neg_()?.f_exp_()?.f_log1p_()?),
        Activation::Silu => x.f_silu(),
        Activation::HardSigmoid => x.f_mul_scalar(1.0 / 6.0)?.f_add_scalar_(0.5)?.f_clamp_(0.0, 1.0),
        Activation::HardSwish => {
            let inner = x.f_mul_scalar(1.0 / 6.0)?.f_add_scalar_(0.5)?.f_mul_(x)?;
            x.f_where_self(&x.f_ge(3.0)?, &inner.f_masked_fill(&x.f_le(-3.0)?, 0.0)?)
        }
        Activation::Clip { min, max } => x.f_clamp(min, max),
        Activation::Softmax => x.f_softmax(0, None),
    }
}

/// The slope of an element-wise activation, from where [`Activation::slope`] takes it.
fn slope(act: Activation, at: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    let above = |below: &tch::Tensor| at.f_ones_like()?.f_where_self(&at.f_gt(0.0)?, below);
    match act {
        Activation::Identity | Activation::Softmax => at.f_ones_like(),
        Activation::Relu => above(&at.f_zeros_like()?),
        Activation::LeakyRelu { slope } => above(&at.f_full_like(slope)?),
        Activation::Elu { alpha } => above(&at.f_add_scalar(alpha)?),
        Activation::Gelu => {
            let below = at.f_mul_scalar(std::f64::consts::FRAC_1_SQRT_2)?.f_erf_()?.f_add_scalar_(1.0)?;
            let density = at.f_square()?.f_mul_scalar_(-0.5)?.f_exp_()?;
            let density = density.f_mul_scalar(1.0 / (2.0 * std::f64::consts::PI).sqrt())?;
            below.f_mul_scalar(0.5)?.f_addcmul_(at, &density)
        }
        Activation::Sigmoid => at.f_rsub_scalar(1.0)?.f_mul_(at),
        Activation::Tanh => at.f_square()?.f_rsub_scalar(1.0),
        Activation::Softplus => at.f_neg()?.f_expm1_()?.f_neg_(),
        Activation::Silu => {
            let s = at.f_sigmoid()?;
            s.f_rsub_scalar(1.0)?.f_mul_(at)?.f_add_scalar_(1.0)?.f_mul_(&s)
        }
        Activation::HardSigmoid => between(at, 0.0, 1.0)?.f_mul_scalar(1.0 / 6.0),
        Activation::HardSwish => {
            let mut inner = at.f_mul_scalar(1.0 / 3.0)?.f_add_scalar_(0.5)?;
            inner.f_masked_fill_(&at.f_ge(3.0)?, 1.0)?.f_masked_fill_(&at.f_le(-3.0)?, 0.0)
        }
        Activation::Clip { min, max } => between(at, min, max),
    }
}

/// 1 where `x` is between two limits, 0 elsewhere.
fn between(x: &tch::Tensor, min: f64, max: f64) -> Result<tch::Tensor, TchError> {
    x.f_gt(min)?.f_logical_and(&x.f_lt(max)?)?.f_to_dtype(x.f_kind()?, false, false)
}

/// Which of `len` elements are dropped: [`hash64`](spectral_core::hash64) in libtorch's signed integers, whose
/// products wrap as they must.
fn dropped(op: Dropout, len: i64, device: Device) -> Result<tch::Tensor, TchError> {
    // A right shift of signed integers brings in the sign; the mask takes it out.
    let mixed = |z: tch::Tensor, shift: i64| {
        let high = z.f_bitwise_right_shift_tensor_scalar(shift)?.f_bitwise_and_(i64::MAX >> (shift - 1))?;
        z.f_bitwise_xor_tensor(&high)
    };
    let z = tch::Tensor::f_arange(len, (Kind::Int64, device))?.f_add_scalar_(1)?;
    let z = z.f_mul_scalar(0x9e37_79b9_7f4a_7c15_u64 as i64)?.f_add_scalar_(op.key as i64)?;
    let z = mixed(z, 30)?.f_mul_scalar_(0xbf58_476d_1ce4_e5b9_u64 as i64)?;
    let z = mixed(z, 27)?.f_mul_scalar_(0x94d0_49bb_1331_11eb_u64 as i64)?;
    // Unsigned numbers are ordered as the signed ones with the highest bit turned.
    mixed(z, 31)?.f_bitwise_xor(i64::MIN)?.f_lt((op.threshold() as i64) ^ i64::MIN)
}
