//! 256-bit vectors. Masks are vectors whose flagged lanes are all ones.

use super::Vector;
use std::arch::x86_64::*;

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// Four elements by 16-bit indices.
///
/// # Safety
/// `index` is valid for reads of four indices, and `base` at each of them.
#[inline(always)]
unsafe fn four(base: *const f32, index: *const u16) -> __m128 {
    // SAFETY: as said; the machine has the instructions.
    unsafe {
        let all = index.cast::<u64>().read_unaligned();
        let two = _mm_load_ss(base.add(all as usize & 0xffff));
        let two = _mm_insert_ps::<0x10>(two, _mm_load_ss(base.add((all >> 16) as usize & 0xffff)));
        let three = _mm_insert_ps::<0x20>(two, _mm_load_ss(base.add((all >> 32) as usize & 0xffff)));
        _mm_insert_ps::<0x30>(three, _mm_load_ss(base.add((all >> 48) as usize)))
    }
}

/// Two elements, as one of twice the width; the intrinsics for that ask for the alignment of the latter.
///
/// # Safety
/// `from` is valid for reads of two elements.
#[inline(always)]
pub(super) unsafe fn load_pair(from: *const f32) -> __m128d {
    // SAFETY: as said; the machine has the instructions.
    unsafe { _mm_set_sd(from.cast::<f64>().read_unaligned()) }
}

/// The first two lanes.
///
/// # Safety
/// `to` is valid for writes of two elements.
#[inline(always)]
pub(super) unsafe fn store_pair(to: *mut f32, lanes: __m128) {
    // SAFETY: as said; the machine has the instructions.
    unsafe { to.cast::<f64>().write_unaligned(_mm_cvtsd_f64(_mm_castps_pd(lanes))) }
}

/// Two pairs of elements: `base[2 at[i]]` and the one behind it.
///
/// # Safety
/// `base` is valid for reads of the pairs.
#[inline(always)]
unsafe fn two_pairs(base: *const f32, at: [usize; 2]) -> __m128 {
    // SAFETY: as said; the machine has the instructions.
    unsafe { _mm_castpd_ps(_mm_unpacklo_pd(load_pair(base.add(2 * at[0])), load_pair(base.add(2 * at[1])))) }
}

impl Vector for __m256 {
    type Elem = f32;
    type Mask = __m256i;
    type Half = Self;
    const LANES: usize = 8;
    const TILE: (usize, usize, usize) = (6, 4, 2);

