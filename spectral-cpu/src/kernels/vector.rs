//! One name for the vector instructions of every level, so that a kernel is written once.
//!
//! A kernel is a struct that implements [`Kernel`]; [`Simd::run`] calls it compiled for a level. Bodies must be
//! `#[inline(always)]` down to the last function and closure, because only code that is inlined into the entry
//! point of a level is compiled with its instructions.

/// Methods of [`Vector`] that are one expression of vector instructions each.
#[cfg(target_arch = "x86_64")]
macro_rules! ops {
    ($(unsafe $name:ident($($args:tt)*) -> $out:ty = $e:expr;)+) => {$(
        #[inline(always)]
        unsafe fn $name($($args)*) -> $out {
            // SAFETY: the machine has the instructions (see `Vector`); the caller vouches for the memory.
            unsafe { $e }
        }
    )+};
    ($($name:ident($($args:tt)*) -> $out:ty = $e:expr;)+) => {$(
        #[inline(always)]
        fn $name($($args)*) -> $out {
            // SAFETY: the machine has the instructions (see `Vector`), and no memory is accessed.
            unsafe { $e }
        }
    )+};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::Simd;
use spectral_core::Element;

/// An integer that says where an element is.
pub(crate) trait Index: Copy {
    /// The integer at `from`.
    ///
    /// Read by itself: compilers make one load of neighbours, and taking those apart takes longer than loads do.
    ///
    /// # Safety
    /// `from` is valid for reads.
    unsafe fn read(from: *const Self) -> usize;
}

impl Index for u16 {
    #[inline(always)]
    unsafe fn read(from: *const Self) -> usize {
        // SAFETY: as the caller vouches.
        usize::from(unsafe { from.read_volatile() })
    }
}

impl Index for u32 {
    #[inline(always)]
    unsafe fn read(from: *const Self) -> usize {
        // SAFETY: as the caller vouches.
        unsafe { from.read_volatile() as usize }
    }
}

/// A vector register.
///
/// Values of the x86 types exist only inside [`Simd::run`], which is what makes their instructions sound to use:
/// the level was found on this machine when the [`Cpu`](crate::Cpu) was opened.
pub(crate) trait Vector: Copy {
    /// What the lanes hold.
    type Elem: Lanes;
    /// One flag a lane.
    type Mask: Copy;
    /// A vector of half the lanes, whose arithmetic takes half the time; `Self` where there is none.
    type Half: Vector<Elem = Self::Elem>;
    /// Number of lanes.
    const LANES: usize;
    /// Rows of a tall and of a short tile of a matrix product, and the most vectors of a row of either: a tile fits
    /// the registers beside a row of `B` and an element of `A`.
    const TILE: (usize, usize, usize);

    /// The value in every lane.
    fn splat(value: Self::Elem) -> Self;
    /// Reads `LANES` elements, unaligned.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` elements.
    unsafe fn load(from: *const Self::Elem) -> Self;
    /// Writes `LANES` elements, unaligned.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` elements.
    unsafe fn store(self, to: *mut Self::Elem);
    /// Reads the flagged lanes; the others become 0 and their memory is not touched.
    ///
    /// # Safety
    /// `from` is valid for reads of the flagged lanes.
    unsafe fn load_masked(from: *const Self::Elem, lanes: Self::Mask) -> Self;
    /// Writes the flagged lanes; the memory of others is not touched.
    ///
    /// # Safety
    /// `to` is valid for writes of the flagged lanes.
    unsafe fn store_masked(self, to: *mut Self::Elem, lanes: Self::Mask);
    /// Lane `i` is `base[index[i]]`.
    ///
    /// # Safety
    /// `index` is valid for reads of `LANES` indices, and `base` at each of them.
    unsafe fn gather(base: *const Self::Elem, index: *const u32) -> Self;
    /// As [`gather`](Self::gather), by 16-bit indices.
    ///
    /// # Safety
    /// As for [`gather`](Self::gather).
    unsafe fn gather16(base: *const Self::Elem, index: *const u16) -> Self;
    /// Lane `i` is the element `index[i] % (2 LANES)` of the two vectors, one behind the other.
    ///
    /// # Safety
    /// `index` is valid for reads of `LANES` indices.
    #[inline(always)]
    unsafe fn pick(of: [Self; 2], index: *const u8) -> Self {
        let both = of.map(Self::lanes);
        Self::from_lanes(|i| {
            // SAFETY: as the caller vouches.
            let index = usize::from(unsafe { *index.add(i) }) % (2 * Self::LANES);
            both[index / Self::LANES][index % Self::LANES]
        })
    }
    /// Reads 4 elements from each of `LANES` rows; lane `i` of vector `k` is element `k` of row `i`.
    ///
    /// # Safety
    /// The first `LANES` pointers are valid for reads of 4 elements.
    unsafe fn columns4(rows: &[*const Self::Elem; 16]) -> [Self; 4];
    /// Lane `i` is flagged iff bit `i` is set.
    fn mask(bits: u64) -> Self::Mask;
    /// The inverse of [`mask`](Self::mask).
    fn bits(mask: Self::Mask) -> u64;
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// `self * b + c`, fused where the machine can.
    fn fma(self, b: Self, c: Self) -> Self;
    /// The larger; `other` where either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN.
    fn min(self, other: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Without the sign.
    fn abs(self) -> Self;
    /// To the nearest integer.
    fn round(self) -> Self;
    /// `self * 2^n` for integers `n` in `-250..=250`.
    fn scale2(self, n: Self) -> Self;
    /// `self > other`; false where either is NaN.
    fn gt(self, other: Self) -> Self::Mask;
    /// `self <= other`; false where either is NaN.
    fn le(self, other: Self) -> Self::Mask;
    /// `yes` in flagged lanes, `no` elsewhere.
    fn select(lanes: Self::Mask, yes: Self, no: Self) -> Self;
    /// Sum of the lanes in a fixed order.
    fn sum(self) -> Self::Elem;

    /// The [`sum`](Self::sum) of each, the lanes in an order that may be another.
    #[inline(always)]
    fn sums4(of: [Self; 4]) -> [Self::Elem; 4] {
        of.map(Self::sum)
    }

    /// Reads `LANES / 2` elements into the first lanes; the others are 0.
    ///
    /// # Safety
    /// `from` is valid for reads of so many elements.
    #[inline(always)]
    unsafe fn load_half(from: *const Self::Elem) -> Self {
        // SAFETY: as the caller vouches.
        unsafe { Self::load_masked(from, Self::first(Self::LANES / 2)) }
    }

    /// Lanes `2 i` and `2 i + 1` are lane `i`.
    #[inline(always)]
    fn doubled(self) -> Self {
        let lanes = self.lanes();
        Self::from_lanes(|i| lanes[i / 2])
    }

    /// The integers at `from`, as many as pairs fit.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES / 2` integers.
    #[inline(always)]
    unsafe fn places<I: Index>(from: *const I) -> [usize; 8] {
        // SAFETY: as the caller vouches.
        std::array::from_fn(|i| if i < Self::LANES / 2 { unsafe { I::read(from.add(i)) } } else { 0 })
    }

    /// Lanes `2 i` and `2 i + 1` are `base[2 at[i]]` and the element behind it.
    ///
    /// # Safety
    /// `base` is valid for reads of those pairs.
    #[inline(always)]
    unsafe fn pairs(base: *const Self::Elem, at: &[usize; 8]) -> Self {
        // SAFETY: as the caller vouches.
        Self::from_lanes(|i| unsafe { *base.add(2 * at[i / 2] + i % 2) })
    }

    /// Adds `*value` times the first two lanes to the pair at `to`.
    ///
    /// # Safety
    /// `value` is valid for a read, `to` for reads and writes of two elements.
    #[inline(always)]
    unsafe fn add_pair(value: *const Self::Elem, lanes: Self, to: *mut Self::Elem) {
        // SAFETY: as the caller vouches.
        unsafe {
            let two = Self::first(2);
            Self::splat(*value).fma(lanes, Self::load_masked(to, two)).store_masked(to, two);
        }
    }

    /// Lane `i` is the sum of pair `i`, of the pairs of the first vector and then those of the second.
    #[inline(always)]
    fn pair_sums(of: [Self; 2]) -> Self {
        let lanes = of.map(Self::lanes);
        let half = Self::LANES / 2;
        Self::from_lanes(|i| lanes[i / half][2 * (i % half)] + lanes[i / half][2 * (i % half) + 1])
    }

    /// The sum of the even lanes and that of the odd ones, each in a fixed order.
    #[inline(always)]
    fn pair_sum(self) -> [Self::Elem; 2] {
        let lanes = self.lanes();
        let sum = |first: usize| (first + 2..Self::LANES).step_by(2).fold(lanes[first], |sum, i| sum + lanes[i]);
        [sum(0), sum(1)]
    }

    /// Even lanes are the first, odd ones the second.
    #[inline(always)]
    fn alternate(of: [Self::Elem; 2]) -> Self {
        Self::select(Self::mask(0x5555 & ((1 << Self::LANES) - 1)), Self::splat(of[0]), Self::splat(of[1]))
    }

    /// Lane `i` is `of(i)`.
    #[inline(always)]
    fn from_lanes(of: impl Fn(usize) -> Self::Elem) -> Self {
        let mut lanes = [Self::Elem::of(0.0); 16];
        for (i, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            *lane = of(i);
        }
        // SAFETY: no level has more than 16 lanes.
        unsafe { Self::load(lanes.as_ptr()) }
    }

    /// The lanes, then zeros.
    #[inline(always)]
    fn lanes(self) -> [Self::Elem; 16] {
        let mut lanes = [Self::Elem::of(0.0); 16];
        // SAFETY: no level has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }

    /// All lanes 0.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(Self::Elem::of(0.0))
    }

    /// The first `count` lanes, `count <= LANES`.
    #[inline(always)]
    fn first(count: usize) -> Self::Mask {
        Self::mask((1u64 << count) - 1)
    }

    /// Another scalar function on every lane, one after the other.
    #[inline(always)]
    fn each(self, f: impl Fn(Self::Elem) -> Self::Elem) -> Self {
        let lanes = self.lanes();
        Self::from_lanes(|i| f(lanes[i]))
    }
}

/// Asks for the cache line at `at`, which need not be valid: into the first cache if it is `NEAR`, else the second.
/// Changes no result.
#[inline(always)]
pub(crate) fn prefetch<const NEAR: bool, T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is allowed, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if NEAR { _mm_prefetch::<_MM_HINT_T0>(at.cast()) } else { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// An element type with its vectors.
pub(crate) trait Lanes: Element {
    /// 256 bits.
    type Avx2: Vector<Elem = Self>;
    /// An array.
    type Portable: Vector<Elem = Self>;

    /// Runs `kernel` on a machine with AVX-512. For f64, which checks results and trains nothing large, kernels are not
    /// compiled with it: those of AVX2 run.
    ///
    /// # Safety
    /// The machine has AVX-512 F, BW, DQ and VL, and AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    unsafe fn run_avx512<K: Kernel<Self>>(kernel: K) -> K::Output;
}

#[cfg(target_arch = "x86_64")]
impl Lanes for f32 {
    type Avx2 = std::arch::x86_64::__m256;
    type Portable = [f32; 8];

    #[inline(always)]
    unsafe fn run_avx512<K: Kernel<f32>>(kernel: K) -> K::Output {
        // SAFETY: as the caller vouches.
        unsafe { run_avx512(kernel) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for f64 {
    type Avx2 = std::arch::x86_64::__m256d;
    type Portable = [f64; 4];

    #[inline(always)]
    unsafe fn run_avx512<K: Kernel<f64>>(kernel: K) -> K::Output {
        // SAFETY: as the caller vouches.
        unsafe { run_avx2(kernel) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Lanes for f32 {
    type Avx2 = [f32; 8];
    type Portable = [f32; 8];
}

#[cfg(not(target_arch = "x86_64"))]
impl Lanes for f64 {
    type Avx2 = [f64; 4];
    type Portable = [f64; 4];
}

/// The body of a kernel over elements `E`, for any vector.
pub(crate) trait Kernel<E: Lanes> {
    /// What it returns.
    type Output;
    /// The work. Mark it `#[inline(always)]`.
    fn run<V: Vector<Elem = E>>(self) -> Self::Output;
}

impl Simd {
    /// Runs `kernel` compiled for this level, which must be available.
    #[inline]
    pub(crate) fn run<E: Lanes, K: Kernel<E>>(self, kernel: K) -> K::Output {
        debug_assert!(self.is_available());
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Cpu` only opens with a level that was detected.
            Self::Avx512 => unsafe { E::run_avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { run_avx2(kernel) },
            _ => kernel.run::<E::Portable>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,popcnt,lzcnt")]
unsafe fn run_avx512<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<std::arch::x86_64::__m512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn run_avx2<E: Lanes, K: Kernel<E>>(kernel: K) -> K::Output {
    kernel.run::<E::Avx2>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on one pair of vectors, as columns of scalars.
    struct Operations<'a, E>(&'a [E], &'a [E]);

    impl<E: Lanes> Kernel<E> for Operations<'_, E> {
        type Output = Vec<Vec<E>>;
        #[inline(always)]
        fn run<V: Vector<Elem = E>>(self) -> Self::Output {
            let (n, zero) = (V::LANES, E::of(0.0));
            let mut index: Vec<u32> = (0..n as u32).rev().collect();
            index.resize(16, 0);
            let short: Vec<u16> = index.iter().map(|&i| i as u16).collect();
            let crossing: Vec<u8> = (0..16).map(|i| if i % 2 == 0 { i } else { 128 + (n + n - 1) as u8 - i }).collect();
            let halves: Vec<u32> = (0..n as u32 / 2).rev().collect();
            let mut results = Vec::new();
            // SAFETY: both slices hold 16 elements, and so do the results.
            unsafe {
                let (a, b) = (V::load(self.0.as_ptr()), V::load(self.1.as_ptr()));
                let odd = V::mask(0b1010_1010_1010_1010 & ((1 << n) - 1));
                let all = [
                    a.add(b),
                    a.sub(b),
                    a.mul(b),
                    a.div(b),
                    a.fma(b, a),
                    a.max(b),
                    a.min(b),
                    a.abs().sqrt(),
                    a.round(),
                    a.scale2(b.round()),
                    V::select(a.gt(b), a, b),
                    V::select(a.le(b), a, b),
                    V::select(odd, a, b),
                    V::load_masked(self.0.as_ptr(), V::first(n - 1)),
                    V::gather(self.0.as_ptr(), index.as_ptr()),
                    V::gather16(self.0.as_ptr(), short.as_ptr()),
                    V::splat(a.sum()),
                    V::splat(V::sums4([b, b, a, b])[2]),
                    a.each(|x| x + E::of(1.0)),
                    V::columns4(&std::array::from_fn(|i| self.0.as_ptr().add(i % 4)))[3],
                    V::pick([a, b], crossing.as_ptr()),
                    a.doubled(),
                    V::load_half(self.0.as_ptr()),
                    V::pair_sums([a, b]),
                    V::pairs(self.0.as_ptr(), &V::places(halves.as_ptr())),
                ];
                for v in all {
                    let mut out = vec![zero; n];
                    v.store(out.as_mut_ptr());
                    results.push(out);
                }
                let mut out = vec![zero; n];
                a.store_masked(out.as_mut_ptr(), odd);
                results.push(out);
                let mut out = vec![zero; n];
                V::add_pair(self.1.as_ptr(), a, out[1..].as_mut_ptr());
                results.push(out);
                assert_eq!(V::bits(odd), 0b1010_1010_1010_1010 & ((1 << n) - 1));
            }
            results
        }
    }

    fn expected(i: usize, n: usize, all: &[f64], others: &[f64]) -> [f64; 27] {
        let (a, b) = (all[i], others[i]);
        let odd = i % 2 == 1;
        [
            a + b,
            a - b,
            a * b,
            a / b,
            a * b + a,
            if a > b { a } else { b },
            if a < b { a } else { b },
            a.abs().sqrt(),
            a.round_ties_even(),
            a * b.round_ties_even().exp2(),
            if a > b { a } else { b },
            if a <= b { a } else { b },
            if odd { a } else { b },
            if i + 1 < n { a } else { 0.0 },
            all[n - 1 - i],
            all[n - 1 - i],
            all[..n].iter().sum(),
            all[..n].iter().sum(),
            a + 1.0,
            all[i % 4 + 3],
            if odd { others[n - 1 - i] } else { a },
            all[i / 2],
            if i < n / 2 { a } else { 0.0 },
            if i < n / 2 { all[2 * i] + all[2 * i + 1] } else { others[2 * i - n] + others[2 * i - n + 1] },
            all[n - 2 - i / 2 * 2 + i % 2],
            if odd { a } else { 0.0 },
            if i == 1 || i == 2 { others[0] * all[i - 1] } else { 0.0 },
        ]
    }

    fn check<E: Lanes>(tolerance: f64) {
        let a: Vec<f64> = (0..16).map(|i| f64::from(i * 37 % 17) * 0.75 - 5.0).collect();
        let b: Vec<f64> = (0..16).map(|i| f64::from(i * 23 % 13) * 1.25 - 6.5).collect();
        let (ea, eb): (Vec<E>, Vec<E>) = (a.iter().map(|&x| E::of(x)).collect(), b.iter().map(|&x| E::of(x)).collect());
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let got = simd.run(Operations(&ea, &eb));
            let n = got[0].len();
            for i in 0..n {
                for (op, want) in expected(i, n, &a, &b).into_iter().enumerate() {
                    let got = got[op][i].wide();
                    assert!((got - want).abs() <= tolerance * want.abs(), "{simd} op {op} lane {i}: {got} not {want}");
                }
            }
        }
    }

    #[test]
    fn operations_agree_with_scalars() {
        check::<f32>(1e-6);
        check::<f64>(1e-14);
    }

    struct NotANumber;
    impl Kernel<f32> for NotANumber {
        type Output = [f32; 4];
        #[inline(always)]
        fn run<V: Vector<Elem = f32>>(self) -> Self::Output {
            let (nan, one) = (V::splat(f32::NAN), V::splat(1.0));
            [nan.max(one), one.max(nan), nan.min(one), one.min(nan)].map(|v| v.sum() / V::LANES as f32)
        }
    }

    #[test]
    fn max_and_min_return_the_second_of_a_nan_pair() {
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let [a, b, c, d] = simd.run(NotANumber);
            assert!(a == 1.0 && b.is_nan() && c == 1.0 && d.is_nan(), "{simd}: {a} {b} {c} {d}");
        }
    }
}
