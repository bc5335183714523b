//! Spectral weights `basis * (lambda_in - lambda_out)`.

use super::SharedMut;
use super::crew::Split;
use super::vector::{Kernel, Lanes, Vector};
use spectral_core::Accum;

/// Some rows of `weight = basis * (inner - outer)`.
pub(crate) struct Weight<'a, E> {
    pub(crate) basis: &'a [E],
    pub(crate) inner: &'a [E],
    /// An element for each of these rows.
    pub(crate) outer: &'a [E],
    pub(crate) weight: &'a mut [E],
}

impl<E: Lanes> Kernel<E> for Weight<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = self.inner.len();
        assert!(self.basis.len() == n * self.outer.len() && self.weight.len() == self.basis.len());
        for (o, outer) in self.outer.iter().enumerate() {
            let outer = V::splat(*outer);
            let mut i = 0;
            while i < n {
                let lanes = V::first((n - i).min(V::LANES));
                // SAFETY: the flagged lanes are in row `o` of both matrices.
                unsafe {
                    let gap = V::load_masked(self.inner.as_ptr().add(i), lanes).sub(outer);
                    let v = V::load_masked(self.basis.as_ptr().add(o * n + i), lanes).mul(gap);
                    v.store_masked(self.weight.as_mut_ptr().add(o * n + i), lanes);
                }
                i += V::LANES;
            }
        }
    }
}

/// What some whole rows of `dw`, the gradient of a weight `basis * (inner - outer)`, give its factors, in one pass.
pub(crate) struct Gradients<'a, E> {
    pub(crate) dw: &'a [E],
    pub(crate) basis: &'a [E],
    pub(crate) inner: &'a [E],
    /// An element for each of these rows.
    pub(crate) outer: &'a [E],
    /// `(+)= dw * (inner - outer)`.
    pub(crate) to_basis: Option<(&'a mut [E], Accum)>,
    /// `= sum over these rows of dw * basis`.
    pub(crate) to_inner: Option<&'a mut [E]>,
    /// `-= sum over columns of dw * basis`, an element for each of these rows.
    pub(crate) to_outer: Option<&'a mut [E]>,
}

impl<E: Lanes> Kernel<E> for Gradients<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let Self { dw, basis, inner, outer, mut to_basis, mut to_inner, mut to_outer } = self;
        let n = inner.len();
        assert!(dw.len() == n * outer.len() && basis.len() == dw.len());
        assert!(to_basis.as_ref().is_none_or(|(to, _)| to.len() == dw.len()));
        assert!(to_inner.as_ref().is_none_or(|to| to.len() == n));
        for (o, outer) in outer.iter().enumerate() {
            let outer = V::splat(*outer);
            let mut sum = V::zero();
            let mut i = 0;
            while i < n {
                let lanes = V::first((n - i).min(V::LANES));
                // SAFETY: the flagged lanes are in row `o` of the matrices, and among the columns.
                unsafe {
                    let d = V::load_masked(dw.as_ptr().add(o * n + i), lanes);
                    let term = d.mul(V::load_masked(basis.as_ptr().add(o * n + i), lanes));
                    sum = sum.add(term);
                    if let Some(to) = &mut to_inner {
                        let to = to.as_mut_ptr().add(i);
                        let term = if o > 0 { V::load_masked(to, lanes).add(term) } else { term };
                        term.store_masked(to, lanes);
                    }
                    if let Some((to, accum)) = &mut to_basis {
                        let to = to.as_mut_ptr().add(o * n + i);
                        let v = V::load_masked(inner.as_ptr().add(i), lanes).sub(outer).mul(d);
                        let v = if *accum == Accum::Add { V::load_masked(to, lanes).add(v) } else { v };
                        v.store_masked(to, lanes);
                    }
                }
                i += V::LANES;
            }
            if let Some(to) = &mut to_outer {
                to[o] = to[o] - sum.sum();
            }
        }
    }
}

/// What the elements of a matrix are turned into, in panels of `height` rows of `columns` elements each.
pub(crate) struct Results<'a, E> {
    pub(crate) columns: usize,
    pub(crate) height: usize,
    /// An element for each.
    pub(crate) basis: Option<&'a mut [E]>,
    /// An element a row.
    pub(crate) outer: Option<&'a mut [E]>,
    /// A row a panel.
    pub(crate) sums: Option<&'a mut [E]>,
}

/// What [`Results`] are while threads share them.
pub(crate) struct Shared<E> {
    columns: usize,
    height: usize,
    basis: Option<SharedMut<E>>,
    outer: Option<SharedMut<E>>,
    sums: Option<SharedMut<E>>,
}

impl<E: Lanes> Split for Results<'_, E> {
    type Raw = Shared<E>;

    fn raw(self, items: usize) -> Shared<E> {
        let Self { columns, height, .. } = self;
        let rows = items / columns;
        Shared {
            columns,
            height,
            basis: self.basis.raw(items),
            outer: self.outer.raw(rows),
            sums: self.sums.raw(rows.div_ceil(height) * columns),
        }
    }

    unsafe fn part(raw: &Shared<E>, from: usize, to: usize) -> Self {
        let Shared { columns, height, .. } = *raw;
        assert!(from.is_multiple_of(height * columns), "parts start where panels do, or two would share one's sums");
        let (top, bottom) = (from / columns, to / columns);
        let panels = (top / height * columns, bottom.div_ceil(height) * columns);
        // SAFETY: as the caller vouches, and with whole panels the rows of `sums` do not overlap either.
        unsafe {
            Self {
                columns,
                height,
                basis: Option::part(&raw.basis, from, to),
                outer: Option::part(&raw.outer, top, bottom),
                sums: Option::part(&raw.sums, panels.0, panels.1),
            }
        }
    }
}