    ops! {
        splat(value: f32) -> Self = _mm256_set1_ps(value);
        add(self, other: Self) -> Self = _mm256_add_ps(self, other);
        sub(self, other: Self) -> Self = _mm256_sub_ps(self, other);
        mul(self, other: Self) -> Self = _mm256_mul_ps(self, other);
        div(self, other: Self) -> Self = _mm256_div_ps(self, other);
        fma(self, b: Self, c: Self) -> Self = _mm256_fmadd_ps(self, b, c);
        max(self, other: Self) -> Self = _mm256_max_ps(self, other);
        min(self, other: Self) -> Self = _mm256_min_ps(self, other);
        sqrt(self) -> Self = _mm256_sqrt_ps(self);
        abs(self) -> Self = _mm256_andnot_ps(_mm256_set1_ps(-0.0), self);
        round(self) -> Self = _mm256_round_ps::<NEAREST>(self);
        gt(self, other: Self) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(self, other));
        le(self, other: Self) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(self, other));
        select(lanes: __m256i, yes: Self, no: Self) -> Self = _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(lanes));
        mask(bits: u64) -> __m256i = {
            let one_each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits as i32), one_each), one_each)
        };
        bits(mask: __m256i) -> u64 = _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u64;
        sum(self) -> f32 = {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        };
        scale2(self, n: Self) -> Self = {
            // In two steps, because 2^n alone may be out of range.
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let (bias, rest) = (_mm256_set1_epi32(127), _mm256_sub_epi32(n, half));
            let low = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias)));
            let high = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(rest, bias)));
            _mm256_mul_ps(_mm256_mul_ps(self, low), high)
        };
    }
    ops! {
        unsafe load(from: *const f32) -> Self = _mm256_loadu_ps(from);
        unsafe store(self, to: *mut f32) -> () = _mm256_storeu_ps(to, self);
        unsafe load_masked(from: *const f32, lanes: __m256i) -> Self = _mm256_maskload_ps(from, lanes);
        unsafe store_masked(self, to: *mut f32, lanes: __m256i) -> () = _mm256_maskstore_ps(to, lanes, self);
        unsafe gather(base: *const f32, index: *const u32) -> Self =
            _mm256_i32gather_ps::<4>(base, _mm256_loadu_si256(index.cast()));
        // Loads into lanes: faster than the gather instruction wherever that is microcode.
        unsafe gather16(base: *const f32, index: *const u16) -> Self =
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(four(base, index)), four(base, index.add(4)));
        unsafe pick(of: [Self; 2], index: *const u8) -> Self = {
            let index = _mm256_cvtepu8_epi32(_mm_loadl_epi64(index.cast()));
            let picked = of.map(|v| _mm256_permutevar8x32_ps(v, index));
            // The bit that tells the vectors apart becomes the sign, by which the instruction chooses.
            _mm256_blendv_ps(picked[0], picked[1], _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index)))
        };
    }

    #[inline(always)]
    fn sums4(of: [Self; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: the machine has the instructions, and `sums` room for 4.
        unsafe {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(of[0], of[1]), _mm256_hadd_ps(of[2], of[3]));
            let four = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
            _mm_storeu_ps(sums.as_mut_ptr(), four);
        }
        sums
    }

    #[inline(always)]
    fn doubled(self) -> Self {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe { _mm256_permutevar8x32_ps(self, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)) }
    }

    #[inline(always)]
    unsafe fn pairs(base: *const f32, at: &[usize; 8]) -> Self {
        // SAFETY: the machine has the instructions; the caller vouches for the pairs.
        unsafe {
            let low = _mm256_castps128_ps256(two_pairs(base, [at[0], at[1]]));
            _mm256_insertf128_ps::<1>(low, two_pairs(base, [at[2], at[3]]))
        }
    }

    #[inline(always)]
    unsafe fn add_pair(value: *const f32, lanes: Self, to: *mut f32) {
        // SAFETY: the machine has the instructions; the caller vouches for the value and the pair.
        unsafe {
            let sum = _mm_castpd_ps(load_pair(to));
            store_pair(to, _mm_fmadd_ps(_mm_set1_ps(*value), _mm256_castps256_ps128(lanes), sum));
        }
    }

    #[inline(always)]
    fn pair_sums(of: [Self; 2]) -> Self {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe {
            let by_half = _mm256_castps_pd(_mm256_hadd_ps(of[0], of[1]));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(by_half))
        }
    }

    #[inline(always)]
    fn pair_sum(self) -> [f32; 2] {
        // SAFETY: the machine has the instructions, and no memory is accessed.
        unsafe {
            let two = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let one = _mm_add_ps(two, _mm_movehl_ps(two, two));
            [_mm_cvtss_f32(one), _mm_cvtss_f32(_mm_movehdup_ps(one))]
        }
    }

    #[inline(always)]
    unsafe fn columns4(rows: &[*const f32; 16]) -> [Self; 4] {
        // SAFETY: the machine has the instructions; the caller vouches for 4 elements behind each pointer.
        unsafe {
            let mut z = [_mm256_setzero_ps(); 4];
            for (j, z) in z.iter_mut().enumerate() {
                *z = _mm256_castps128_ps256(_mm_loadu_ps(rows[j]));
                *z = _mm256_insertf128_ps::<1>(*z, _mm_loadu_ps(rows[j + 4]));
            }
            let (a, b) = (_mm256_unpacklo_ps(z[0], z[1]), _mm256_unpackhi_ps(z[0], z[1]));
            let (c, d) = (_mm256_unpacklo_ps(z[2], z[3]), _mm256_unpackhi_ps(z[2], z[3]));
            let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
            let (c, d) = (_mm256_castps_pd(c), _mm256_castps_pd(d));
            [
                _mm256_castpd_ps(_mm256_unpacklo_pd(a, c)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(a, c)),
                _mm256_castpd_ps(_mm256_unpacklo_pd(b, d)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(b, d)),
            ]
        }
    }
}

