//! Spectral pre-training: eigenvalues find the size of a network before its weights are trained.

use super::{MetricBased, eigenvalues, phase};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{Model, Result, Seed, Strategy, StrategyCx, StrategyReport, register_strategy};
use spectral_train::TrainConfig;

/// Trains the eigenvalues over frozen bases, then prunes until a metric suffers.
///
/// 1. With `restart` all parameters are drawn anew.
/// 2. `train`: eigenvalues of outputs, biases and all layers that are not spectral, over frozen bases. Eigenvalues of
///    inputs train where the layer says so.
/// 3. `cut`: [`MetricBased`] prunes to the last level inside its limit.
/// 4. What was trainable is again, so that the bases can be fine-tuned; the weights that were found are kept, unless
///    `reinitialise` draws them anew under the masks.
/// 5. `finetune`, if given, trains all.
///
/// Masks that the model came with stay. Source: spectraltools (`spectral_pretrain`), which returned the first model
/// outside the limit and could go on for ever. Deterministic in the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretrain {
    /// Whether all parameters are drawn anew first.
    pub restart: bool,
    /// How the eigenvalues are trained.
    pub train: TrainConfig,
    /// How it is pruned.
    pub cut: MetricBased,
    /// Whether the parameters that are left are drawn anew in the end.
    pub reinitialise: bool,
    /// How the result is trained, with everything that may train; not at all, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune: Option<TrainConfig>,
}

impl Default for Pretrain {
    fn default() -> Self {
        Self {
            restart: true,
            train: TrainConfig::default(),
            cut: MetricBased::default(),
            reinitialise: false,
            finetune: None,
        }
    }
}

impl Strategy for Pretrain {
    fn check(&self) -> Result<()> {
        phase::check(&self.train)?;
        self.cut.check()?;
        self.finetune.as_ref().map_or(Ok(()), phase::check)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let mut found = model.duplicate()?;
        let was = eigenvalues::train(cx, &self.train, &mut found, self.restart)?;
        let cut = self.cut.run(&mut found, cx)?;
        was.restore(&mut found)?;
        if self.reinitialise {
            found.redraw(Seed(cx.seed.key("reinitialise", 0)))?;
        }
        if let Some(config) = &self.finetune {
            let data = phase::Data::of(cx);
            phase::train(cx, "fine-tune", config, &mut found, data, &mut [])?;
        }
        *model = found;
        let detail = json!({ "restart": self.restart, "reinitialise": self.reinitialise, "cut": cut.detail });
        let summary = format!("trained eigenvalues over frozen bases; {}", cut.summary);
        Ok(StrategyReport { summary, detail, tables: cut.tables })
    }
}

register_strategy!(Pretrain, "pretrain", "trains eigenvalues over frozen bases and prunes until a metric suffers");
