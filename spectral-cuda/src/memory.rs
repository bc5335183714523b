//! Tensors in the memory of a device, and what is kept there of masks and patterns.

use crate::device::Address;
use crate::device::pool::{Buffer, Pool};
use crate::{Cuda, Device};
use spectral_core::{DType, Error, Mask, Pattern, Result, Shape, Storage, Tensor};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// The storage of a tensor.
#[derive(Debug)]
struct DeviceStorage<D: Device> {
    buffer: Buffer<D>,
    len: usize,
    dtype: DType,
}

impl<D: Device> Storage for DeviceStorage<D> {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn capacity(&self) -> usize {
        self.len
    }
    fn place(&self) -> String {
        self.buffer.pool().device.place()
    }
    fn duplicate(&self) -> Result<Box<dyn Storage>> {
        let bytes = self.len * self.dtype.bytes();
        let mut buffer = self.buffer.pool().take(bytes)?;
        buffer.copy(0, &self.buffer, 0, bytes)?;
        Ok(Box::new(Self { buffer, ..*self }))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<D: Device> Pool<D> {
    /// The memory of a tensor, if it is on this device.
    pub(crate) fn memory<'a>(self: &Arc<Self>, tensor: &'a Tensor) -> Result<&'a Buffer<D>> {
        let storage = tensor.storage();
        let own = storage.as_any().downcast_ref::<DeviceStorage<D>>().map(|s| &s.buffer);
        own.filter(|b| Arc::ptr_eq(b.pool(), self)).ok_or_else(|| self.elsewhere(storage.place()))
    }

    /// As [`memory`](Self::memory), for writing by the host.
    pub(crate) fn memory_mut<'a>(self: &Arc<Self>, tensor: &'a mut Tensor) -> Result<&'a mut Buffer<D>> {
        let place = tensor.storage().place();
        let storage = tensor.storage_mut().as_any_mut().downcast_mut::<DeviceStorage<D>>();
        let own = storage.map(|s| &mut s.buffer).filter(|b| Arc::ptr_eq(b.pool(), self));
        own.ok_or_else(|| self.elsewhere(place))
    }

    /// Where the values of a tensor start, if it is on this device and of type `dtype`.
    pub(crate) fn address(self: &Arc<Self>, tensor: &Tensor, dtype: DType) -> Result<Address> {
        if tensor.dtype() != dtype {
            return Err(Error::DType { op: "tensor access", expected: dtype, got: tensor.dtype() });
        }
        Ok(self.memory(tensor)?.address())
    }

    fn elsewhere(&self, got: String) -> Error {
        Error::Device { op: "tensor access", expected: self.device.place(), got }
    }

    /// A copy of host values on the device.
    pub(crate) fn uploaded<T: bytemuck::NoUninit>(self: &Arc<Self>, values: &[T]) -> Result<Buffer<D>> {
        let bytes = bytemuck::cast_slice(values);
        let mut buffer = self.take(bytes.len())?;
        buffer.write(bytes)?;
        Ok(buffer)
    }
}

impl<D: Device> Cuda<D> {
    /// A tensor whose contents are unspecified, for results between kernels.
    pub(crate) fn scratch(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        let buffer = self.pool().take(shape.len() * dtype.bytes())?;
        Tensor::new(shape, Box::new(DeviceStorage { buffer, len: shape.len(), dtype }))
    }

    /// A mask on the device: the copy made when it was last used, if it has not changed since.
    pub(crate) fn mask(&self, mask: Option<&Mask>) -> Result<Option<Arc<Buffer<D>>>> {
        let Some(mask) = mask else { return Ok(None) };
        let mut kept = self.masks().0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match kept.iter().position(|(known, _)| known == mask) {
            Some(at) => kept.remove(at),
            None => (mask.clone(), Arc::new(self.pool().uploaded(mask.words())?)),
        };
        let buffer = known.1.clone();
        if kept.len() == MASKS {
            kept.remove(0);
        }
        kept.push(known);
        Ok(Some(buffer))
    }

    /// A pattern's arrays on the device, uploaded once.
    pub(crate) fn pattern(&self, pattern: &Pattern) -> Result<Arc<PatternArrays<D>>> {
        let pool = self.pool();
        let form = pattern.form(
            |form: &PatternForm<D>| Arc::ptr_eq(&form.pool, pool),
            |_| PatternForm { pool: pool.clone(), arrays: Mutex::default() },
        );
        let mut arrays = form.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrays) = &*arrays {
            return Ok(arrays.clone());
        }
        let by_column = pattern.by_column();
        let new = Arc::new(PatternArrays {
            starts: pool.uploaded(pattern.starts())?,
            columns: pool.uploaded(pattern.indices())?,
            column_starts: pool.uploaded(&by_column.starts)?,
            rows: pool.uploaded(&by_column.rows)?,
            positions: pool.uploaded(&by_column.positions)?,
        });
        *arrays = Some(new.clone());
        Ok(new)
    }
}

/// Masks that are kept at most: two for each parameter of a deep network.
const MASKS: usize = 128;

/// Masks on the device, the last used at the end. A mask has no name, so it is known by its bits: to compare them
/// takes microseconds and ends at the first difference.
#[derive(Debug)]
pub(crate) struct Masks<D: Device>(Mutex<Vec<(Mask, Arc<Buffer<D>>)>>);

impl<D: Device> Default for Masks<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What a [`Pattern`] keeps for one device.
struct PatternForm<D: Device> {
    pool: Arc<Pool<D>>,
    arrays: Mutex<Option<Arc<PatternArrays<D>>>>,
}

/// The arrays of a [`Pattern`], by row and by column.
pub(crate) struct PatternArrays<D: Device> {
    pub(crate) starts: Buffer<D>,
    pub(crate) columns: Buffer<D>,
    pub(crate) column_starts: Buffer<D>,
    pub(crate) rows: Buffer<D>,
    pub(crate) positions: Buffer<D>,
}
