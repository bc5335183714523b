// Products with weights of which only some entries are stored. Each is a sum over the entries of a row (or, on the way
// back, of a column) in their order.

#define AT_ONCE 4 // Samples that a thread works on.

// y[r, :] = act(sum over k in starts[r]..starts[r + 1] of values[positions[k]] * x[others[k], :] + bias[r]). Without
// `positions` the values lie in the order of the entries. A warp makes 128 samples of a row.
KERNEL spmm(const unsigned *__restrict__ starts, const unsigned *__restrict__ others,
            const unsigned *__restrict__ positions, const real *__restrict__ values, const real *__restrict__ x,
            real *__restrict__ y, real *__restrict__ before, const real *__restrict__ bias, i64 rows, i64 batch,
            i64 act, double parameter, i64 add) {
    const i64 row = (i64)blockIdx.x * WARPS + threadIdx.x / LANES;
    const i64 sample = (i64)blockIdx.y * LANES * AT_ONCE + threadIdx.x % LANES;
    if (row >= rows) return;
    real sums[AT_ONCE] = {};
    for (unsigned k = starts[row]; k < starts[row + 1]; k++) {
        const real value = values[positions ? positions[k] : k];
        const real *from = x + others[k] * batch + sample;
        for (int i = 0; i < AT_ONCE; i++)
            if (sample + i * LANES < batch) sums[i] += value * from[i * LANES];
    }
    for (int i = 0; i < AT_ONCE; i++) {
        const i64 at = row * batch + sample + i * LANES;
        if (sample + i * LANES >= batch) continue;
        const real z = sums[i] + (bias ? bias[row] : real(0));
        if (before) before[at] = z;
        put(y, at, activated(act, parameter, z), add);
    }
}

// dvalues[k] (+)= sum over the batch of dz[row of k, :] * x[column of k, :]. A block has a row, each of its warps every
// eighth entry of it.
KERNEL sddmm(const unsigned *__restrict__ starts, const unsigned *__restrict__ columns, const real *__restrict__ dz,
             const real *__restrict__ x, real *__restrict__ dvalues, i64 rows, i64 batch, i64 add) {
    const int lane = threadIdx.x % LANES;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        for (unsigned k = starts[row] + threadIdx.x / LANES; k < starts[row + 1]; k += WARPS) {
            const real *left = dz + row * batch, *right = x + columns[k] * batch;
            real sum = 0;
            for (i64 sample = lane; sample < batch; sample += LANES) sum += left[sample] * right[sample];
            sum = warp_sum(sum);
            if (lane == 0) put(dvalues, k, sum, add);
        }
    }
}
