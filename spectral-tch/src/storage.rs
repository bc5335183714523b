//! Tensors of libtorch as the storage of ours, and views of them.

use crate::torch::call;
use spectral_core::{DType, Error, Result, Shape, Storage, Tensor};
use std::any::Any;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind};

/// A handle of libtorch that threads may share.
///
/// Such a handle may be sent to another thread, but not be used by two at once. The lock is held only while it is
/// copied; what it refers to is guarded by the borrows of our tensors.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<tch::Tensor>);

impl Shared {
    pub(crate) fn new(tensor: tch::Tensor) -> Self {
        Self(Mutex::new(tensor))
    }

    /// A handle to the same memory.
    pub(crate) fn handle(&self) -> tch::Tensor {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shallow_clone()
    }
}

/// Memory that libtorch owns.
#[derive(Debug)]
struct Buffer {
    values: Shared,
    dtype: DType,
    capacity: usize,
    device: Device,
}

impl Storage for Buffer {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn place(&self) -> String {
        place(self.device)
    }
    fn duplicate(&self) -> Result<Box<dyn Storage>> {
        let values = self.values.handle();
        let copy = call(self.device, || {
            let mut copy = tch::Tensor::f_zeros(values.size(), (values.f_kind()?, self.device))?;
            copy.f_copy_(&values)?;
            Ok(copy)
        })?;
        Ok(Box::new(Self { values: Shared::new(copy), ..*self }))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What libtorch calls an element type.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::F32 => Kind::Float,
        DType::F64 => Kind::Double,
    }
}

fn place(device: Device) -> String {
    match device {
        Device::Cpu => "torch:cpu".into(),
        Device::Cuda(index) => format!("torch:cuda:{index}"),
        other => format!("torch:{other:?}"),
    }
}

/// A number of elements as libtorch counts them; of more than it can count, all it can, for which no memory is large
/// enough.
pub(crate) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A tensor of zeros.
pub(crate) fn zeros(shape: Shape, dtype: DType, device: Device) -> Result<Tensor> {
    let capacity = shape.len();
    let values = Shared::new(call(device, || tch::Tensor::f_zeros([count(capacity)], (kind(dtype), device)))?);
    Tensor::new(shape, Box::new(Buffer { values, dtype, capacity, device }))
}

/// The elements of a tensor, in a row.
pub(crate) fn flat(t: &Tensor) -> Result<tch::Tensor> {
    let buffer = t.storage().as_any().downcast_ref::<Buffer>().ok_or_else(|| Error::Device {
        op: "tensor access",
        expected: "torch".into(),
        got: t.storage().place(),
    })?;
    let values = buffer.values.handle();
    if t.len() == buffer.capacity {
        return Ok(values);
    }
    call(buffer.device, || values.f_narrow(0, 0, count(t.len())))
}

/// A tensor as a matrix of its rows.
pub(crate) fn matrix(t: &Tensor) -> Result<tch::Tensor> {
    let flat = flat(t)?;
    call(flat.device(), || flat.f_view_([count(t.shape().rows()), count(t.shape().columns())]))
}

/// A tensor with all its axes.
pub(crate) fn shaped(t: &Tensor) -> Result<tch::Tensor> {
    let extents: Vec<i64> = t.shape().extents().iter().map(|&e| count(e)).collect();
    let flat = flat(t)?;
    call(flat.device(), || flat.f_view_(extents))
}

/// A vector as a matrix of one column: a factor for each row.
pub(crate) fn column(t: &Tensor) -> Result<tch::Tensor> {
    let flat = flat(t)?;
    call(flat.device(), || flat.f_unsqueeze(1))
}
