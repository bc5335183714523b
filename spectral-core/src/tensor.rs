//! Tensors (a shape, an element type and storage that a backend owns), and sets of their entries.

pub mod boundary;
mod mask;
mod pattern;
mod shape;

pub use mask::Mask;
pub use pattern::{ByColumn, Pattern};
pub use shape::{MAX_RANK, Shape};

use crate::base::{DType, Element, Error, Result};
use std::any::Any;

/// Memory that holds the elements of a tensor. A backend brings its own; [`HostBuffer`] is main memory.
pub trait Storage: Any + std::fmt::Debug + Send + Sync {
    /// Element type.
    fn dtype(&self) -> DType;
    /// Number of elements it can hold.
    fn capacity(&self) -> usize;
    /// Where the memory is: `host`, `cuda:0`, ...
    fn place(&self) -> String;
    /// A copy in the same place.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    fn duplicate(&self) -> Result<Box<dyn Storage>>;
    /// Lets a backend downcast to its own type.
    fn as_any(&self) -> &dyn Any;
    /// Lets a backend downcast to its own type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A row-major n-dimensional array without gaps. It alone owns its storage.
#[derive(Debug)]
pub struct Tensor {
    shape: Shape,
    storage: Box<dyn Storage>,
}

impl Tensor {
    /// A tensor over `storage`.
    ///
    /// # Errors
    /// The storage is too small for the shape.
    pub fn new(shape: Shape, storage: Box<dyn Storage>) -> Result<Self> {
        if storage.capacity() < shape.len() {
            return Err(Error::shape("tensor", shape, format!("room for {} elements", storage.capacity())));
        }
        Ok(Self { shape, storage })
    }

    /// A tensor of zeros in main memory.
    pub fn host_zeros(shape: Shape, dtype: DType) -> Self {
        Self { shape, storage: Box::new(HostBuffer::zeros(shape.len(), dtype)) }
    }

    /// As [`host_zeros`](Self::host_zeros), with an error if memory runs out: for sizes from files and settings.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn try_host_zeros(shape: Shape, dtype: DType) -> Result<Self> {
        let buffer = HostBuffer::try_zeros(shape.len(), dtype)?;
        Ok(Self { shape, storage: Box::new(buffer) })
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.is_empty()
    }

    /// Changes the shape within the memory of the tensor. Its values are unspecified afterwards.
    ///
    /// # Errors
    /// The memory is too small for that many elements.
    pub fn reshape(&mut self, shape: Shape) -> Result<()> {
        if self.storage.capacity() < shape.len() {
            return Err(Error::shape("reshape", format!("at most {} elements", self.storage.capacity()), shape));
        }
        self.shape = shape;
        Ok(())
    }

    /// The storage, for the backend that made it.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The storage, for the backend that made it.
    pub fn storage_mut(&mut self) -> &mut dyn Storage {
        &mut *self.storage
    }

    /// An independent copy in the same place.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn duplicate(&self) -> Result<Self> {
        Ok(Self { shape: self.shape, storage: self.storage.duplicate()? })
    }

    /// The elements, if they are in main memory and of type `E`.
    ///
    /// # Errors
    /// The tensor is on a device or holds another element type.
    pub fn host<E: Element>(&self) -> Result<&[E]> {
        self.check_dtype::<E>()?;
        let buffer = self.storage.as_any().downcast_ref::<HostBuffer>().ok_or_else(|| self.elsewhere())?;
        Ok(&bytemuck::cast_slice(&buffer.lines)[..self.shape.len()])
    }

    /// The elements for writing, if they are in main memory and of type `E`.
    ///
    /// # Errors
    /// The tensor is on a device or holds another element type.
    pub fn host_mut<E: Element>(&mut self) -> Result<&mut [E]> {
        self.check_dtype::<E>()?;
        if !self.storage.as_any().is::<HostBuffer>() {
            return Err(self.elsewhere());
        }
        let len = self.shape.len();
        match self.storage.as_any_mut().downcast_mut::<HostBuffer>() {
            Some(buffer) => Ok(&mut bytemuck::cast_slice_mut(&mut buffer.lines)[..len]),
            None => Ok(&mut []),
        }
    }

    fn check_dtype<E: Element>(&self) -> Result<()> {
        if self.dtype() == E::DTYPE {
            return Ok(());
        }
        Err(Error::DType { op: "tensor access", expected: E::DTYPE, got: self.dtype() })
    }

    fn elsewhere(&self) -> Error {
        Error::Device { op: "tensor access", expected: "host".into(), got: self.storage.place() }
    }
}

/// Main memory, aligned to 64 bytes so that vector loads never split a cache line.
#[derive(Clone)]
pub struct HostBuffer {
    lines: Vec<Line>,
    dtype: DType,
}

/// One cache line.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl HostBuffer {
    /// Zeroed memory for `len` elements.
    pub fn zeros(len: usize, dtype: DType) -> Self {
        let lines = (len * dtype.bytes()).div_ceil(size_of::<Line>());
        Self { lines: vec![bytemuck::Zeroable::zeroed(); lines], dtype }
    }

    /// As [`zeros`](Self::zeros), with an error if memory runs out: for sizes from files and settings.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn try_zeros(len: usize, dtype: DType) -> Result<Self> {
        let count = len.saturating_mul(dtype.bytes()).div_ceil(size_of::<Line>());
        let mut lines: Vec<Line> = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| Error::Backend {
            backend: "host".into(),
            problem: format!("no memory for {len} {dtype} values; use smaller layers or batches"),
        })?;
        lines.resize(count, bytemuck::Zeroable::zeroed());
        Ok(Self { lines, dtype })
    }
}

impl std::fmt::Debug for HostBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostBuffer({} x {})", self.capacity(), self.dtype)
    }
}

impl Storage for HostBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn capacity(&self) -> usize {
        self.lines.len() * size_of::<Line>() / self.dtype.bytes()
    }
    fn place(&self) -> String {
        "host".into()
    }
    fn duplicate(&self) -> Result<Box<dyn Storage>> {
        Ok(Box::new(self.clone()))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_memory_is_aligned_and_zero() {
        let t = Tensor::host_zeros(Shape::matrix(3, 5), DType::F32);
        let v = t.host::<f32>().unwrap();
        assert_eq!(v, [0.0; 15]);
        assert_eq!(v.as_ptr() as usize % 64, 0);
    }

    #[test]
    fn reshape_stays_inside_the_memory() {
        let mut t = Tensor::host_zeros(Shape::matrix(4, 16), DType::F32);
        t.reshape(Shape::matrix(4, 3)).unwrap();
        assert_eq!(t.host::<f32>().unwrap().len(), 12);
        assert!(t.reshape(Shape::matrix(400, 16)).is_err());
    }

    #[test]
    fn another_element_type_is_an_error() {
        let t = Tensor::host_zeros(Shape::vector(2), DType::F32);
        assert!(matches!(t.host::<f64>(), Err(Error::DType { .. })));
    }
}
