//! The values of a tensor as bytes, as files and hashes take them.

use crate::backend::Memory;
use crate::base::{DType, Element, Result};
use crate::tensor::Tensor;

/// Elements that are turned into bytes at a time.
const CHUNK: usize = 4096;

/// Hands the values of `tensor`, raw and little-endian, to `visit`, some thousand at a time and in order.
///
/// Values in main memory are read where they are. A device hands over one tensor, widened to f64 and back, which is
/// exact.
///
/// # Errors
/// The tensor is on another device than `memory`, or that device failed.
pub fn little_endian(memory: &(impl Memory + ?Sized), tensor: &Tensor, mut visit: impl FnMut(&[u8])) -> Result<()> {
    match (tensor.dtype(), tensor.host::<f32>(), tensor.host::<f64>()) {
        (DType::F32, Ok(values), _) => chunks(values, |v| v.to_le_bytes(), &mut visit),
        (DType::F64, _, Ok(values)) => chunks(values, |v| v.to_le_bytes(), &mut visit),
        (DType::F32, ..) => chunks(&memory.download(tensor)?, |v| f32::of(v).to_le_bytes(), &mut visit),
        (DType::F64, ..) => chunks(&memory.download(tensor)?, |v| v.to_le_bytes(), &mut visit),
    }
    Ok(())
}

fn chunks<E: Copy, const N: usize>(values: &[E], bytes: impl Fn(E) -> [u8; N], visit: &mut dyn FnMut(&[u8])) {
    let mut buffer = vec![[0; N]; values.len().min(CHUNK)];
    for chunk in values.chunks(CHUNK) {
        buffer.iter_mut().zip(chunk).for_each(|(to, v)| *to = bytes(*v));
        visit(buffer[..chunk.len()].as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Reference;
    use crate::tensor::Shape;

    #[test]
    fn every_value_comes_once_and_in_order() {
        let len = 2 * CHUNK + 3;
        for dtype in [DType::F32, DType::F64] {
            let mut tensor = Reference.zeros(Shape::vector(len), dtype).unwrap();
            let values: Vec<f64> = (0..len).map(|i| i as f64 - 0.5).collect();
            Reference.write(&values, &mut tensor).unwrap();
            let mut bytes = Vec::new();
            little_endian(&Reference, &tensor, |chunk| bytes.extend_from_slice(chunk)).unwrap();
            let expected: Vec<u8> = match dtype {
                DType::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
                DType::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
            assert!(bytes == expected, "{dtype}");
        }
    }
}
