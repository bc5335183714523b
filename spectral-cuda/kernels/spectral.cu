// The weight of a spectral layer, W = basis * (lambda_in - lambda_out), and the gradients of its factors.

KERNEL spectral_weight(const real *__restrict__ basis, const real *__restrict__ lambda_in,
                       const real *__restrict__ lambda_out, real *__restrict__ weight, i64 inputs, i64 n) {
    EACH(i, n) weight[i] = basis[i] * (lambda_in[i % inputs] - lambda_out[i / inputs]);
}

KERNEL spectral_basis_vjp(const real *__restrict__ dw, const real *__restrict__ lambda_in,
                          const real *__restrict__ lambda_out, real *__restrict__ dbasis, i64 add, i64 inputs, i64 n) {
    EACH(i, n) put(dbasis, i, dw[i] * (lambda_in[i % inputs] - lambda_out[i / inputs]), add);
}

#define STEPS 8 // Rows of a tile for each warp.

// Sums of dw * basis over tiles of 64 rows and 32 columns: down the columns into by_column [tiles, inputs], along the
// rows into by_row [out, tiles].
KERNEL spectral_sums(const real *__restrict__ dw, const real *__restrict__ basis, real *__restrict__ by_column,
                     real *__restrict__ by_row, i64 out, i64 inputs) {
    __shared__ real columns[WARPS][LANES];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const i64 column = (i64)blockIdx.x * LANES + lane;
    real down = 0;
    for (int step = 0; step < STEPS; step++) {
        const i64 row = (i64)blockIdx.y * STEPS * WARPS + step * WARPS + warp;
        const bool inside = row < out && column < inputs;
        const real product = inside ? dw[row * inputs + column] * basis[row * inputs + column] : real(0);
        down += product;
        const real along = warp_sum(product);
        if (lane == 0 && row < out) by_row[row * gridDim.x + blockIdx.x] = along;
    }
    columns[warp][lane] = down;
    __syncthreads();
    if (warp == 0 && column < inputs) {
        real sum = 0;
        for (int w = 0; w < WARPS; w++) sum += columns[w][lane];
        by_column[blockIdx.y * inputs + column] = sum;
    }
}
