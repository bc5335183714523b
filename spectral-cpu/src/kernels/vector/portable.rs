//! Arrays that the compiler turns into whatever vectors the build's target has.

use super::{Lanes, Vector};

/// Fused only where the build's target fuses in hardware; elsewhere it would be a call.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

impl<E, const N: usize> Vector for [E; N]
where
    E: Lanes,
{
    type Elem = E;
    type Mask = u32;
    type Half = Self;
    const LANES: usize = N;
    const TILE: (usize, usize, usize) = (4, 2, 1);

    #[inline(always)]
    fn splat(value: E) -> Self {
        [value; N]
    }
    #[inline(always)]
    unsafe fn load(from: *const E) -> Self {
        // SAFETY: the caller vouches for N elements.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut E) {
        // SAFETY: the caller vouches for N elements.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const E, lanes: u32) -> Self {
        // SAFETY: the caller vouches for the flagged elements, and only they are read.
        std::array::from_fn(|i| if lanes >> i & 1 == 1 { unsafe { from.add(i).read() } } else { E::of(0.0) })
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut E, lanes: u32) {
        for (i, value) in self.into_iter().enumerate() {
            if lanes >> i & 1 == 1 {
                // SAFETY: the caller vouches for the flagged elements.
                unsafe { to.add(i).write(value) };
            }
        }
    }
    #[inline(always)]
    unsafe fn gather(base: *const E, index: *const u32) -> Self {
        // SAFETY: the caller vouches for N indices and the elements they name.
        std::array::from_fn(|i| unsafe { base.add(*index.add(i) as usize).read() })
    }
    #[inline(always)]
    unsafe fn gather16(base: *const E, index: *const u16) -> Self {
        // SAFETY: as for `gather`.
        std::array::from_fn(|i| unsafe { base.add(usize::from(*index.add(i))).read() })
    }
    #[inline(always)]
    unsafe fn columns4(rows: &[*const E; 16]) -> [Self; 4] {
        // SAFETY: the caller vouches for 4 elements behind each pointer.
        std::array::from_fn(|k| std::array::from_fn(|i| unsafe { rows[i].add(k).read() }))
    }
    #[inline(always)]
    fn mask(bits: u64) -> u32 {
        bits as u32
    }
    #[inline(always)]
    fn bits(mask: u32) -> u64 {
        u64::from(mask) & ((1 << N) - 1)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] * other[i])
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] / other[i])
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|i| if FUSED { self[i].mul_add(b[i], c[i]) } else { self[i] * b[i] + c[i] })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        std::array::from_fn(|i| if self[i] > other[i] { self[i] } else { other[i] })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        std::array::from_fn(|i| if self[i] < other[i] { self[i] } else { other[i] })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(E::sqrt)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(E::abs)
    }
    #[inline(always)]
    fn round(self) -> Self {
        // Adding and taking away 1.5 * 2^(digits - 1) leaves no bits for a fraction; valid for small values.
        let shift = E::of(if size_of::<E>() == 4 { 12_582_912.0 } else { 6_755_399_441_055_744.0 });
        self.map(|x| (x + shift) - shift)
    }
    #[inline(always)]
    fn scale2(self, n: Self) -> Self {
        // In two steps, because 2^n alone may be out of range.
        std::array::from_fn(|i| {
            let n = n[i].wide() as i32;
            let half = n >> 1;
            let power = |n: i32| E::of(f64::from_bits(((n + 1023) as u64) << 52));
            self[i] * power(half) * power(n - half)
        })
    }
    #[inline(always)]
    fn gt(self, other: Self) -> u32 {
        flags::<N>(|i| self[i] > other[i])
    }
    #[inline(always)]
    fn le(self, other: Self) -> u32 {
        flags::<N>(|i| self[i] <= other[i])
    }
    #[inline(always)]
    fn select(lanes: u32, yes: Self, no: Self) -> Self {
        std::array::from_fn(|i| if lanes >> i & 1 == 1 { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn sum(self) -> E {
        self.into_iter().fold(E::of(0.0), |sum, x| sum + x)
    }
}

#[inline(always)]
fn flags<const N: usize>(f: impl Fn(usize) -> bool) -> u32 {
    (0..N).fold(0, |bits, i| bits | u32::from(f(i)) << i)
}
