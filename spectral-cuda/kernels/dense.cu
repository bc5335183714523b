// Products of matrices, for devices without a library for them.

#define TILE 64
#define DEPTH 16
#define SIDE 16            // Threads along each side of a tile.
#define EACH_SIDE (TILE / SIDE) // Results of a thread along each side.

// One value of a matrix of which `rows` by `columns` are there, zero beyond.
DEVICE real entry(const real *m, i64 row, i64 column, i64 rows, i64 columns, i64 down, i64 across) {
    return row < rows && column < columns ? m[row * down + column * across] : real(0);
}

// c = act(a b + bias) or c += a b, with a [m, k] and b [k, n] at any strides and c [m, n] row-major. Where `before` is
// given it takes a b + bias. A block makes a tile of 64 by 64, a thread 4 by 4 of it.
KERNEL gemm(const real *__restrict__ a, const real *__restrict__ b, real *__restrict__ c, real *__restrict__ before,
            const real *__restrict__ bias, i64 m, i64 n, i64 k, i64 a_down, i64 a_across, i64 b_down, i64 b_across,
            i64 act, double act_p, double act_q, i64 add) {
    __shared__ real left[DEPTH][TILE + 1];
    __shared__ real right[DEPTH][TILE + 1];
    const int t = threadIdx.x, x = t % SIDE, y = t / SIDE;
    const i64 top = (i64)blockIdx.y * TILE, first = (i64)blockIdx.x * TILE;
    real sums[EACH_SIDE][EACH_SIDE] = {};
    for (i64 from = 0; from < k; from += DEPTH) {
        // Neighbouring threads read neighbouring memory, whichever way a matrix lies.
        for (int i = t; i < TILE * DEPTH; i += THREADS) {
            const int row = a_across == 1 ? i / DEPTH : i % TILE, p = a_across == 1 ? i % DEPTH : i / TILE;
            left[p][row] = entry(a, top + row, from + p, m, k, a_down, a_across);
            const int column = b_across == 1 ? i % TILE : i / DEPTH, q = b_across == 1 ? i / TILE : i % DEPTH;
            right[q][column] = entry(b, from + q, first + column, k, n, b_down, b_across);
        }
        __syncthreads();
        for (int p = 0; p < DEPTH; p++) {
            real u[EACH_SIDE], v[EACH_SIDE];
#pragma unroll
            for (int i = 0; i < EACH_SIDE; i++) u[i] = left[p][y + i * SIDE];
#pragma unroll
            for (int j = 0; j < EACH_SIDE; j++) v[j] = right[p][x + j * SIDE];
#pragma unroll
            for (int i = 0; i < EACH_SIDE; i++)
#pragma unroll
                for (int j = 0; j < EACH_SIDE; j++) sums[i][j] += u[i] * v[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < EACH_SIDE; i++) {
        const i64 row = top + y + i * SIDE;
        if (row >= m) continue;
#pragma unroll
        for (int j = 0; j < EACH_SIDE; j++) {
            const i64 column = first + x + j * SIDE;
            if (column >= n) continue;
            const real z = sums[i][j] + (bias ? bias[row] : real(0));
            if (before) before[row * n + column] = z;
            put(c, row * n + column, activated(act, act_p, act_q, z), add);
        }
    }
}

// y = act(z + bias), with one bias for each row of `columns` values; where `before` is given it takes z + bias. `z` may
// be y or `before`.
KERNEL finish(const real *z, real *y, real *before, const real *__restrict__ bias, i64 columns, i64 act,
              double act_p, double act_q, i64 n) {
    EACH(i, n) {
        const real sum = z[i] + (bias ? bias[i / columns] : real(0));
        if (before) before[i] = sum;
        y[i] = activated(act, act_p, act_q, sum);
    }
}