impl Vector for __m256d {
    type Elem = f64;
    type Mask = __m256i;
    type Half = Self;
    const LANES: usize = 4;
    const TILE: (usize, usize, usize) = (6, 4, 2);

    ops! {
        splat(value: f64) -> Self = _mm256_set1_pd(value);
        add(self, other: Self) -> Self = _mm256_add_pd(self, other);
        sub(self, other: Self) -> Self = _mm256_sub_pd(self, other);
        mul(self, other: Self) -> Self = _mm256_mul_pd(self, other);
        div(self, other: Self) -> Self = _mm256_div_pd(self, other);
        fma(self, b: Self, c: Self) -> Self = _mm256_fmadd_pd(self, b, c);
        max(self, other: Self) -> Self = _mm256_max_pd(self, other);
        min(self, other: Self) -> Self = _mm256_min_pd(self, other);
        sqrt(self) -> Self = _mm256_sqrt_pd(self);
        abs(self) -> Self = _mm256_andnot_pd(_mm256_set1_pd(-0.0), self);
        round(self) -> Self = _mm256_round_pd::<NEAREST>(self);
        gt(self, other: Self) -> __m256i = _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_GT_OQ>(self, other));
        le(self, other: Self) -> __m256i = _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_LE_OQ>(self, other));
        select(lanes: __m256i, yes: Self, no: Self) -> Self = _mm256_blendv_pd(no, yes, _mm256_castsi256_pd(lanes));
        mask(bits: u64) -> __m256i = {
            let one_each = _mm256_setr_epi64x(1, 2, 4, 8);
            _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(bits as i64), one_each), one_each)
        };
        bits(mask: __m256i) -> u64 = _mm256_movemask_pd(_mm256_castsi256_pd(mask)) as u64;
        sum(self) -> f64 = {
            let two = _mm_add_pd(_mm256_castpd256_pd128(self), _mm256_extractf128_pd::<1>(self));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        };
        scale2(self, n: Self) -> Self = {
            let n = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n));
            let power = _mm256_slli_epi64::<52>(_mm256_add_epi64(n, _mm256_set1_epi64x(1023)));
            _mm256_mul_pd(self, _mm256_castsi256_pd(power))
        };
    }
    ops! {
        unsafe load(from: *const f64) -> Self = _mm256_loadu_pd(from);
        unsafe store(self, to: *mut f64) -> () = _mm256_storeu_pd(to, self);
        unsafe load_masked(from: *const f64, lanes: __m256i) -> Self = _mm256_maskload_pd(from, lanes);
        unsafe store_masked(self, to: *mut f64, lanes: __m256i) -> () = _mm256_maskstore_pd(to, lanes, self);
        unsafe gather(base: *const f64, index: *const u32) -> Self =
            _mm256_i32gather_pd::<8>(base, _mm_loadu_si128(index.cast()));
        unsafe gather16(base: *const f64, index: *const u16) -> Self =
            _mm256_i32gather_pd::<8>(base, _mm_cvtepu16_epi32(_mm_loadl_epi64(index.cast())));
    }

    #[inline(always)]
    unsafe fn columns4(rows: &[*const f64; 16]) -> [Self; 4] {
        // SAFETY: the machine has the instructions; the caller vouches for 4 elements behind each pointer.
        unsafe {
            let mut z = [_mm256_setzero_pd(); 4];
            for (j, z) in z.iter_mut().enumerate() {
                // Even and odd rows, the first two elements and the others.
                let (row, at) = (j % 2, j / 2 * 2);
                *z = _mm256_castpd128_pd256(_mm_loadu_pd(rows[row].add(at)));
                *z = _mm256_insertf128_pd::<1>(*z, _mm_loadu_pd(rows[row + 2].add(at)));
            }
            let (low, high) = (_mm256_unpacklo_pd(z[0], z[1]), _mm256_unpackhi_pd(z[0], z[1]));
            [low, high, _mm256_unpacklo_pd(z[2], z[3]), _mm256_unpackhi_pd(z[2], z[3])]
        }
    }
}
