//! Convolutions over images.

use super::dense::activated;
use super::fixture::{ACCUMS, Fixture};
use spectral_core::backend::{Accum, Conv2d, ConvGrads, ConvKernels, Window};
use spectral_core::{Activation, Reference, Result, Shape};

/// Channels, height, width, output channels, samples, the window, and groups.
type Case = ([usize; 3], usize, usize, Window, usize);

/// A square window.
const fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    Window { stride: [stride; 2], padding: [padding; 4], ..Window::square(kernel) }
}

/// A window without symmetry.
const fn oblong(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4], dilation: [usize; 2]) -> Window {
    Window { kernel, stride, padding, dilation }
}

const CASES: [Case; 21] = [
    ([1, 1, 1], 1, 1, window(1, 1, 0), 1),
    ([1, 3, 3], 2, 0, window(2, 1, 0), 1),
    ([2, 5, 4], 3, 1, window(3, 1, 1), 1),
    ([3, 6, 7], 5, 17, window(3, 1, 1), 1),
    ([2, 8, 8], 4, 33, window(3, 2, 1), 1),
    ([1, 7, 9], 3, 16, window(5, 2, 2), 1),
    ([4, 4, 4], 7, 9, window(1, 1, 0), 1),
    ([2, 9, 5], 3, 5, window(2, 3, 0), 1),
    ([2, 3, 3], 2, 3, window(3, 1, 2), 1),
    // Windows without symmetry, gaps, padding on one side, a window as wide as the padded image.
    ([2, 5, 8], 3, 3, oblong([1, 3], [1, 2], [0, 0, 1, 1], [1, 1]), 1),
    ([3, 7, 4], 2, 5, oblong([3, 2], [2, 1], [2, 0, 0, 1], [1, 1]), 1),
    ([2, 9, 9], 3, 17, oblong([3, 3], [1, 1], [2, 2, 2, 2], [2, 2]), 1),
    ([1, 8, 5], 2, 1, oblong([2, 3], [3, 1], [0, 1, 3, 0], [4, 2]), 1),
    ([2, 3, 1], 4, 6, oblong([5, 4], [1, 1], [1, 1, 0, 3], [1, 1]), 1),
    // Groups; depthwise, with one and with several outputs for each channel.
    ([4, 5, 4], 6, 3, window(3, 1, 1), 2),
    ([9, 4, 3], 3, 17, window(2, 2, 1), 3),
    ([3, 6, 5], 3, 1, window(3, 1, 1), 3),
    ([5, 7, 9], 5, 19, window(3, 2, 1), 5),
    ([2, 6, 4], 6, 4, oblong([2, 3], [1, 1], [0, 2, 1, 0], [2, 1]), 2),
    ([3, 5, 5], 3, 0, window(3, 1, 0), 3),
    ([4, 11, 6], 4, 2, oblong([3, 1], [4, 2], [3, 0, 0, 0], [3, 1]), 4),
];

pub(super) fn run(f: &mut Fixture<'_>) {
    for case in CASES {
        for (act, bias, pre) in
            [(Activation::Identity, false, false), (Activation::Relu, true, false), (Activation::Gelu, true, true)]
        {
            let label = format!("conv2d {case:?} {act:?} bias {bias} pre-activation {pre}");
            f.case(label, |f| forward(f, case, act, bias, pre));
        }
        for accum in ACCUMS {
            for wanted in [[true; 3], [true, false, false], [false, true, false], [false, false, true], [false; 3]] {
                f.case(format!("conv2d_vjp {case:?} {accum:?} wanted {wanted:?}"), |f| vjp(f, case, accum, wanted));
            }
        }
    }
    for accum in ACCUMS {
        f.case(format!("reshaped {accum:?}"), |f| {
            let (x, mut y) = (f.random(Shape::new(&[3, 4, 5, 7])?)?, f.target(Shape::matrix(60, 7), accum)?);
            f.backend.reshaped(&x.device, &mut y.device, accum)?;
            Reference.reshaped(&x.oracle, &mut y.oracle, accum)?;
            f.agree("y", &y, |_| 1.0)
        });
    }
    refusals(f);
}

fn shapes(([c, h, w], out, batch, window, groups): Case) -> Result<(Shape, Shape)> {
    let [height, width] = window.kernel;
    Ok((Shape::new(&[c, h, w, batch])?, Shape::new(&[out, c / groups, height, width])?))
}

