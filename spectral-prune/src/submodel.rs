//! Sub-models: smaller networks that are cut out of the last layers, trained alone and put back.

mod chain;
mod cut;
mod summary;

use crate::activities::activities;
use crate::config::criterion;
use crate::pick::Pick;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Model, ParamId, Params, Samples, Seed, Source};

/// What a sub-model keeps, in the form that recipes use.
///
/// ```toml
/// submodel = { units = [50, 20], criterion = "magnitude", pick = "top", summary = true }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubModelConfig {
    /// Units to keep in each of the last hidden layers, in execution order. So `[50, 20]` cuts the last three layers:
    /// two hidden layers, and the output layer, which keeps all units.
    pub units: Vec<usize>,
    /// How weights are scored: any registered criterion.
    pub criterion: ByName,
    /// Which units stay: the ranking of the layer's weights is followed until enough different units are found.
    pub pick: Pick,
    /// Whether each layer gets one more unit that stands for those that are left out.
    pub summary: bool,
}

impl Default for SubModelConfig {
    fn default() -> Self {
        Self { units: Vec::new(), criterion: ByName::new("magnitude"), pick: Pick::Top, summary: true }
    }
}

/// A smaller network that was cut out of a model, and where its parameters came from.
///
/// Source: Sparana ("vulcanizer", "mind meld"). [`Model::duplicate`] does what its `revert_weights` was meant to do.
#[derive(Debug)]
pub struct SubModel {
    /// The smaller network. Train it on [`inputs`](Self::inputs).
    pub model: Model,
    /// Its hidden layers, in execution order.
    pub layers: Vec<SubLayer>,
    /// The place in the original that its inputs come from.
    start: Source,
    parts: Vec<Part>,
}

/// The part of a hidden layer in a sub-model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubLayer {
    /// Name of the node.
    pub name: String,
    /// Units of the original that stay, ascending. They come first.
    pub kept: Vec<usize>,
    /// Number of units in the original.
    pub of: usize,
    /// Whether a last unit stands for the others.
    pub summary: bool,
}

/// A parameter of the sub-model, and the entries of the original that it was copied from.
#[derive(Debug)]
struct Part {
    sub: ParamId,
    original: ParamId,
    /// For every entry that was kept: its index in the sub-model and in the original.
    entries: Vec<(usize, usize)>,
}

impl SubModelConfig {
    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// No layer is named, a layer would be left without units, or the criterion or pick is wrong.
    pub fn check(&self) -> Result<()> {
        criterion(&self.criterion)?;
        self.pick.check()?;
        if self.units.is_empty() || self.units.contains(&0) {
            let problem = "a sub-model needs `units`: how many to keep in each of the last hidden layers, at least 1";
            return Err(Error::Config(problem.into()));
        }
        Ok(())
    }

    /// Cuts a sub-model out of the last layers of `model`.
    ///
    /// Kept units keep their weights among each other, their biases and their eigenvalues bit for bit, and their masks.
    /// Let `R` be the units of a layer that are left out. Its summary unit `s` has the mean of their incoming weights
    /// and of their biases. The next layer weights it by
    ///
    /// `w[o, s] = sum over r in R of w[o, r] c[r]`,  `c[r] = sum_n a_r(n) a_s(n) / sum_n a_s(n)^2`
    ///
    /// where `a(n)` are activities over up to 1,024 samples of `data`: the least-squares fit of each unit by the
    /// summary. So the sub-model computes the same as the original if the units in `R` are equal, or if they are linear
    /// with equal outgoing weights. Without data, or if the summary is always 0, `c = 1`: the plain sum. Sparana
    /// multiplies the mean by the number of units and their mean activity instead, which only fits units that fire
    /// together.
    ///
    /// A spectral layer stays spectral. Its summary unit gets eigenvalues at least 1 away from all that they are
    /// combined with, and the basis entries that give the weights above.
    ///
    /// # Errors
    /// As [`check`](Self::check); a layer has fewer units than it should keep, or there are too few hidden layers; the
    /// last layers are not a chain of dense, masked, spectral and element-wise layers; data is needed and missing.
    pub fn extract<'a>(&self, model: &Model, data: impl Into<Option<&'a Samples>>, seed: Seed) -> Result<SubModel> {
        self.check()?;
        let data = data.into();
        let chain = chain::Chain::find(model, self.units.len() + 1)?;
        let kept = chain.choose(model, self, data, seed)?;
        cut::cut(model, &chain, &kept, self.summary, data)
    }
}

impl SubModel {
    /// The inputs of the sub-model for `data`: activities of `original` in front of the layers it was cut from.
    ///
    /// # Errors
    /// The data does not fit, or a device failed.
    pub fn inputs(&self, original: &Model, data: &Samples) -> Result<Samples> {
        if self.start == Source::Input {
            return Ok(data.clone());
        }
        let inputs = activities(original, self.start, data)?.mapv(|v| v as f32);
        Ok(Samples::new(data.name.clone(), inputs, data.targets().clone())?)
    }

    /// Writes the kept parameters back into the model they were cut from. All other parameters and all masks stay.
    ///
    /// Reinserting an untrained sub-model changes nothing, bit for bit.
    ///
    /// # Errors
    /// `original` has another shape than the model it was cut from, or a device failed. It is then unchanged.
    pub fn reinsert(&self, original: &mut Model) -> Result<()> {
        let other = || Error::Config("the sub-model was cut from a model of another shape".into());
        let mut updated: Params = original.params().duplicate()?;
        let backend = &**original.backend();
        for part in &self.parts {
            let from = self.model.params().get(part.sub);
            let fits = |(id, p): (ParamId, &spectral_core::Param)| id == part.original && p.name == from.name;
            if !updated.iter().any(fits) {
                return Err(other());
            }
            let trained = self.model.backend().download(from.value())?;
            updated.edit(backend, part.original, |value| {
                let mut values = backend.download(value)?;
                for &(sub, original) in &part.entries {
                    match (values.get_mut(original), trained.get(sub)) {
                        (Some(slot), Some(v)) => *slot = *v,
                        _ => return Err(other().into()),
                    }
                }
                backend.write(&values, value)
            })?;
        }
        let ids: Vec<ParamId> = self.parts.iter().map(|p| p.original).collect();
        let (params, _) = original.params_mut();
        let fresh = ids.into_iter().map(|id| Ok((id, updated.get(id).duplicate()?)));
        // Nothing can fail after this.
        let fresh = fresh.collect::<spectral_core::Result<Vec<_>>>()?;
        for (id, param) in fresh {
            params.replace(id, param);
        }
        Ok(())
    }
}
