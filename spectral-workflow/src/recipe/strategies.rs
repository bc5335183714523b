//! The strategies of a recipe, by name.

use super::{Recipe, keys};
use crate::{Failure, Result};
use serde_json::Value;
use spectral_core::{Error, Strategy, StrategyEntry, registry};

/// A strategy that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Its registry name.
    pub(crate) name: String,
    /// The parameters that the recipe gives.
    pub(crate) parameters: Value,
    pub(crate) strategy: Box<dyn Strategy>,
}

impl Recipe {
    /// Builds and checks every strategy of the recipe.
    ///
    /// # Errors
    /// A name is not registered, or a parameter is unknown or out of its range.
    pub(crate) fn strategies(&self) -> Result<Vec<Planned>> {
        let plan = |(i, part): (usize, &spectral_core::registry::ByName)| {
            let place = format!("recipe {}: [[strategy]] {}", self.name, i + 1);
            let entry = registry::find::<StrategyEntry>(&part.name);
            let entry = entry.map_err(|e| Failure::input(format!("{place}: {e}")))?;
            let parameters = Value::Object(part.parameters.clone());
            let strategy = (entry.build)(parameters.clone()).and_then(|s| s.check().map(|()| s));
            let strategy = strategy.map_err(|e| match e {
                Error::Config { what, problem } => {
                    let problem = keys::unknown_key(&problem).unwrap_or(problem);
                    Failure::input(format!("{place}: {what}: {problem}"))
                }
                e => Failure::input(format!("{place}: {e}")),
            })?;
            Ok(Planned { name: part.name.clone(), parameters, strategy })
        };
        self.strategy.iter().enumerate().map(plan).collect()
    }
}
