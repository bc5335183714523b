//! Faults sown into the kernels, one at a time in the source, which the conformance suite must find.

use crate::cuda;
use spectral_cuda::Source;
use spectral_testkit::backend;

/// A file, what is replaced in it, by what, and a word that only failures of that kernel contain.
type Mutation = (Source, &'static str, &'static str, &'static str);

const MUTATIONS: [Mutation; 20] = [
    (Source::Elementwise, "(real)alpha * x[from + i]", "(real)alpha * x[i]", "copy_rows"),
    (Source::Elementwise, "hash64(key, i) <", "hash64(key, i + 1) <", ": dropout"),
    (Source::Elementwise, "y[i] < -most ? -most", "y[i] < -most ? most", ": clamp"),
    (Source::Elementwise, "(real)l1 * sign(x[i])", "(real)l1 * (x[i] < 0 ? -1 : 1)", ": penalty_vjp"),
    (Source::Elementwise, "case SOFTPLUS: return -expm1(-at)", "case SOFTPLUS: return 1", "activate_vjp softplus"),
    // A barrier is forgotten.
    (Source::Dense, "        __syncthreads();\n        for (int p", "        for (int p", ": linear Identity"),
    (Source::Spectral, "(lambda_in[i % inputs] - ", "(lambda_in[i / inputs] - ", "spectral_weight ["),
    (Source::Spectral, "step < STEPS", "step < STEPS - 1", "d lambda_in"),
    (Source::Sparse, "k < starts[row + 1]; k++", "k + 1 < starts[row + 1]; k++", ": sparse_linear Identity"),
    (Source::Sparse, "other = GROUP / 2", "other = GROUP / 4", "d values"),
    (Source::Unitwise, "block_sum(squares) / columns", "block_sum(squares) / (columns - 1)", ": standardise ["),
    (Source::Unitwise, "gradient[i] - mean - outputs[i] * along", "gradient[i] - mean", ": standardise_vjp"),
    (Source::Convolution, "j * across + tap % wide", "j + tap % wide", ": conv2d ("),
    (Source::Convolution, "row + top - a", "row + top + a", ": conv2d_vjp"),
    (Source::Reduce, "most == most; t++", "t < 9; t++", ": all_finite"),
    (Source::Reduce, "rows[w][lane] < row)", "rows[w][lane] > row)", "of ties"),
    (Source::Reduce, "first = blockIdx.y * share", "first = 0", "row_sums of [3, 9001]"),
    (Source::Update, "            if (a) a[i] = 0;\n", "", "of masked NaN"),
    (Source::Update, "real(1e-30)", "real(1e-39)", "of subnormals"),
    (Source::Update, "if (trainable && !in_mask(trainable, i)) continue;\n            if", "if", ": constrain"),
];

/// All faults of a file. Each is in a kernel, or is seen by a word, of its own, so one run tells of all.
fn sow(source: Source, text: String) -> String {
    MUTATIONS.iter().filter(|m| m.0 == source).fold(text, |text, (_, from, to, _)| text.replacen(from, to, 1))
}

#[test]
fn every_fault_is_caught() {
    for (source, from, _, _) in MUTATIONS {
        let text = source.text(spectral_core::DType::F32);
        assert!(text.contains(from), "{}.cu has no `{from}`", source.name());
    }
    let Some(cuda) = cuda(sow) else { return };
    let report = backend::conformance(&cuda);
    let escaped: Vec<_> = MUTATIONS.iter().filter(|m| !report.failures.iter().any(|f| f.contains(m.3))).collect();
    println!("{} faults sown, {} caught", MUTATIONS.len(), MUTATIONS.len() - escaped.len());
    assert!(escaped.is_empty(), "{escaped:#?}");
}
