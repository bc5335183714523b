//! The rival: the sparse product of cuSPARSE.

use cudarc::cusparse::{result, sys};
use cudarc::driver::{CudaContext, DevicePtr, DevicePtrMut};
use spectral_core::Pattern;
use std::error::Error;
use std::ffi::c_void;
use std::time::Instant;

/// Calls that are timed.
const CALLS: u32 = 100;

fn said(e: result::CusparseError) -> String {
    format!("{:?}", e.0)
}

/// Seconds of `W x` with `x` `[in, batch]`, and its result.
pub(crate) fn spmm(
    pattern: &Pattern,
    values: &[f64],
    x: &[f64],
    batch: usize,
) -> Result<(f64, Vec<f32>), Box<dyn Error>> {
    // SAFETY: loading NVIDIA's libraries runs their initialisers.
    if unsafe { !cudarc::driver::sys::is_culib_present() || !sys::is_culib_present() } {
        return Err("libcusparse.so is not in the library path".into());
    }
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let signed = |v: &[u32]| v.iter().map(|v| v.cast_signed()).collect::<Vec<i32>>();
    let starts = stream.clone_htod(&signed(pattern.starts()))?;
    let indices = stream.clone_htod(&signed(pattern.indices()))?;
    let (values, x) = (stream.clone_htod(&narrow(values))?, stream.clone_htod(&narrow(x))?);
    let mut y = stream.alloc_zeros::<f32>(pattern.rows() * batch)?;
    let (rows, columns, samples) = (pattern.rows() as i64, pattern.columns() as i64, batch as i64);
    let real = sys::cudaDataType_t::CUDA_R_32F;
    let order = sys::cusparseOrder_t::CUSPARSE_ORDER_ROW;
    let index = sys::cusparseIndexType_t::CUSPARSE_INDEX_32I;
    let base = sys::cusparseIndexBase_t::CUSPARSE_INDEX_BASE_ZERO;
    let plain = sys::cusparseOperation_t::CUSPARSE_OPERATION_NON_TRANSPOSE;
    // The one that NVIDIA names for row-major operands.
    let algorithm = sys::cusparseSpMMAlg_t::CUSPARSE_SPMM_CSR_ALG2;
    let (one, zero) = (1f32, 0f32);
    let (one, zero) = (std::ptr::from_ref(&one).cast::<c_void>(), std::ptr::from_ref(&zero).cast::<c_void>());
    let handle = result::create().map_err(said)?;
    let (mut w, mut from, mut to) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    let mut room = 0;
    let seconds = {
        let (starts, _s) = starts.device_ptr(&stream);
        let (indices, _i) = indices.device_ptr(&stream);
        let (values, _v) = values.device_ptr(&stream);
        let (x, _x) = x.device_ptr(&stream);
        let (y, _y) = y.device_ptr_mut(&stream);
        let at = |address: u64| address as *mut c_void;
        // SAFETY: all memory is on this GPU, of the extents that the descriptors say, and outlives the calls.
        unsafe {
            let entries = pattern.nonzeros() as i64;
            let (s, i, v) = (at(starts), at(indices), at(values));
            sys::cusparseCreateCsr(&mut w, rows, columns, entries, s, i, v, index, index, base, real)
                .result()
                .map_err(said)?;
            sys::cusparseCreateDnMat(&mut from, columns, samples, samples, at(x), real, order)
                .result()
                .map_err(said)?;
            sys::cusparseCreateDnMat(&mut to, rows, samples, samples, at(y), real, order).result().map_err(said)?;
            let matrix = w.cast_const();
            let input = from.cast_const();
            sys::cusparseSpMM_bufferSize(
                handle, plain, plain, one, matrix, input, zero, to, real, algorithm, &mut room,
            )
            .result()
            .map_err(said)?;
            let mut workspace = stream.alloc_zeros::<u8>(room.max(1))?;
            let (workspace, _w) = workspace.device_ptr_mut(&stream);
            let call = || {
                let room = at(workspace);
                sys::cusparseSpMM(handle, plain, plain, one, matrix, input, zero, to, real, algorithm, room).result()
            };
            (0..10).try_for_each(|_| call()).map_err(said)?;
            stream.synchronize()?;
            let start = Instant::now();
            (0..CALLS).try_for_each(|_| call()).map_err(said)?;
            stream.synchronize()?;
            start.elapsed().as_secs_f64() / f64::from(CALLS)
        }
    };
    Ok((seconds, stream.clone_dtoh(&y)?))
}
