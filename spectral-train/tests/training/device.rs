//! A backend whose memory is not the host's: batches are staged and results read back.

use crate::support::{bits, blobs, network};
use spectral_core::{
    Backend, ConvKernels, DType, DenseKernels, Elementwise, Error, Evaluate, HostBuffer, Mask, Memory, PoolKernels,
    Reduce, Reference, Result, Samplewise, Seed, Shape, SparseKernels, SpectralKernels, Storage, Tensor, Trainable,
    Unitwise, UpdateKernels, Values,
};
use spectral_cpu::Cpu;
use spectral_train::{Adam, Evaluator, Trainer};
use std::any::Any;

/// Host memory that nobody but [`Remote`] can open.
#[derive(Debug)]
struct Far(Tensor);

impl Storage for Far {
    fn dtype(&self) -> DType {
        self.0.dtype()
    }
    fn capacity(&self) -> usize {
        self.0.storage().capacity()
    }
    fn place(&self) -> String {
        "remote".into()
    }
    fn duplicate(&self) -> Result<Box<dyn Storage>> {
        Ok(Box::new(Self(self.0.duplicate()?)))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// [`Reference`] on [`Far`] memory.
#[derive(Debug, Clone, Copy)]
struct Remote;

fn lost() -> Error {
    Error::Device { op: "access", expected: "remote".into(), got: "elsewhere".into() }
}

impl Memory for Remote {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        let room = HostBuffer::zeros(shape.len(), dtype);
        Tensor::new(shape, Box::new(Far(Tensor::new(shape, Box::new(room))?)))
    }
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        let shape = to.shape();
        let far = to.storage_mut().as_any_mut().downcast_mut::<Far>().ok_or_else(lost)?;
        far.0.reshape(shape)?;
        Reference.upload(from, &mut far.0)
    }
    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        let far = from.storage().as_any().downcast_ref::<Far>().ok_or_else(lost)?;
        let mut all = Reference.download(&far.0)?;
        all.resize(from.len(), 0.0);
        Ok(all)
    }
}

impl Elementwise for Remote {}
impl DenseKernels for Remote {}
impl SpectralKernels for Remote {}
impl SparseKernels for Remote {}
impl Reduce for Remote {}
impl Unitwise for Remote {}
impl Samplewise for Remote {}
impl ConvKernels for Remote {}
impl PoolKernels for Remote {}
impl UpdateKernels for Remote {}
impl Backend for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }
}

#[test]
fn memory_elsewhere_gives_the_same_bits() {
    let data = blobs(50, 3, 1);
    let mut host = network(3).build(&Reference, Seed(3)).unwrap();
    let mut remote = network(3).build(&Remote, Seed(3)).unwrap();
    let trainer = Trainer::new(Adam::default()).epochs(3).batch(16).clip_norm(0.5).validation(0.2).keep_best();
    let a = trainer.fit(&mut host, &data).unwrap();
    let b = trainer.fit(&mut remote, &data).unwrap();
    assert_eq!(bits(&host), bits(&remote));
    assert_eq!(a.epochs[2].validation, b.epochs[2].validation);
    let evaluator = Evaluator::default().batch(7);
    assert_eq!(evaluator.evaluate(&host, &data).unwrap(), evaluator.evaluate(&remote, &data).unwrap());
}

/// Sparana A11: the way back to the first device fails there, and masks stay behind.
#[test]
fn a_model_moves_to_another_backend_and_back_with_masks_and_frozen_entries() {
    let mut model = network(3).build(&Reference, Seed(3)).unwrap();
    let id = model.params().by_name("dense1.weight").unwrap();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(30, |i| i % 4 == 0)).unwrap();
    params.set_trainable(id, Trainable::Only(Mask::from_fn(30, |i| i % 3 == 0))).unwrap();
    let there = model.to_backend(&Cpu::new().unwrap(), DType::F32).unwrap();
    let back = there.to_backend(&Reference, DType::F32).unwrap();
    assert_eq!((there.backend().name(), back.backend().name()), ("cpu", "reference"));
    for moved in [&there, &back] {
        assert_eq!(moved.content_hash().unwrap(), model.content_hash().unwrap());
        assert_eq!(moved.params().get(id).pruned(), model.params().get(id).pruned());
        assert_eq!(moved.params().get(id).trainable, model.params().get(id).trainable);
    }
}
