//! The largest value and the mean of windows over images.

use super::fixture::{ACCUMS, Fixture, Pair};
use spectral_core::backend::{Accum, Pool2d, Pool2dVjp, PoolKernels, Pooling, Window};
use spectral_core::{Reference, Result, Shape};

/// Channels, height, width, samples, and the window.
type Case = ([usize; 4], Window);

const fn window(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4], dilation: [usize; 2]) -> Window {
    Window { kernel, stride, padding, dilation }
}

const CASES: [Case; 11] = [
    ([1, 1, 1, 1], Window::square(1)),
    ([2, 3, 3, 0], Window::square(2)),
    ([3, 4, 6, 1], window([2, 2], [2, 2], [0; 4], [1, 1])),
    ([2, 5, 7, 3], window([3, 3], [2, 2], [1; 4], [1, 1])),
    ([5, 6, 4, 17], window([3, 3], [1, 1], [1; 4], [1, 1])),
    ([1, 7, 9, 70], window([2, 3], [3, 1], [0, 1, 2, 0], [1, 1])),
    ([2, 9, 5, 33], window([3, 2], [1, 2], [2, 0, 0, 1], [2, 1])),
    ([3, 1, 8, 5], window([1, 4], [1, 4], [0; 4], [1, 1])),
    // The whole image.
    ([4, 3, 5, 9], window([3, 5], [1, 1], [0; 4], [1, 1])),
    ([2, 2, 2, 4], window([4, 3], [1, 1], [2, 1, 1, 1], [1, 1])),
    ([1, 40, 41, 2], window([5, 5], [2, 3], [2, 1, 0, 2], [1, 1])),
];

const POOLINGS: [Pooling; 3] = [Pooling::Max, Pooling::Average { padding: false }, Pooling::Average { padding: true }];

pub(super) fn run(f: &mut Fixture<'_>) {
    for (case, pooling) in CASES.into_iter().flat_map(|c| POOLINGS.map(|p| (c, p))) {
        f.case(format!("pool2d {case:?} {pooling:?}"), |f| {
            let x = f.random(Shape::new(&case.0)?)?;
            forward(f, &x, case.1, pooling)
        });
        for accum in ACCUMS {
            f.case(format!("pool2d_vjp {case:?} {pooling:?} {accum:?}"), |f| {
                let x = f.random(Shape::new(&case.0)?)?;
                vjp(f, &x, case.1, pooling, accum)
            });
        }
    }
    // Equal values: the first of them has the gradient. Values that are not numbers come through.
    for (what, odd) in [("ties", 0.5), ("NaN", f64::NAN), ("infinity", f64::INFINITY), ("-infinity", f64::NEG_INFINITY)]
    {
        for pooling in POOLINGS {
            f.case(format!("pool2d with {what} {pooling:?}"), |f| {
                let (shape, window) = (Shape::new(&[2, 4, 5, 3])?, window([2, 2], [1, 2], [1, 0, 0, 1], [1, 1]));
                let mut values = f.normal(shape.len());
                values.iter_mut().enumerate().filter(|(i, _)| i % 3 != 1).for_each(|(_, v)| *v = odd);
                let x = f.pair(shape, &values)?;
                forward(f, &x, window, pooling)?;
                vjp(f, &x, window, pooling, Accum::Replace)
            });
        }
    }
    refusals(f);
}

fn forward(f: &mut Fixture<'_>, x: &Pair, window: Window, pooling: Pooling) -> Result<()> {
    let op = Pool2d { x: &x.device, window, pooling };
    let mut y = f.target(op.output("test")?, Accum::Replace)?;
    let mut again = y.device.duplicate()?;
    f.backend.pool2d(&op, &mut y.device)?;
    f.backend.pool2d(&op, &mut again)?;
    Reference.pool2d(&Pool2d { x: &x.oracle, ..op }, &mut y.oracle)?;
    f.agree("y", &y, |_| 1.0)?;
    f.same_bits("y", &y.device, &again)
}

fn vjp(f: &mut Fixture<'_>, x: &Pair, window: Window, pooling: Pooling, accum: Accum) -> Result<()> {
    let of = Pool2d { x: &x.device, window, pooling };
    let (mut y, dy) = (f.target(of.output("test")?, Accum::Replace)?, f.random(of.output("test")?)?);
    let mut dx = f.target(x.oracle.shape(), accum)?;
    f.backend.pool2d(&of, &mut y.device)?;
    let slots = dx.slots(accum);
    f.backend.pool2d_vjp(&Pool2dVjp { of, y: &y.device, dy: &dy.device }, slots.0)?;
    let of = Pool2d { x: &x.oracle, ..of };
    Reference.pool2d(&of, &mut y.oracle)?;
    Reference.pool2d_vjp(&Pool2dVjp { of, y: &y.oracle, dy: &dy.oracle }, slots.1)?;
    // A value is in as many windows as fit over it, at most.
    f.agree("dx", &dx, |_| (window.taps() as f64).sqrt())
}

fn refusals(f: &mut Fixture<'_>) {
    for (label, x, y, window) in [
        ("pool2d into another shape", [2, 4, 4, 3], [2, 4, 4, 3], Window::square(2)),
        ("pool2d with another number of channels", [2, 4, 4, 3], [1, 3, 3, 3], Window::square(2)),
        ("pool2d over images that are too small", [2, 2, 4, 3], [2, 1, 2, 3], Window::square(3)),
        (
            "pool2d with a window in the padding",
            [2, 4, 4, 3],
            [2, 6, 3, 3],
            Window { padding: [3, 0, 0, 0], ..Window::square(2) },
        ),
    ] {
        f.refused(label, |f| {
            let (x, mut y) = (f.random(Shape::new(&x)?)?, f.random(Shape::new(&y)?)?);
            f.backend.pool2d(&Pool2d { x: &x.device, window, pooling: Pooling::Max }, &mut y.device)
        });
    }
    f.refused("pool2d_vjp into another shape", |f| {
        let (x, y) = (f.random(Shape::new(&[2, 4, 4, 3])?)?, f.random(Shape::new(&[2, 3, 3, 3])?)?);
        let mut dx = f.random(Shape::new(&[2, 4, 5, 3])?)?;
        let of = Pool2d { x: &x.device, window: Window::square(2), pooling: Pooling::Max };
        f.backend.pool2d_vjp(&Pool2dVjp { of, y: &y.device, dy: &y.device }, dx.slots(Accum::Replace).0)
    });
}
