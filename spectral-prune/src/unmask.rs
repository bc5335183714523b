//! Removal of masks.

use crate::{Error, Result};
use serde_json::json;
use spectral_core::{HistoryEntry, Model, Param};

/// The action of the history entry that [`unmask`] adds.
pub const UNMASK: &str = "unmask";

/// Removes every mask from `model`, and returns the number of freed entries.
///
/// The freed entries take their values from `values`, usually the model before it was pruned. That undoes the pruning
/// and keeps later training (`original_model` in spectraltools). Without `values` they start at 0 and can grow again in
/// training. To restore an earlier model bit for bit, restore its file (`undo`).
///
/// # Errors
/// `values` has other parameters, or the device failed. The model is then unchanged.
pub fn unmask(model: &mut Model, values: Option<&Model>) -> Result<usize> {
    let mut bare = model.duplicate()?;
    let mut freed = 0;
    for (id, param) in model.params().iter() {
        let Some(mask) = param.pruned() else { continue };
        freed += mask.count();
        let (params, backend) = bare.params_mut();
        params.set_pruned(backend, id, None)?;
        let Some(from) = values else { continue };
        let same = from.params().by_name(&param.name).map(|id| from.params().get(id));
        let fits = |old: &&Param| old.value().shape() == param.value().shape() && old.pattern == param.pattern;
        let Some(old) = same.filter(fits) else {
            let problem =
                format!("`{}` is masked, and the model to take values from has none of this size", param.name);
            return Err(Error::Config(format!("{problem}; give the model before it was pruned")));
        };
        let mut merged = backend.download(param.value())?;
        let old = from.backend().download(old.value())?;
        mask.iter().for_each(|k| merged[k] = old[k]);
        params.edit(backend, id, |value| backend.write(&merged, value))?;
    }
    if freed > 0 {
        let detail = json!({ "freed": freed, "values": values.map(Model::content_hash).transpose()? });
        bare.meta.history.push(HistoryEntry { action: UNMASK.into(), parent: model.content_hash()?, detail });
        *model = bare;
    }
    Ok(freed)
}
