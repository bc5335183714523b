// Convolutions as products: every window of the images is a column. The batch is innermost in both.

// columns[c, a, b, i, j, :] = x[c, i * stride + a - padding, j * stride + b - padding, :], zero in the padding.
KERNEL windows(const real *__restrict__ x, real *__restrict__ columns, i64 height, i64 width, i64 batch, i64 kernel,
               i64 stride, i64 padding, i64 rows, i64 places, i64 n) {
    EACH(at, n) {
        const i64 sample = at % batch, j = at / batch % places, i = at / batch / places % rows;
        const i64 tap = at / batch / places / rows;
        const i64 row = i * stride + tap / kernel % kernel - padding, column = j * stride + tap % kernel - padding;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        const i64 channel = tap / (kernel * kernel);
        columns[at] = inside ? x[((channel * height + row) * width + column) * batch + sample] : real(0);
    }
}

// The way back: each value of an image collects the windows it is in, tap by tap.
KERNEL images(const real *__restrict__ columns, real *__restrict__ dx, i64 height, i64 width, i64 batch, i64 kernel,
              i64 stride, i64 padding, i64 rows, i64 places, i64 add, i64 n) {
    EACH(at, n) {
        const i64 sample = at % batch, column = at / batch % width, row = at / batch / width % height;
        const i64 channel = at / batch / width / height;
        real sum = 0;
        for (i64 a = 0; a < kernel; a++) {
            const i64 down = row + padding - a;
            if (down < 0 || down % stride || down / stride >= rows) continue;
            for (i64 b = 0; b < kernel; b++) {
                const i64 across = column + padding - b;
                if (across < 0 || across % stride || across / stride >= places) continue;
                const i64 tap = (channel * kernel + a) * kernel + b;
                sum += columns[((tap * rows + down / stride) * places + across / stride) * batch + sample];
            }
        }
        put(dx, at, sum, add);
    }
}
