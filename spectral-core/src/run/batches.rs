//! Running a model over samples, batch by batch.

use crate::base::{DType, Element, Error, Result, Values};
use crate::model::Model;
use crate::model::layer::Mode;
use crate::run::{Gradients, Workspace};
use crate::samples::Samples;
use crate::tensor::{Shape, Tensor};

/// Runs a model over batches of samples: loads them onto the device, runs the network, and keeps their targets ready
/// for the loss. Its buffers are allocated once.
///
/// ```
/// # use spectral_core::{Batches, Gradients, Mode, Model, Result, Samples};
/// /// The sum of all outputs of the network for all of `data`.
/// fn sum(model: &Model, data: &Samples) -> Result<f64> {
///     let mut sum = 0.0;
///     Batches::new(model, 256, Gradients::None)?.each(model, data, Mode::Infer, |batches, _rows| {
///         sum += model.backend().download(batches.workspace.last_output()?)?.iter().sum::<f64>();
///         Ok::<_, spectral_core::Error>(())
///     })?;
///     Ok(sum)
/// }
/// ```
#[derive(Debug)]
pub struct Batches {
    /// Activations and gradients of the last batch that was run.
    pub workspace: Workspace,
    targets: Option<Tensor>,
    /// Host copies of input and targets, if the device cannot be written to directly.
    staged: Option<(Tensor, Option<Tensor>)>,
}

impl Batches {
    /// Buffers for `model` and batches of up to `capacity` samples, without targets.
    ///
    /// # Errors
    /// The capacity is 0, or the device is out of memory.
    pub fn new(model: &Model, capacity: usize, gradients: Gradients) -> Result<Self> {
        Self::build(model, capacity, gradients, None)
    }

    /// As [`new`](Self::new), with room for targets: one value for each output of the model.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_targets(model: &Model, capacity: usize, gradients: Gradients) -> Result<Self> {
        let shape = Shape::matrix(model.graph().output().len(), capacity);
        Self::build(model, capacity, gradients, Some(shape))
    }

    fn build(model: &Model, capacity: usize, gradients: Gradients, targets: Option<Shape>) -> Result<Self> {
        let workspace = Workspace::new(model, capacity, gradients)?;
        let host = |shape| Tensor::host_zeros(shape, model.dtype());
        let staged = match on_host(workspace.input()) {
            true => None,
            false => Some((host(workspace.input().shape()), targets.map(host))),
        };
        let targets = targets.map(|shape| model.backend().zeros(shape, model.dtype())).transpose()?;
        Ok(Self { workspace, targets, staged })
    }

    /// Loads the samples of `data` at `rows` and runs the network on them. Random layers draw from `key`.
    ///
    /// # Errors
    /// The samples do not fit the model, there are none or more than the capacity, or the device failed.
    pub fn forward(&mut self, model: &Model, data: &Samples, rows: &[usize], mode: Mode, key: u64) -> Result<()> {
        let (features, outputs) = (model.graph().input().len(), model.graph().output().len());
        if data.features() != features {
            let problem = format!("{} has {} features, the model takes {features}", data.name, data.features());
            return Err(Error::Data(problem));
        }
        if self.targets.is_some() && data.targets().outputs() != outputs {
            let targets = data.targets().outputs();
            return Err(Error::Data(format!("{} has {targets} targets, the model {outputs} outputs", data.name)));
        }
        match model.dtype() {
            DType::F32 => self.load::<f32>(model, data, rows)?,
            DType::F64 => self.load::<f64>(model, data, rows)?,
        }
        self.workspace.forward(model, mode, key)
    }

    fn load<E: Element>(&mut self, model: &Model, data: &Samples, rows: &[usize]) -> Result<()> {
        let backend = &**model.backend();
        let (input, mut targets) = (self.workspace.begin(model, rows.len())?, self.targets.as_mut());
        if let Some(targets) = &mut targets {
            resize(targets, rows.len())?;
        }
        match &mut self.staged {
            None => {
                let table = data.inputs().to_slice().unwrap_or_default();
                backend.upload_samples(Values::F32(table), &|b| rows[b], input)?;
                if let Some(targets) = targets {
                    data.gather_targets(rows, targets.host_mut::<E>()?);
                }
            }
            Some((host_input, host_targets)) => {
                if host_input.shape() != input.shape() {
                    host_input.reshape(input.shape())?;
                }
                data.gather_inputs(rows, host_input.host_mut::<E>()?);
                backend.upload(E::values(host_input.host()?), input)?;
                if let (Some(host), Some(targets)) = (host_targets, targets) {
                    resize(host, rows.len())?;
                    data.gather_targets(rows, host.host_mut::<E>()?);
                    backend.upload(E::values(host.host()?), targets)?;
                }
            }
        }
        Ok(())
    }

    /// The targets of the last batch, `[outputs, batch]`; a class is 1 at its output and 0 elsewhere.
    pub fn targets(&self) -> Option<&Tensor> {
        self.targets.as_ref()
    }

    /// Workspace and targets of the last batch, for a loss that writes its gradient.
    ///
    /// # Errors
    /// There is no room for targets.
    pub fn with_loss(&mut self) -> Result<(&mut Workspace, &Tensor)> {
        match &self.targets {
            Some(targets) => Ok((&mut self.workspace, targets)),
            None => Err(Error::config("batches", "have no room for targets; build them with `with_targets`")),
        }
    }

    /// Runs all of `data` in order, in batches as large as fit, and calls `each` after every batch with its rows.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), or `each` failed.
    pub fn each<X: From<Error>>(
        &mut self,
        model: &Model,
        data: &Samples,
        mode: Mode,
        mut each: impl FnMut(&mut Self, &[usize]) -> Result<(), X>,
    ) -> Result<(), X> {
        let capacity = self.workspace.capacity();
        let mut rows = Vec::with_capacity(capacity.min(data.len()));
        for start in (0..data.len()).step_by(capacity) {
            rows.clear();
            rows.extend(start..(start + capacity).min(data.len()));
            self.forward(model, data, &rows, mode, 0)?;
            each(self, &rows)?;
        }
        Ok(())
    }
}

/// Resizes the targets to another number of samples.
fn resize(targets: &mut Tensor, batch: usize) -> Result<()> {
    let shape = targets.shape();
    match shape.columns() == batch {
        true => Ok(()),
        false => targets.reshape(Shape::matrix(shape.rows(), batch)),
    }
}

fn on_host(t: &Tensor) -> bool {
    match t.dtype() {
        DType::F32 => t.host::<f32>().is_ok(),
        DType::F64 => t.host::<f64>().is_ok(),
    }
}
