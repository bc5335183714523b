// Products with weights of which only some entries are stored. Each is a sum over the entries of a row (or, on the way
// back, of a column) in their order.

#define AT_ONCE 4 // Samples that a thread works on.

// y[r, :] = act(sum over k in starts[r]..starts[r + 1] of values[positions[k]] * x[others[k], :] + bias[r]). Without
// `positions` the values lie in the order of the entries. A warp makes 128 samples of a row.
KERNEL spmm(const unsigned *__restrict__ starts, const unsigned *__restrict__ others,
            const unsigned *__restrict__ positions, const real *__restrict__ values, const real *__restrict__ x,
            real *__restrict__ y, real *__restrict__ before, const real *__restrict__ bias, i64 rows, i64 batch,
            i64 act, double act_p, double act_q, i64 add) {
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
        put(y, at, activated(act, act_p, act_q, z), add);
    }
}

#define GROUP 8 // Lanes that share an entry: as many neighbouring values as a sector of memory has.

// dvalues[k] (+)= sum over the batch of dz[row of k, :] * x[column of k, :]. A block has a row, each of its groups every
// 32nd entry of it.
KERNEL sddmm(const unsigned *__restrict__ starts, const unsigned *__restrict__ columns, const real *__restrict__ dz,
             const real *__restrict__ x, real *__restrict__ dvalues, i64 rows, i64 batch, i64 add) {
    const int lane = threadIdx.x % GROUP, group = threadIdx.x / GROUP;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const unsigned end = starts[row + 1];
        for (unsigned first = starts[row]; first < end; first += THREADS / GROUP) {
            const unsigned k = first + group;
            real sum = 0;
            if (k < end) {
                const real *left = dz + row * batch, *right = x + columns[k] * batch;
                for (i64 sample = lane; sample < batch; sample += GROUP) sum += left[sample] * right[sample];
            }
            // All lanes of a warp are here, whether they have an entry or not.
            for (int other = GROUP / 2; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
            if (lane == 0 && k < end) put(dvalues, k, sum, add);
        }
    }
}
