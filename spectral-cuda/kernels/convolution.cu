// Convolutions as products: every window of the images is a column. The batch is innermost in both.

// columns[c, a, b, i, j, :] = x[c, i * down + a * gap_down - top, j * across + b * gap_across - left, :], zero in the
// padding. The window is tall by wide; down and across are its steps.
KERNEL windows(const real *__restrict__ x, real *__restrict__ columns, i64 height, i64 width, i64 batch, i64 tall,
               i64 wide, i64 down, i64 across, i64 top, i64 left, i64 gap_down, i64 gap_across, i64 rows, i64 places,
               i64 n) {
    EACH(at, n) {
        const i64 sample = at % batch, j = at / batch % places, i = at / batch / places % rows;
        const i64 tap = at / batch / places / rows;
        const i64 row = i * down + tap / wide % tall * gap_down - top;
        const i64 column = j * across + tap % wide * gap_across - left;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        const i64 channel = tap / (tall * wide);
        columns[at] = inside ? x[((channel * height + row) * width + column) * batch + sample] : real(0);
    }
}

// The way back: each value of an image collects the windows it is in, tap by tap.
KERNEL images(const real *__restrict__ columns, real *__restrict__ dx, i64 height, i64 width, i64 batch, i64 tall,
              i64 wide, i64 down, i64 across, i64 top, i64 left, i64 gap_down, i64 gap_across, i64 rows, i64 places,
              i64 add, i64 n) {
    EACH(at, n) {
        const i64 sample = at % batch, column = at / batch % width, row = at / batch / width % height;
        const i64 channel = at / batch / width / height;
        real sum = 0;
        for (i64 a = 0; a < tall; a++) {
            const i64 y = row + top - a * gap_down;
            if (y < 0 || y % down || y / down >= rows) continue;
            for (i64 b = 0; b < wide; b++) {
                const i64 x = column + left - b * gap_across;
                if (x < 0 || x % across || x / across >= places) continue;
                const i64 tap = (channel * tall + a) * wide + b;
                sum += columns[((tap * rows + y / down) * places + x / across) * batch + sample];
            }
        }
        put(dx, at, sum, add);
    }
}

// Groups: every output sees `inner` rows of windows, those of its group, which has `outs` outputs.
// c = act(w columns + bias).
KERNEL grouped(const real *__restrict__ w, const real *__restrict__ columns, const real *__restrict__ bias,
               real *__restrict__ c, real *__restrict__ before, i64 outs, i64 inner, i64 places, i64 act, double act_p,
               double act_q, i64 n) {
    EACH(at, n) {
        const i64 out = at / places, place = at % places;
        const real *seen = columns + out / outs * inner * places + place;
        real sum = bias ? bias[out] : real(0);
        for (i64 k = 0; k < inner; k++) sum += w[out * inner + k] * seen[k * places];
        if (before) before[at] = sum;
        c[at] = activated(act, act_p, act_q, sum);
    }
}

// The gradient of the windows: columns[k] = sum over the outputs of its group of w[out, k] * dz[out].
KERNEL grouped_windows(const real *__restrict__ w, const real *__restrict__ dz, real *__restrict__ columns, i64 outs,
                       i64 inner, i64 places, i64 n) {
    EACH(at, n) {
        const i64 row = at / places, place = at % places;
        const i64 group = row / inner, k = row % inner;
        real sum = 0;
        for (i64 out = group * outs; out < (group + 1) * outs; out++) sum += w[out * inner + k] * dz[out * places + place];
        columns[at] = sum;
    }
}

// A block has a weight: the sum over all places of dz[out] * columns[k].
KERNEL grouped_weights(const real *__restrict__ dz, const real *__restrict__ columns, real *__restrict__ dw, i64 outs,
                       i64 inner, i64 places, i64 add, i64 weights) {
    for (i64 at = blockIdx.x; at < weights; at += gridDim.x) {
        const i64 out = at / inner, row = out / outs * inner + at % inner;
        real sum = 0;
        for (i64 p = threadIdx.x; p < places; p += THREADS) sum += dz[out * places + p] * columns[row * places + p];
        const real total = block_sum(sum);
        if (threadIdx.x == 0) put(dw, at, total, add);
    }
}
