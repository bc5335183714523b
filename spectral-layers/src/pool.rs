//! The largest value or the mean of windows over images.

mod avg;
mod global;
mod max;

pub use avg::AvgPool;
pub use global::{Global, GlobalPool};
pub use max::MaxPool;

use crate::check;
use crate::window::{self, Padding};
use spectral_core::backend::{Pool2d, Pool2dVjp, Pooling};
use spectral_core::{Forward, Result, Shape, Vjp, Window};

/// Extents of the outputs of a layer that pools.
fn output(kind: &'static str, window: Window, padding: Padding, inputs: &[Shape]) -> Result<Shape> {
    let [channels, height, width] = window::image(kind, inputs)?;
    let [rows, columns] = window::places(kind, window, padding, [height, width])?;
    if !window.meets([height, width]) {
        let problem = "some windows lie in the padding alone; take less padding or a larger `kernel`";
        return Err(check::bad(kind, problem));
    }
    Shape::new(&[channels, rows, columns])
}

fn forward(cx: &mut Forward<'_>, window: Window, pooling: Pooling) -> Result<()> {
    cx.backend.pool2d(&Pool2d { x: cx.inputs.get(0), window, pooling }, cx.output)
}

fn vjp(cx: &mut Vjp<'_>, window: Window, pooling: Pooling) -> Result<()> {
    let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
    let of = Pool2d { x: cx.inputs.get(0), window, pooling };
    cx.backend.pool2d_vjp(&Pool2dVjp { of, y: cx.output, dy: cx.dy }, slot)
}
