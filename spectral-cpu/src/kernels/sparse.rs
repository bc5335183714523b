//! Products with stored entries over many samples, cut so that what is read at random stays in the first cache.
//!
//! Three cuts, all by shape and pattern alone:
//! * the batch into [`panels`] of a few vectors, copied so that a panel is contiguous;
//! * the inputs into tiles of a panel that fill the first cache, and the units into blocks of rows ([`tiles`]);
//! * a row's entries in one tile are a segment: they share an accumulator of one panel's width. Where rows come in
//!   groups that store the same columns, a segment is a group's ([`grouped`]).
//!
//! [`forward`], [`backward`] (input gradient) and [`sampled`] (gradient of the stored entries) walk the same tiles, so
//! one index of two bytes an entry, built once, serves all three; values stay where they are. Every result is
//! computed by one thread, in an order that the pattern fixes.

pub(crate) mod backward;
pub(crate) mod forward;
mod grouped;
pub(crate) mod panels;
pub(crate) mod sampled;
pub(crate) mod tiles;

use crate::Cpu;
use crate::kernels::vector::{Kernel, Vector};
use spectral_core::Element;

/// The most vectors of samples in a panel.
pub(crate) const WIDE: usize = 4;

/// Floating-point operations that are worth a thread.
const GRAIN: usize = 500_000;

/// Runs `item(i, thread)` for every `i` below `items`, which take `work` operations in all; no two on one thread at a
/// time.
fn spread(cpu: &Cpu, items: usize, work: usize, item: impl Fn(usize, usize) + Sync) {
    let parts = (work / GRAIN).clamp(1, items.max(1));
    cpu.crew().each_on(parts, |part, thread| {
        (items * part / parts..items * (part + 1) / parts).for_each(|i| item(i, thread));
    });
}

/// Calls `$kernel.body::<V, N>()` for the `$vectors` there are.
macro_rules! by_vectors {
    ($vectors:expr, $kernel:expr, $v:ident) => {
        match $vectors {
            1 => $kernel.body::<$v, 1>(),
            2 => $kernel.body::<$v, 2>(),
            3 => $kernel.body::<$v, 3>(),
            _ => $kernel.body::<$v, 4>(),
        }
    };
}
use by_vectors;

/// Elements of type `E` in a vector of this machine.
pub(crate) fn lanes<E: super::math::Math>(cpu: &Cpu) -> usize {
    struct Count;
    impl<E: super::math::Math> Kernel<E> for Count {
        type Output = usize;
        #[inline(always)]
        fn run<V: Vector<Elem = E>>(self) -> usize {
            V::LANES
        }
    }
    cpu.simd().run::<E, _>(Count)
}

/// Inputs of a tile of which a full panel fills the first cache, or about so.
pub(crate) fn tile_inputs<E: Element>(lanes: usize) -> usize {
    32 * 1024 / (WIDE * lanes * size_of::<E>())
}
