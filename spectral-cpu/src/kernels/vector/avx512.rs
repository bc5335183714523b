//! 512-bit vectors of f32.

use super::Vector;
use super::avx2::{load_pair, store_pair};
use std::arch::x86_64::*;

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

impl Vector for __m512 {
    type Elem = f32;
    type Mask = __mmask16;
    type Half = __m256;
    const LANES: usize = 16;
    const TILE: (usize, usize, usize) = (9, 5, 3);

    ops! {
        splat(value: f32) -> Self = _mm512_set1_ps(value);
        add(self, other: Self) -> Self = _mm512_add_ps(self, other);
        sub(self, other: Self) -> Self = _mm512_sub_ps(self, other);
        mul(self, other: Self) -> Self = _mm512_mul_ps(self, other);
        div(self, other: Self) -> Self = _mm512_div_ps(self, other);
        fma(self, b: Self, c: Self) -> Self = _mm512_fmadd_ps(self, b, c);
        max(self, other: Self) -> Self = _mm512_max_ps(self, other);
        min(self, other: Self) -> Self = _mm512_min_ps(self, other);
        sqrt(self) -> Self = _mm512_sqrt_ps(self);
        abs(self) -> Self = _mm512_abs_ps(self);
        round(self) -> Self = _mm512_roundscale_ps::<NEAREST>(self);
        scale2(self, n: Self) -> Self = _mm512_scalef_ps(self, n);
        gt(self, other: Self) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self, other);
        le(self, other: Self) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self, other);
        select(lanes: __mmask16, yes: Self, no: Self) -> Self = _mm512_mask_blend_ps(lanes, no, yes);
        sum(self) -> f32 = _mm512_reduce_add_ps(self);
    }
    ops! {
        unsafe load(from: *const f32) -> Self = _mm512_loadu_ps(from);
        unsafe store(self, to: *mut f32) -> () = _mm512_storeu_ps(to, self);
        unsafe load_masked(from: *const f32, lanes: __mmask16) -> Self = _mm512_maskz_loadu_ps(lanes, from);
        unsafe store_masked(self, to: *mut f32, lanes: __mmask16) -> () = _mm512_mask_storeu_ps(to, lanes, self);
        unsafe gather(base: *const f32, index: *const u32) -> Self =
            _mm512_i32gather_ps::<4>(_mm512_loadu_si512(index.cast()), base);
        unsafe gather16(base: *const f32, index: *const u16) -> Self = {
            // Single loads by the 8 lanes of AVX2: the instruction for 16 takes 1.8 times as long on AMD's Zen 4.
            let low = _mm512_castps256_ps512(<__m256 as Vector>::gather16(base, index));
            _mm512_insertf32x8::<1>(low, <__m256 as Vector>::gather16(base, index.add(8)))
        };
        unsafe pick(of: [Self; 2], index: *const u8) -> Self =
            _mm512_permutex2var_ps(of[0], _mm512_cvtepu8_epi32(_mm_loadu_si128(index.cast())), of[1]);
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f32) -> Self {
        // SAFETY: the machine has the instructions; the caller vouches for 8 elements.
        unsafe { _mm512_zextps256_ps512(_mm256_loadu_ps(from)) }
    }

    #[inline(always)]
    fn doubled(self) -> Self {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe { _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), self) }
    }

    #[inline(always)]
    unsafe fn pairs(base: *const f32, at: &[usize; 8]) -> Self {
        // SAFETY: the machine has the instructions; the caller vouches for the pairs.
        unsafe {
            let low = _mm512_castps256_ps512(<__m256 as Vector>::pairs(base, at));
            _mm512_insertf32x8::<1>(low, <__m256 as Vector>::pairs(base, &[at[4], at[5], at[6], at[7], 0, 0, 0, 0]))
        }
    }

    #[inline(always)]
    unsafe fn add_pair(value: *const f32, lanes: Self, to: *mut f32) {
        // SAFETY: the machine has the instructions; the caller vouches for the value and the pair.
        unsafe {
            let sum = _mm_castpd_ps(load_pair(to));
            store_pair(to, _mm_fmadd_ps(_mm_set1_ps(*value), _mm512_castps512_ps128(lanes), sum));
        }
    }

    #[inline(always)]
    fn pair_sums(of: [Self; 2]) -> Self {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            let first = _mm512_permutex2var_ps(of[0], even, of[1]);
            _mm512_add_ps(first, _mm512_permutex2var_ps(of[0], odd, of[1]))
        }
    }

    #[inline(always)]
    fn pair_sum(self) -> [f32; 2] {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe { _mm256_add_ps(_mm512_castps512_ps256(self), _mm512_extractf32x8_ps::<1>(self)).pair_sum() }
    }

    #[inline(always)]
    fn sums4(of: [Self; 4]) -> [f32; 4] {
        let mut halves = [<__m256 as Vector>::zero(); 4];
        for (half, v) in halves.iter_mut().zip(of) {
            // SAFETY: the machine has the instructions, and no memory is accessed.
            *half = unsafe { _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) };
        }
        <__m256 as Vector>::sums4(halves)
    }

    #[inline(always)]
    unsafe fn columns4(rows: &[*const f32; 16]) -> [Self; 4] {
        // SAFETY: the machine has the instructions; the caller vouches for 4 elements behind each pointer.
        unsafe {
            let mut z = [_mm512_setzero_ps(); 4];
            for (j, z) in z.iter_mut().enumerate() {
                *z = _mm512_castps128_ps512(_mm_loadu_ps(rows[j]));
                *z = _mm512_insertf32x4::<1>(*z, _mm_loadu_ps(rows[j + 4]));
                *z = _mm512_insertf32x4::<2>(*z, _mm_loadu_ps(rows[j + 8]));
                *z = _mm512_insertf32x4::<3>(*z, _mm_loadu_ps(rows[j + 12]));
            }
            let (a, b) = (_mm512_unpacklo_ps(z[0], z[1]), _mm512_unpackhi_ps(z[0], z[1]));
            let (c, d) = (_mm512_unpacklo_ps(z[2], z[3]), _mm512_unpackhi_ps(z[2], z[3]));
            let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
            let (c, d) = (_mm512_castps_pd(c), _mm512_castps_pd(d));
            [
                _mm512_castpd_ps(_mm512_unpacklo_pd(a, c)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(a, c)),
                _mm512_castpd_ps(_mm512_unpacklo_pd(b, d)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(b, d)),
            ]
        }
    }

    #[inline(always)]
    fn mask(bits: u64) -> __mmask16 {
        bits as __mmask16
    }
    #[inline(always)]
    fn bits(mask: __mmask16) -> u64 {
        u64::from(mask)
    }
}