fn forward(f: &mut Fixture<'_>, case: Case, activation: Activation, with_bias: bool, with_pre: bool) -> Result<()> {
    let (x, w) = shapes(case)?;
    let (x, weight, window) = (f.random(x)?, f.random(w)?, case.3);
    let bias = with_bias.then(|| f.random(Shape::vector(case.1))).transpose()?;
    let (bias_device, groups) = (bias.as_ref().map(|b| &b.device), case.4);
    let op = Conv2d { x: &x.device, weight: &weight.device, bias: bias_device, window, groups, activation };
    let shape = op.output("test")?;
    let (mut y, mut z) = (f.target(shape, Accum::Replace)?, f.target(shape, Accum::Replace)?);
    let mut scratch = f.target(op.columns("test")?, Accum::Replace)?;
    let mut again = y.device.duplicate()?;
    f.backend.conv2d(&op, &mut scratch.device, &mut y.device, with_pre.then_some(&mut z.device))?;
    f.backend.conv2d(&op, &mut scratch.device, &mut again, None)?;
    let op = Conv2d { x: &x.oracle, weight: &weight.oracle, bias: bias.as_ref().map(|b| &b.oracle), ..op };
    Reference.conv2d(&op, &mut scratch.oracle, &mut y.oracle, Some(&mut z.oracle))?;
    let root = (weight.oracle.shape().columns() as f64).sqrt();
    let near = activated(&z.oracle, |_| root)?;
    f.agree("y", &y, |i| near[i])?;
    if with_pre {
        f.agree("pre-activation", &z, |_| root)?;
    }
    f.same_bits("y", &y.device, &again)
}

fn vjp(f: &mut Fixture<'_>, case: Case, accum: Accum, wanted: [bool; 3]) -> Result<()> {
    let (x, w) = shapes(case)?;
    let (x, weight, window) = (f.random(x)?, f.random(w)?, case.3);
    let activation = Activation::Identity;
    let op = Conv2d { x: &x.device, weight: &weight.device, bias: None, window, groups: case.4, activation };
    let (shape, columns) = (op.output("test")?, op.columns("test")?);
    let (mut y, mut scratch) = (f.target(shape, Accum::Replace)?, f.target(columns, Accum::Replace)?);
    let dz = f.random(shape)?;
    let mut grads = [
        f.target(x.oracle.shape(), accum)?,
        f.target(weight.oracle.shape(), accum)?,
        f.target(Shape::vector(case.1), accum)?,
    ];
    let before = [grads[0].device.duplicate()?, grads[1].device.duplicate()?, grads[2].device.duplicate()?];
    f.backend.conv2d(&op, &mut scratch.device, &mut y.device, None)?;
    let [dx, dw, db] = grads.each_mut().map(|g| g.slots(accum));
    let chosen =
        ConvGrads { x: wanted[0].then_some(dx.0), weight: wanted[1].then_some(dw.0), bias: wanted[2].then_some(db.0) };
    f.backend.conv2d_vjp(&op, &mut scratch.device, &dz.device, chosen)?;
    let op = Conv2d { x: &x.oracle, weight: &weight.oracle, ..op };
    let all = ConvGrads { x: Some(dx.1), weight: Some(dw.1), bias: Some(db.1) };
    Reference.conv2d_vjp(&op, &mut scratch.oracle, &dz.oracle, all)?;
    // Roots of the number of terms, each about 1.
    let places = (shape.columns() as f64).sqrt();
    let taps = ((case.1 / case.4 * window.taps()) as f64).sqrt();
    for (i, (what, size)) in [("dx", taps), ("dw", places), ("dbias", places)].into_iter().enumerate() {
        if wanted[i] {
            f.agree(what, &grads[i], |_| size.max(1.0))?;
        } else {
            f.same_bits(what, &grads[i].device, &before[i])?;
        }
    }
    Ok(())
}

fn refusals(f: &mut Fixture<'_>) {
    let plain = window(3, 1, 0);
    for (label, x, w, out, window, groups) in [
        ("conv2d with weights for other channels", [2, 4, 4, 3], [3, 1, 3, 3], [3, 2, 2, 3], plain, 1),
        ("conv2d with weights of another kernel", [2, 4, 4, 3], [3, 2, 2, 2], [3, 2, 2, 3], plain, 1),
        ("conv2d over images that are too small", [2, 2, 2, 3], [3, 2, 3, 3], [3, 1, 1, 3], plain, 1),
        ("conv2d into another shape", [2, 4, 4, 3], [3, 2, 3, 3], [3, 4, 4, 3], plain, 1),
        ("conv2d without steps", [2, 4, 4, 3], [3, 2, 3, 3], [3, 2, 2, 3], window(3, 0, 0), 1),
        ("conv2d in no groups", [2, 4, 4, 3], [3, 2, 3, 3], [3, 2, 2, 3], plain, 0),
        ("conv2d in groups that do not divide its channels", [4, 4, 4, 3], [3, 2, 3, 3], [3, 2, 2, 3], plain, 2),
        ("conv2d in groups with whole weights", [2, 4, 4, 3], [4, 2, 3, 3], [4, 2, 2, 3], plain, 2),
    ] {
        f.refused(label, |f| {
            let (x, weight) = (f.random(Shape::new(&x)?)?, f.random(Shape::new(&w)?)?);
            let mut y = f.random(Shape::new(&out)?)?;
            let activation = Activation::Identity;
            let op = Conv2d { x: &x.device, weight: &weight.device, bias: None, window, groups, activation };
            let columns = Shape::new(&[w[1] * w[2] * w[3], out[1], out[2], out[3]])?;
            let mut scratch = f.random(columns)?;
            f.backend.conv2d(&op, &mut scratch.device, &mut y.device, None)
        });
    }
    f.refused("reshaped into another number of elements", |f| {
        let (x, mut y) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::matrix(3, 5))?);
        f.backend.reshaped(&x.device, &mut y.device, Accum::Replace)
    });
}
