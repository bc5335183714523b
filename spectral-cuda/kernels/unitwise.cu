// Kernels that treat every unit alone: a row of `columns` values each.

KERNEL diagonal(const real *__restrict__ x, const real *__restrict__ factor, const real *__restrict__ bias,
                real *__restrict__ y, real *__restrict__ before, i64 columns, i64 act, double act_p, double act_q, i64 n) {
    EACH(i, n) {
        const i64 unit = i / columns;
        const real z = factor[unit] * x[i] + (bias ? bias[unit] : real(0));
        if (before) before[i] = z;
        y[i] = activated(act, act_p, act_q, z);
    }
}

KERNEL diagonal_vjp(const real *__restrict__ dz, const real *__restrict__ factor, real *__restrict__ dx, i64 columns,
                    i64 add, i64 n) {
    EACH(i, n) put(dx, i, factor[i / columns] * dz[i], add);
}

// A block has a unit. The mean is taken before the squares, which would cancel otherwise.
KERNEL standardise(const real *__restrict__ x, real *__restrict__ y, real *__restrict__ mean,
                   real *__restrict__ variance, i64 units, i64 columns, double epsilon) {
    for (i64 unit = blockIdx.x; unit < units; unit += gridDim.x) {
        const real *row = x + unit * columns;
        real sum = 0, squares = 0;
        for (i64 i = threadIdx.x; i < columns; i += THREADS) sum += row[i];
        const real centre = block_sum(sum) / columns;
        for (i64 i = threadIdx.x; i < columns; i += THREADS) squares += (row[i] - centre) * (row[i] - centre);
        const real spread = block_sum(squares) / columns;
        const real factor = 1 / sqrt(spread + (real)epsilon);
        for (i64 i = threadIdx.x; i < columns; i += THREADS) y[unit * columns + i] = (row[i] - centre) * factor;
        if (threadIdx.x == 0) {
            mean[unit] = centre;
            variance[unit] = spread;
        }
    }
}

// dx (+)= scale / sqrt(variance + epsilon) * (dy - mean(dy) - y * mean(y * dy)).
KERNEL standardise_vjp(const real *__restrict__ y, const real *__restrict__ dy, const real *__restrict__ variance,
                       const real *__restrict__ factor, real *__restrict__ dx, i64 units, i64 columns, double epsilon,
                       i64 add) {
    for (i64 unit = blockIdx.x; unit < units; unit += gridDim.x) {
        const real *outputs = y + unit * columns, *gradient = dy + unit * columns;
        real sum = 0, dot = 0;
        for (i64 i = threadIdx.x; i < columns; i += THREADS) {
            sum += gradient[i];
            dot += gradient[i] * outputs[i];
        }
        const real mean = block_sum(sum) / columns, along = block_sum(dot) / columns;
        const real share = factor[unit] / sqrt(variance[unit] + (real)epsilon);
        for (i64 i = threadIdx.x; i < columns; i += THREADS)
            put(dx, unit * columns + i, share * (gradient[i] - mean - outputs[i] * along), add);
    }
}
