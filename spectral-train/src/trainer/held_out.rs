//! What a run trains on, and what it holds out to measure on.

use super::Trainer;
use crate::Result;
use spectral_core::{HeldOut, Model, Samples};
use std::borrow::Cow;

/// The data of a run.
#[derive(Debug)]
pub(super) struct Sets<'a> {
    pub(super) train: Cow<'a, Samples>,
    /// What is measured after every epoch.
    pub(super) held_out: Option<Cow<'a, Samples>>,
}

impl<'a> Sets<'a> {
    /// Divides `data` for `trainer`. Samples that `model` remembers as held out are never trained on; where none are
    /// and the trainer asks for some, they are drawn now and the model remembers them.
    pub(super) fn of(trainer: &'a Trainer, model: &mut Model, data: &'a Samples) -> Result<Self> {
        if let Some(held_out) = &trainer.held_out {
            return Ok(Self { train: Cow::Borrowed(data), held_out: Some(Cow::Borrowed(&**held_out)) });
        }
        let remembered = model.meta.held_out.map(|h| h.again(data)).transpose()?.flatten();
        let (train, held_out) = match (remembered, trainer.validation) {
            (Some(sets), _) => sets,
            (None, None) => return Ok(Self { train: Cow::Borrowed(data), held_out: None }),
            (None, Some(share)) => {
                let (record, train, held_out) = HeldOut::draw(share, trainer.seed, data)?;
                model.meta.held_out = Some(record);
                (train, held_out)
            }
        };
        let measured = trainer.validation.is_some().then_some(Cow::Owned(held_out));
        Ok(Self { train: Cow::Owned(train), held_out: measured })
    }
}
