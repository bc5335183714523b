//! Optimiser steps.

use crate::Torch;
use crate::storage::{count, flat};
use spectral_core::backend::{Rule, SUBNORMAL_CUT, Update, UpdateKernels};
use spectral_core::{Constrain, Constraint, Mask, Result, Rows, Tensor};
use tch::TchError;

impl UpdateKernels for Torch {
    fn update_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        let on = |mask: Option<&Mask>| mask.map(|m| self.masks().on(self.device(), m)).transpose();
        let (pruned, trainable) = (on(op.pruned)?, on(op.trainable)?);
        let (mut w, g) = (flat(value)?, flat(gradient)?);
        let mut state = state.iter().map(flat).collect::<Result<Vec<_>>>()?;
        self.call(|| {
            let (step, new_state) = step(op, &pulled(op, &w, &g)?, &state)?;
            let new = w.f_mul_scalar(1.0 - op.rate * op.decay)?.f_sub_(&step.f_mul_scalar(op.rate)?)?;
            for (new, old) in std::iter::once((new, &mut w)).chain(new_state.into_iter().zip(&mut state)) {
                let mut new = new;
                let _ = new.f_masked_fill_(&new.f_abs()?.f_lt(SUBNORMAL_CUT)?, 0.0)?;
                let mut new = match &trainable {
                    Some(free) => new.f_where_self(free, old)?,
                    None => new,
                };
                if let Some(pruned) = &pruned {
                    let _ = new.f_masked_fill_(pruned, 0.0)?;
                }
                old.f_copy_(&new)?;
            }
            Ok(())
        })
    }

    fn constrain_kernel(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        let Rows::Equal(rows) = op.rows else {
            let mut host = spectral_core::Memory::download(self, value)?;
            op.apply(&mut host);
            return spectral_core::Memory::write(self, &host, value);
        };
        let rows = count(rows);
        let trainable = op.trainable.map(|m| self.masks().on(self.device(), m)).transpose()?;
        let mut w = flat(value)?;
        self.call(|| {
            let by_row = w.f_view_([rows, -1])?;
            let new = constrained(op.constraint, &by_row)?.f_view_([-1])?;
            match trainable {
                Some(free) => w.f_copy_(&new.f_where_self(&free, &w)?),
                None => w.f_copy_(&new),
            }
        })
    }
}

/// The gradient with the penalties.
fn pulled(op: &Update<'_>, w: &tch::Tensor, g: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    let mut g = g.f_mul_scalar(op.gradient_scale)?;
    if op.l2 != 0.0 {
        g = g.f_add_(&w.f_mul_scalar(2.0 * op.l2)?)?;
    }
    if op.l1 != 0.0 {
        g = g.f_add_(&w.f_sign()?.f_mul_scalar_(op.l1)?)?;
    }
    Ok(g)
}

/// What the rate is multiplied with, and the new state.
fn step(op: &Update<'_>, g: &tch::Tensor, state: &[tch::Tensor]) -> Result<(tch::Tensor, Vec<tch::Tensor>), TchError> {
    // `share * old + (1 - share) * new`.
    let mean = |share: f64, old: &tch::Tensor, new: tch::Tensor| {
        old.f_mul_scalar(share)?.f_add_(&new.f_mul_scalar(1.0 - share)?)
    };
    Ok(match (op.rule, state) {
        (Rule::Sgd { momentum, nesterov }, [v, ..]) => {
            let v = v.f_mul_scalar(momentum)?.f_add_(g)?;
            let step = if nesterov { v.f_mul_scalar(momentum)?.f_add_(g)? } else { v.shallow_clone() };
            (step, vec![v])
        }
        (Rule::Adam { beta1, beta2, epsilon }, [m, v, ..]) => {
            let (m, v) = (mean(beta1, m, g.shallow_clone())?, mean(beta2, v, g.f_square()?)?);
            let root = v.f_div_scalar(op.correction(beta2))?.f_sqrt_()?.f_add_scalar_(epsilon)?;
            (m.f_div_scalar(op.correction(beta1))?.f_div_(&root)?, vec![m, v])
        }
        (Rule::Adamax { beta1, beta2, epsilon }, [m, u, ..]) => {
            let (m, u) = (mean(beta1, m, g.shallow_clone())?, u.f_mul_scalar(beta2)?.f_fmax(&g.f_abs()?)?);
            (m.f_div_scalar(op.correction(beta1))?.f_div_(&u.f_add_scalar(epsilon)?)?, vec![m, u])
        }
        (Rule::RmsProp { rho, epsilon, epsilon_inside }, [v, ..]) => {
            let v = mean(rho, v, g.f_square()?)?;
            let root = match epsilon_inside {
                true => v.f_add_scalar(epsilon)?.f_sqrt_()?,
                false => v.f_sqrt()?.f_add_scalar_(epsilon)?,
            };
            (g.f_div(&root)?, vec![v])
        }
        // Without momentum; the other rules come with their state, which `Update::check` counted.
        (_, _) => (g.shallow_clone(), Vec::new()),
    })
}

/// A matrix whose rows satisfy the constraint. Norms are f64, as on the host.
fn constrained(constraint: Constraint, w: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    if constraint == Constraint::NonNeg {
        return w.f_masked_fill(&w.f_lt(0.0)?, 0.0);
    }
    let wide = w.f_to_dtype(tch::Kind::Double, false, false)?;
    let norms = wide.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)?.f_sqrt_()?;
    let goal = match constraint {
        Constraint::None | Constraint::NonNeg => norms.shallow_clone(),
        Constraint::UnitNorm => norms.f_ones_like()?,
        Constraint::MaxNorm { max } => norms.f_clamp_max(max)?,
        Constraint::MinMaxNorm { min, max, rate } => {
            norms.f_clamp(min, max)?.f_mul_scalar_(rate)?.f_add_(&norms.f_mul_scalar(1.0 - rate)?)?
        }
    };
    let fixed = norms.f_gt(0.0)?.f_logical_and_(&norms.f_isfinite()?)?.f_logical_not_()?;
    let factors = goal.f_div(&norms)?.f_masked_fill_(&fixed, 1.0)?;
    wide.f_mul(&factors)?.f_to_dtype(w.f_kind()?, false, false)
}
