//! The whole network: choices that are slower together are reverted.

use super::{LayerChoice, Watch, converted, plan_of};
use crate::Result;
use crate::measure::{Paired, Runner, paired_timed};
use spectral_core::{BATCH_CLASSES, Choice, DType, Element, Kernel, Meta, Model, Plan, Seed};

/// Times the converted network against the dense one, transposes included. In batch classes in which it is slower,
/// every layer becomes dense.
pub(super) fn fall_back_where_slower(model: &Model, layers: &mut [LayerChoice], watch: Watch<'_>) -> Result<()> {
    if !layers.iter().any(LayerChoice::wins) {
        return Ok(());
    }
    let plan = plan_of(layers);
    let mut dense = Plan::default();
    for layer in layers.iter() {
        for class in BATCH_CLASSES {
            dense.set(&layer.name, class, Choice { kernel: Kernel::Dense, reason: String::new() });
        }
    }
    let sparse = converted(model, layers, Meta::default())?;
    for class in BATCH_CLASSES {
        let chosen = |l: &LayerChoice| l.classes.get(&class).is_some_and(|c| c.choice.kernel.is_sparse());
        if !layers.iter().any(chosen) {
            continue;
        }
        let compared = match model.dtype() {
            DType::F32 => compare::<f32>((model, &dense), (&sparse, &plan), class, watch)?,
            DType::F64 => compare::<f64>((model, &dense), (&sparse, &plan), class, watch)?,
        };
        if compared.ratio_median >= 1.0 {
            continue;
        }
        for c in layers.iter_mut().filter_map(|l| l.classes.get_mut(&class)) {
            if c.choice.kernel.is_sparse() {
                let whole = format!("dense: the whole network runs {:.2}x with sparse kernels", compared.ratio_median);
                c.choice =
                    Choice { kernel: Kernel::Dense, reason: format!("{whole} (this layer: {})", c.choice.reason) };
            }
        }
    }
    Ok(())
}

fn compare<E: Element>(
    (a, a_plan): (&Model, &Plan),
    (b, b_plan): (&Model, &Plan),
    batch: usize,
    watch: Watch<'_>,
) -> Result<Paired> {
    let mut a = Runner::<E>::new(a, a_plan, batch, Seed(0))?;
    let mut b = Runner::<E>::new(b, b_plan, batch, Seed(0))?;
    Ok(paired_timed(watch.clock, &watch.options.timing, || a.once(), || b.once())?)
}
