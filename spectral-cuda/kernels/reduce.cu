// Sums over samples, losses down the outputs of each sample, and checks.

// The numbers of what is summed, as the launcher counts them.
enum { PLAIN, ABSOLUTE, SQUARE, PRODUCT };

// sums[r, part] = sum of f over the part-th `share` of a row; a warp has a row. PRODUCT is x * other.
KERNEL row_sums(const real *__restrict__ x, const real *__restrict__ other, real *__restrict__ sums, i64 what, i64 rows,
                i64 columns, i64 share, i64 add) {
    const i64 row = (i64)blockIdx.x * WARPS + threadIdx.x / LANES, first = blockIdx.y * share;
    if (row >= rows) return;
    const i64 end = first + share < columns ? first + share : columns;
    real sum = 0;
    for (i64 i = row * columns + first + threadIdx.x % LANES; i < row * columns + end; i += LANES) {
        const real v = x[i];
        sum += what == PLAIN ? v : what == ABSOLUTE ? fabs(v) : what == SQUARE ? v * v : v * other[i];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % LANES == 0) put(sums, row * gridDim.y + blockIdx.y, sum, add);
}

// y[i] (+)= factor * sum over p of parts[i * item + p * step].
KERNEL fold(const real *__restrict__ parts, real *__restrict__ y, i64 count, i64 item, i64 step, double factor, i64 add,
            i64 n) {
    EACH(i, n) {
        real sum = 0;
        for (i64 p = 0; p < count; p++) sum += parts[i * item + p * step];
        put(y, i, (real)factor * sum, add);
    }
}

// largest[first + block] = the largest |x| that the block saw; NaN counts as larger than all.
KERNEL largest(const real *__restrict__ x, double *__restrict__ largest, i64 first, i64 n) {
    __shared__ double found[THREADS];
    double most = 0;
    EACH(i, n) {
        const double size = fabs((double)x[i]);
        if (!(size <= most)) most = size;
        if (most != most) break;
    }
    found[threadIdx.x] = most;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int t = 1; t < THREADS && most == most; t++)
            if (!(found[t] <= most)) most = found[t];
        largest[first + blockIdx.x] = most;
    }
}

// Blocks below have 32 samples side by side; the rows of each are shared among 8 threads.

// The sum of the values that the threads of a sample have, in all of them.
template <typename T> DEVICE T sample_sum(T value) {
    __shared__ T values[WARPS][LANES];
    const int lane = threadIdx.x % LANES;
    values[threadIdx.x / LANES][lane] = value;
    __syncthreads();
    T sum = 0;
    for (int w = 0; w < WARPS; w++) sum += values[w][lane];
    __syncthreads();
    return sum;
}

// The largest of the values that the threads of a sample have, and the first row among equal ones.
DEVICE real sample_top(real value, i64 &row) {
    __shared__ real values[WARPS][LANES];
    __shared__ i64 rows[WARPS][LANES];
    const int lane = threadIdx.x % LANES;
    values[threadIdx.x / LANES][lane] = value;
    rows[threadIdx.x / LANES][lane] = row;
    __syncthreads();
    for (int w = 0; w < WARPS; w++) {
        const real other = values[w][lane];
        if (other > value || (other == value && rows[w][lane] < row)) {
            value = other;
            row = rows[w][lane];
        }
    }
    __syncthreads();
    return value;
}

#define EVERY(r, rows) for (i64 r = threadIdx.x / LANES; r < (rows); r += WARPS)

// The largest value of a sample's column and the first row that has it: what a scan from row 0 on for larger values ends
// at, so that nothing is larger than a NaN in front.
DEVICE real top_of(const real *column, i64 rows, i64 batch, i64 &row) {
    real top = column[0];
    row = 0;
    EVERY(r, rows) {
        if (column[r * batch] > top) {
            top = column[r * batch];
            row = r;
        }
    }
    return sample_top(top, row);
}

// y = exp(x - top) / sum of it, down the rows of each sample.
KERNEL softmax(const real *__restrict__ x, real *__restrict__ y, i64 rows, i64 batch) {
    const i64 sample = (i64)blockIdx.x * LANES + threadIdx.x % LANES;
    // Threads past the batch take the rows of the last sample, so that all meet at the barriers.
    const i64 at = sample < batch ? sample : batch - 1;
    i64 row;
    const real top = top_of(x + at, rows, batch, row);
    real sum = 0;
    EVERY(r, rows) sum += exp(x[r * batch + at] - top);
    const real all = sample_sum(sum);
    if (sample < batch) EVERY(r, rows) y[r * batch + at] = exp(x[r * batch + at] - top) / all;
}

// dy = y * (dy - sum of y * dy), down the rows of each sample.
KERNEL softmax_vjp(const real *__restrict__ y, real *__restrict__ dy, i64 rows, i64 batch) {
    const i64 sample = (i64)blockIdx.x * LANES + threadIdx.x % LANES;
    const i64 at = sample < batch ? sample : batch - 1;
    real dot = 0;
    EVERY(r, rows) dot += y[r * batch + at] * dy[r * batch + at];
    const real all = sample_sum(dot);
    if (sample < batch) EVERY(r, rows) dy[r * batch + at] = y[r * batch + at] * (dy[r * batch + at] - all);
}

// parts[block] = the loss summed over the block's samples and the number of right answers among them; gradient (+)=
// factor * d loss.
KERNEL loss(const real *__restrict__ outputs, const real *__restrict__ targets, real *__restrict__ gradient,
            double *__restrict__ parts, i64 cross_entropy, double factor, i64 add, i64 rows, i64 batch) {
    const i64 sample = (i64)blockIdx.x * LANES + threadIdx.x % LANES;
    const i64 at = sample < batch ? sample : batch - 1;
    const real *y = outputs + at, *t = targets + at;
    i64 answer, truth;
    const real top = top_of(y, rows, batch, answer);
    top_of(t, rows, batch, truth);
    double loss = 0;
    if (cross_entropy) {
        real sum = 0, mass = 0, share = 0;
        EVERY(r, rows) {
            sum += exp(y[r * batch] - top);
            mass += t[r * batch];
        }
        const real all = sample_sum(sum), whole = sample_sum(mass), log_sum = log(all);
        EVERY(r, rows) {
            const real shifted = y[r * batch] - top;
            share += t[r * batch] * (log_sum - shifted);
            const real slope = exp(shifted) / all * whole - t[r * batch];
            if (gradient && sample < batch) put(gradient, r * batch + at, (real)factor * slope, add);
        }
        loss = share;
    } else {
        real share = 0;
        EVERY(r, rows) {
            const real off = y[r * batch] - t[r * batch];
            share += off * off;
            const real slope = 2 * off / rows;
            if (gradient && sample < batch) put(gradient, r * batch + at, (real)factor * slope, add);
        }
        loss = share / rows;
    }
    const double total = block_sum(sample < batch ? loss : 0.0);
    const double correct = block_sum(sample < batch && answer == truth && threadIdx.x < LANES ? 1.0 : 0.0);
    if (threadIdx.x == 0) {
        parts[2 * blockIdx.x] = total;
        parts[2 * blockIdx.x + 1] = correct;
    }
}

// totals += the sums of the parts, in their order.
KERNEL loss_totals(const double *__restrict__ parts, double *__restrict__ totals, i64 count) {
    EACH(i, 2) {
        double sum = 0;
        for (i64 p = 0; p < count; p++) sum += parts[2 * p + i];
        totals[i] += sum;
    }
}
