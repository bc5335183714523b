//! Methods on models from crates above the core.

use spectral_core::{Model, Named, Proof, Samples};

/// What crates above the core can do with a model.
pub trait ModelExt {
    /// The model without the units that have no effect any more; see [`spectral_prune::compact`].
    ///
    /// # Errors
    /// The device failed.
    #[cfg(feature = "prune")]
    fn compact(&self) -> spectral_prune::Result<Model>;

    /// The model with sparse weights in the layers that `policy` chooses; see [`spectral_sparse::sparsify`].
    ///
    /// # Errors
    /// The device failed.
    #[cfg(feature = "sparse")]
    fn sparsify(&self, policy: impl Into<spectral_sparse::Policy>) -> spectral_sparse::Result<Model>;
}

impl ModelExt for Model {
    #[cfg(feature = "prune")]
    fn compact(&self) -> spectral_prune::Result<Model> {
        Ok(spectral_prune::compact(self)?.model)
    }

    #[cfg(feature = "sparse")]
    fn sparsify(&self, policy: impl Into<spectral_sparse::Policy>) -> spectral_sparse::Result<Model> {
        Ok(spectral_sparse::sparsify(self, &policy.into())?.model)
    }
}

/// Compares `model` with each of `others` on `data` and on random inputs, within the default tolerance; see
/// [`spectral_core::prove`].
///
/// # Errors
/// The models have different inputs, outputs or element types, or a device failed. A difference is not an error:
/// it is in the result.
pub fn prove<const N: usize>(model: &Model, others: [&Model; N], data: &Samples) -> spectral_core::Result<Vec<Proof>> {
    let names: [String; N] = std::array::from_fn(|i| format!("model {}", i + 1));
    let named: Vec<Named<'_>> = names.iter().zip(others).map(|(name, model)| Named { name, model }).collect();
    spectral_core::prove(Named { name: "model 0", model }, &named, Some(data), None)
}
