// What every kernel shares. REAL is float or double: each file is compiled once for each.
//
// Every parameter of a kernel is eight bytes wide (a pointer, an i64, a u64 or a double), so that a launch is an
// array of words. Sums have a fixed order and there are no atomics: the same inputs give the same bits.

typedef REAL real;
typedef long long i64;
typedef unsigned long long u64;

// Threads of a block, in every launch.
#define THREADS 256
#define LANES 32
#define WARPS (THREADS / LANES)

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)
#define DEVICE inline __device__

// Every index below n that this thread is in charge of, for one-dimensional grids.
#define EACH(i, n)                                                                                                     \
    for (i64 i = (i64)blockIdx.x * THREADS + threadIdx.x; i < (n); i += (i64)gridDim.x * THREADS)

// y (+)= value.
DEVICE void put(real *y, i64 at, real value, i64 add) { y[at] = add ? y[at] + value : value; }

// Bit i of a mask; a null mask is empty.
DEVICE bool in_mask(const u64 *mask, i64 i) { return mask && (mask[i >> 6] >> (i & 63) & 1); }

DEVICE real sign(real x) { return x > 0 ? real(1) : x < 0 ? real(-1) : x; }

// The sum over the lanes of a warp, in every lane.
template <typename T> DEVICE T warp_sum(T value) {
    for (int lane = LANES / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
    return value;
}

// The sum over the threads of a block, in every thread.
template <typename T> DEVICE T block_sum(T value) {
    __shared__ T sums[WARPS];
    const int warp = threadIdx.x / LANES;
    value = warp_sum(value);
    if (threadIdx.x % LANES == 0) sums[warp] = value;
    __syncthreads();
    T total = 0;
    for (int w = 0; w < WARPS; w++) total += sums[w];
    __syncthreads();
    return total;
}

// The numbers of Activation, as the launcher counts them.
enum { IDENTITY, RELU, LEAKY_RELU, ELU, GELU, SIGMOID, TANH, SOFTPLUS, SILU, HARD_SIGMOID, HARD_SWISH, CLIP };

// erfc is what gives the lower tail of GELU its digits.
DEVICE real normal_cdf(real x) { return real(0.5) * erfc(-x * real(0.70710678118654752440)); }

DEVICE real sigmoid(real x) {
    const real e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

// first and second are the numbers of the activation in the order of its fields.
DEVICE real activated(i64 act, double first, double second, real x) {
    const real p = (real)first, q = (real)second;
    switch (act) {
    case RELU: return x <= 0 ? real(0) : x; // Not fmax, which would hide NaN.
    case LEAKY_RELU: return x > 0 ? x : p * x;
    case ELU: return x > 0 ? x : p * expm1(x);
    case GELU: return x * normal_cdf(x);
    case SIGMOID: return sigmoid(x);
    case TANH: return tanh(x);
    case SOFTPLUS: return (x > 0 ? x : real(0)) + log1p(exp(-fabs(x)));
    case SILU: return x * sigmoid(x);
    case HARD_SIGMOID: {
        const real y = x / 6 + real(0.5);
        return y < 0 ? real(0) : y > 1 ? real(1) : y;
    }
    case HARD_SWISH: return x >= 3 ? x : x <= -3 ? real(0) : x * (x / 6 + real(0.5));
    case CLIP: return x <= p ? p : x >= q ? q : x;
    default: return x;
    }
}

// dy/dx at the input of GELU, SILU and HARD_SWISH, at the output of all others.
DEVICE real slope(i64 act, double first, double second, real at) {
    switch (act) {
    case RELU: return at > 0 ? real(1) : real(0);
    case LEAKY_RELU: return at > 0 ? real(1) : (real)first;
    case ELU: return at > 0 ? real(1) : at + (real)first;
    case GELU: return normal_cdf(at) + at * exp(real(-0.5) * at * at) * real(0.39894228040143267794);
    case SIGMOID: return at * (1 - at);
    case TANH: return 1 - at * at;
    case SOFTPLUS: return -expm1(-at);
    case SILU: {
        const real s = sigmoid(at);
        return s * (1 + at * (1 - s));
    }
    case HARD_SIGMOID: return at > 0 && at < 1 ? real(1) / 6 : real(0);
    case HARD_SWISH: return at >= 3 ? real(1) : at <= -3 ? real(0) : at / 3 + real(0.5);
    case CLIP: return at > (real)first && at < (real)second ? real(1) : real(0);
    default: return 1;
    }
}
