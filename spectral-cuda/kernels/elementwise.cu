// Kernels that act on every element alone.

KERNEL fill(real *__restrict__ y, double value, i64 n) {
    EACH(i, n) y[i] = (real)value;
}

KERNEL widen(const real *__restrict__ x, double *__restrict__ y, i64 n) {
    EACH(i, n) y[i] = x[i];
}

KERNEL narrow(const double *__restrict__ x, real *__restrict__ y, i64 n) {
    EACH(i, n) y[i] = (real)x[i];
}

KERNEL activate(const real *__restrict__ x, real *__restrict__ y, i64 act, double act_p, double act_q, i64 n) {
    EACH(i, n) y[i] = activated(act, act_p, act_q, x[i]);
}

KERNEL activate_vjp(const real *__restrict__ at, real *__restrict__ dy, i64 act, double act_p, double act_q, i64 n) {
    EACH(i, n) dy[i] *= slope(act, act_p, act_q, at[i]);
}

// From entry `from` of x to entry `to` of y.
KERNEL scale(const real *__restrict__ x, i64 from, real *__restrict__ y, i64 to, double alpha, i64 add, i64 n) {
    EACH(i, n) put(y, to + i, (real)alpha * x[from + i], add);
}

KERNEL multiply(const real *a, const real *b, real *__restrict__ y, i64 add, i64 n) {
    EACH(i, n) put(y, i, a[i] * b[i], add);
}

// SplitMix64 over a Weyl sequence: hash64 of spectral-core.
DEVICE u64 hash64(u64 key, u64 counter) {
    u64 z = key + (counter + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

KERNEL dropout(const real *__restrict__ x, real *__restrict__ y, u64 key, u64 threshold, double factor, i64 add,
               i64 n) {
    EACH(i, n) put(y, i, hash64(key, i) < threshold ? real(0) : x[i] * (real)factor, add);
}

KERNEL penalty_vjp(const real *__restrict__ x, real *__restrict__ dx, double l1, double l2, i64 n) {
    EACH(i, n) dx[i] += (real)l1 * sign(x[i]) + (real)l2 * x[i];
}

KERNEL clamp(real *__restrict__ y, double limit, i64 n) {
    const real most = (real)limit;
    EACH(i, n) y[i] = y[i] > most ? most : y[i] < -most ? -most : y[i];
}

KERNEL zero_where(const u64 *__restrict__ mask, real *__restrict__ y, i64 n) {
    EACH(i, n) if (in_mask(mask, i)) y[i] = 0;
}
