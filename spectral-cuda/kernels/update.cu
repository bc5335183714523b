// One step of an optimiser on one parameter, in one pass over memory, and constraints.

// The numbers of Rule, as the launcher counts them.
enum { SGD, ADAM, ADAMAX, RMS_PROP };

// Decaying values below this become zero, as in spectral-core.
DEVICE real cut(real x) { return fabs(x) < real(1e-30) ? real(0) : x; }

// p, q and r are the numbers of the rule in the order of its fields; flag is its switch. first and second are
// 1 - beta^step for rules that correct their means. Pruned entries become zero, others than the trainable ones stay.
KERNEL update(real *__restrict__ w, const real *__restrict__ gradient, real *__restrict__ a, real *__restrict__ b,
              const u64 *__restrict__ pruned, const u64 *__restrict__ trainable, i64 rule, double p, double q, double r,
              i64 flag, double first, double second, double rate, double gradient_scale, double l1, double l2,
              double decay, i64 n) {
    const real lr = (real)rate;
    EACH(i, n) {
        if (in_mask(pruned, i)) {
            w[i] = 0;
            if (a) a[i] = 0;
            if (b) b[i] = 0;
            continue;
        }
        if (trainable && !in_mask(trainable, i)) continue;
        const real value = w[i];
        const real g = (real)gradient_scale * gradient[i] + (real)(2 * l2) * value + (real)l1 * sign(value);
        real x = a ? a[i] : real(0), y = b ? b[i] : real(0), step = g;
        switch (rule) {
        case SGD:
            if (a) {
                x = (real)p * x + g;
                step = flag ? g + (real)p * x : x;
            }
            break;
        case ADAM:
            x = (real)p * x + (real)(1 - p) * g;
            y = (real)q * y + (real)(1 - q) * g * g;
            step = x / (real)first / (sqrt(y / (real)second) + (real)r);
            break;
        case ADAMAX:
            x = (real)p * x + (real)(1 - p) * g;
            y = fmax((real)q * y, fabs(g));
            step = x / (real)first / (y + (real)r);
            break;
        case RMS_PROP:
            x = (real)p * x + (real)(1 - p) * g * g;
            step = g / (flag ? sqrt(x + (real)q) : sqrt(x) + (real)q);
            break;
        }
        w[i] = cut(value - lr * (real)decay * value - lr * step);
        if (a) a[i] = cut(x);
        if (b) b[i] = cut(y);
    }
}

// The numbers of Constraint, as the launcher counts them.
enum { NON_NEG, UNIT_NORM, MAX_NORM, MIN_MAX_NORM };

// A block has a row: the entries starts[row]..starts[row + 1], or `columns` of them without starts.
KERNEL constrain(real *__restrict__ w, const unsigned *__restrict__ starts, const u64 *__restrict__ trainable, i64 kind,
                 double least, double most, double share, i64 rows, i64 columns) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const i64 from = starts ? starts[row] : row * columns, to = starts ? starts[row + 1] : from + columns;
        double squares = 0;
        for (i64 i = from + threadIdx.x; i < to; i += THREADS) squares += (double)w[i] * (double)w[i];
        const double norm = sqrt(block_sum(squares));
        double wanted = norm;
        if (kind == UNIT_NORM) wanted = 1;
        if (kind == MAX_NORM) wanted = norm < most ? norm : most;
        if (kind == MIN_MAX_NORM) {
            const double inside = norm < least ? least : norm > most ? most : norm;
            wanted = share * inside + (1 - share) * norm;
        }
        const double factor = norm > 0 && norm - norm == 0 ? wanted / norm : 1;
        for (i64 i = from + threadIdx.x; i < to; i += THREADS) {
            if (trainable && !in_mask(trainable, i)) continue;
            if (kind == NON_NEG) {
                if (w[i] < 0) w[i] = 0;
            } else if (factor != 1) {
                w[i] = (real)((double)w[i] * factor);
            }
        }
    }
}
