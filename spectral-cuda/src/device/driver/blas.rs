//! Products by cuBLASLt, in full f32 or f64: no TF32.

use super::{Gpu, failed};
use crate::device::{Address, Device, Gemm, Matrix, Multiplied};
use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t, cublasLtMatmulPreferenceAttributes_t,
    cublasLtMatrixLayoutAttribute_t,
};
use cudarc::driver::CudaStream;
use spectral_core::{DType, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::from_ref;
use std::sync::{Mutex, PoisonError};

/// Bytes that the library may use while it works.
const WORKSPACE: usize = 32 << 20;

/// The library, opened.
pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: Address,
    plans: Mutex<HashMap<Key, Option<Plan>>>,
    /// Whether bias and ReLU go with the product.
    pub(super) fuses: bool,
}

// SAFETY: handle and descriptors may be used from any thread; the descriptors are used under the lock only.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

/// What a plan depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    dtype: DType,
    extents: [usize; 3],
    transposed: [bool; 2],
    epilogue: [bool; 2],
}

/// How a product is made, chosen by the library once: the same call always runs the same algorithm.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

fn said(e: CublasError) -> spectral_core::Error {
    failed(format!("cuBLASLt: {:?}", e.0))
}

impl Blas {
    pub(super) fn new(gpu: &Gpu) -> Result<Self> {
        let workspace = gpu.allocate(WORKSPACE)?;
        let handle = result::create_handle().map_err(said)?;
        Ok(Self { handle, workspace, plans: Mutex::default(), fuses: true })
    }

    /// Computes `gemm` as far as there is a plan for it.
    ///
    /// # Safety
    /// As [`Device::gemm`]; the stream's context is current.
    pub(super) unsafe fn multiply(&self, gemm: &Gemm, stream: &CudaStream) -> Result<Multiplied> {
        let wanted = [gemm.bias.is_some(), gemm.relu];
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        for epilogue in [wanted, [false; 2]] {
            if epilogue != [false; 2] && !self.fuses {
                continue;
            }
            let transposed = [gemm.a.transposed, gemm.b.transposed];
            let key = Key { dtype: gemm.dtype, extents: gemm.extents, transposed, epilogue };
            let plan = plans.entry(key).or_insert_with(|| Plan::new(self.handle, key).ok());
            let Some(plan) = plan else { continue };
            // SAFETY: the caller's promise.
            unsafe { plan.run(self, gemm, epilogue, stream) }.map_err(said)?;
            return Ok(if epilogue == wanted { Multiplied::All } else { Multiplied::Product });
        }
        Ok(Multiplied::Nothing)
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: nothing uses the handle any more. The workspace goes with the GPU's context.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, key: Key) -> Result<Self, CublasError> {
        let (real, compute) = match key.dtype {
            DType::F32 => (sys::cudaDataType_t::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F),
            DType::F64 => (sys::cudaDataType_t::CUDA_R_64F, sys::cublasComputeType_t::CUBLAS_COMPUTE_64F),
        };
        let [m, n, k] = key.extents.map(|e| e as u64);
        let flip = |transposed: bool, (rows, columns)| if transposed { (columns, rows) } else { (rows, columns) };
        let sizes = [flip(key.transposed[0], (m, k)), flip(key.transposed[1], (k, n)), (m, n)];
        // An early return leaves a few bytes behind, once for a shape that the library cannot multiply.
        let mut layouts = [std::ptr::null_mut(); 3];
        for (layout, (rows, columns)) in layouts.iter_mut().zip(sizes) {
            *layout = result::create_matrix_layout(real, rows, columns, columns as i64)?;
            let order = sys::cublasLtOrder_t::CUBLASLT_ORDER_ROW;
            let which = cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_ORDER;
            // SAFETY: the layout has just been made, and the attribute has this type.
            unsafe { result::set_matrix_layout_attribute(*layout, which, pointer(&order), size_of_val(&order)) }?;
        }
        let operation = result::create_matmul_desc(compute, real)?;
        // CUBLAS_OP_T and CUBLAS_OP_N, which the bindings do not have.
        let transposed = |t: bool| i32::from(t);
        use cublasLtMatmulDescAttributes_t as Of;
        set(operation, Of::CUBLASLT_MATMUL_DESC_TRANSA, &transposed(key.transposed[0]))?;
        set(operation, Of::CUBLASLT_MATMUL_DESC_TRANSB, &transposed(key.transposed[1]))?;
        let epilogue = match key.epilogue {
            [false, false] => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
            [true, false] => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            [false, true] => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU,
            [true, true] => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_BIAS,
        };
        set(operation, Of::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        let preference = result::create_matmul_pref()?;
        let [a, b, c] = layouts;
        // SAFETY: all have just been made, and the attribute has this type.
        let found = unsafe {
            let which = cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let size = size_of_val(&WORKSPACE);
            let limited = result::set_matmul_pref_attribute(preference, which, pointer(&WORKSPACE), size);
            let found =
                limited.and_then(|()| result::get_matmul_algo_heuristic(handle, operation, a, b, c, c, preference));
            result::destroy_matmul_pref(preference)?;
            found?
        };
        Ok(Self { operation, layouts, algorithm: found.algo })
    }

    /// Submits the product.
    ///
    /// # Safety
    /// As [`Device::gemm`].
    unsafe fn run(
        &self,
        blas: &Blas,
        gemm: &Gemm,
        [bias, _]: [bool; 2],
        stream: &CudaStream,
    ) -> Result<(), CublasError> {
        if let (true, Some(address)) = (bias, gemm.bias) {
            set(self.operation, cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address)?;
        }
        let (one, add) = (1f64, f64::from(u8::from(gemm.add)));
        let (narrow_one, narrow_add) = (one as f32, add as f32);
        let (alpha, beta) = match gemm.dtype {
            DType::F32 => (pointer(&narrow_one), pointer(&narrow_add)),
            DType::F64 => (pointer(&one), pointer(&add)),
        };
        let at = |Matrix { address, .. }: Matrix| address as *const c_void;
        let ([a, b, c], result) = (self.layouts, gemm.c as *mut c_void);
        let workspace = blas.workspace as *mut c_void;
        // SAFETY: the plan owns its descriptors, and the matrices have the extents that they describe.
        unsafe {
            self::result::matmul(
                blas.handle,
                self.operation,
                alpha,
                beta,
                at(gemm.a),
                a,
                at(gemm.b),
                b,
                result,
                c,
                result,
                c,
                &self.algorithm,
                workspace,
                WORKSPACE,
                stream.cu_stream().cast(),
            )
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: the plan owns them.
        unsafe {
            let _ = result::destroy_matmul_desc(self.operation);
            for layout in self.layouts {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

fn pointer<T>(value: &T) -> *const c_void {
    from_ref(value).cast()
}

fn set<T>(
    operation: sys::cublasLtMatmulDesc_t,
    which: cublasLtMatmulDescAttributes_t,
    value: &T,
) -> Result<(), CublasError> {
    // SAFETY: the descriptor is alive, and callers give each attribute the type that it has.
    unsafe { result::set_matmul_desc_attribute(operation, which, pointer(value), size_of::<T>()) }
}
