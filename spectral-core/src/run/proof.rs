//! Checking that two models compute the same function.

use crate::base::{DType, Element, Error, Result, Seed};
use crate::model::Model;
use crate::run::Session;
use crate::samples::Samples;
use crate::tensor::boundary;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Number of random inputs that every proof adds to the data.
pub const RANDOM_INPUTS: usize = 1000;

/// The tolerance for f32 models.
pub const TOLERANCE_F32: f64 = 1e-5;

/// The tolerance for f64 models.
pub const TOLERANCE_F64: f64 = 1e-12;

/// The result of comparing two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Name of the first model.
    pub a: String,
    /// Name of the second model.
    pub b: String,
    /// Inputs compared.
    pub inputs: usize,
    /// Largest `|a - b|` over all outputs; infinite if one of them is not finite.
    pub max_abs_diff: f64,
    /// Largest `max |a - b| / size` over all samples. The size of a sample is `max |a|`, but at least the mean of
    /// `max |a|` over all samples, and at least 1e-6.
    pub max_rel_diff: f64,
    /// Samples whose labels differ, among those whose top two outputs are further apart than `tolerance * size`.
    pub labels_differ: usize,
    /// The largest `max_rel_diff` that counts as equal.
    pub tolerance: f64,
    /// Whether the models are equal: within the tolerance, no label different.
    pub equal: bool,
    /// Index of the input with the largest `max_rel_diff` (data first, then random inputs).
    pub worst_input: usize,
}

/// A model under comparison.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// What the report calls it.
    pub name: &'a str,
    /// The model.
    pub model: &'a Model,
}

/// Compares `a` with each of `others` on every sample of `data` and on [`RANDOM_INPUTS`] seeded random inputs,
/// uniform over the range each feature has in the data (`-1..1` without data).
///
/// Each model runs with its own plan, so the proof covers the kernels that inference uses.
///
/// # Errors
/// The models have different inputs, outputs or element types, the data does not fit, the tolerance is not between
/// 0 and 1, or a device failed.
/// A difference is not an error: it is in the result.
pub fn prove(a: Named<'_>, others: &[Named<'_>], data: Option<&Samples>, tolerance: Option<f64>) -> Result<Vec<Proof>> {
    if let Some(t) = tolerance.filter(|t| !(*t > 0.0 && *t < 1.0)) {
        return Err(Error::config("tolerance", format!("{t} is not between 0 and 1")));
    }
    match a.model.dtype() {
        DType::F32 => prove_as::<f32>(a, others, data, tolerance.unwrap_or(TOLERANCE_F32)),
        DType::F64 => prove_as::<f64>(a, others, data, tolerance.unwrap_or(TOLERANCE_F64)),
    }
}

fn prove_as<E: Element>(
    a: Named<'_>,
    others: &[Named<'_>],
    data: Option<&Samples>,
    tolerance: f64,
) -> Result<Vec<Proof>> {
    for b in others {
        let (x, y) = (a.model.graph(), b.model.graph());
        let describe = |m: &Model| format!("{} -> {} {}", m.graph().input(), m.graph().output(), m.dtype());
        if x.input().len() != y.input().len()
            || x.output().len() != y.output().len()
            || a.model.dtype() != b.model.dtype()
        {
            let problem = format!("{} against {}", describe(a.model), describe(b.model));
            return Err(Error::Compare { a: a.name.into(), b: b.name.into(), problem });
        }
    }
    let inputs = inputs::<E>(a.model.graph().input().len(), data)?;
    let expected = run(a.model, &inputs)?;
    others.iter().map(|b| Ok(compare(a.name, b.name, &expected, &run(b.model, &inputs)?, tolerance))).collect()
}

/// The data, followed by random inputs.
fn inputs<E: Element>(features: usize, data: Option<&Samples>) -> Result<Array2<E>> {
    if let Some(data) = data.filter(|d| d.features() != features) {
        return Err(Error::Data(format!("{} has {} features, the model takes {features}", data.name, data.features())));
    }
    let known = data.map_or(0, Samples::len);
    let range = |f: usize| match data {
        None => (-1.0, 1.0),
        Some(d) => d.inputs().column(f).iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
            (low.min(f64::from(v)), high.max(f64::from(v)))
        }),
    };
    let mut x = boundary::table("the inputs of a proof", known + RANDOM_INPUTS, features)?;
    if let Some(data) = data {
        x.slice_mut(ndarray::s![..known, ..]).zip_mut_with(&data.inputs(), |x, &v| *x = E::of(f64::from(v)));
    }
    let mut stream = Seed(0).stream("proof", features as u64);
    for f in 0..features {
        let (low, high) = range(f);
        x.slice_mut(ndarray::s![known.., f]).mapv_inplace(|_: E| E::of(stream.uniform(low, high)));
    }
    Ok(x)
}

fn run<E: Element>(model: &Model, inputs: &Array2<E>) -> Result<Array2<E>> {
    let plan = model.meta.plan.clone().unwrap_or_default();
    Session::new(model, &plan)?.run(inputs.view())
}

fn compare<E: Element>(a_name: &str, b_name: &str, a: &Array2<E>, b: &Array2<E>, tolerance: f64) -> Proof {
    let mut proof = Proof {
        a: a_name.into(),
        b: b_name.into(),
        inputs: a.nrows(),
        max_abs_diff: 0.0,
        max_rel_diff: 0.0,
        labels_differ: 0,
        tolerance,
        equal: true,
        worst_input: 0,
    };
    let largest = |row: ndarray::ArrayView1<'_, E>| row.iter().fold(0.0, |m: f64, v| m.max(v.wide().abs()));
    // Rounding errors scale with the terms of a sum. Where terms cancel, the output is small and its rounding error is
    // not. So the mean size of the outputs is the smallest scale.
    let sizes: Vec<f64> = a.rows().into_iter().map(largest).filter(|size| size.is_finite()).collect();
    let usual = (sizes.iter().sum::<f64>() / sizes.len().max(1) as f64).max(1e-6);
    for (i, (a, b)) in a.rows().into_iter().zip(b.rows()).enumerate() {
        let size = largest(a).max(usual);
        let a: Vec<f64> = a.iter().map(|v| v.wide()).collect();
        let b: Vec<f64> = b.iter().map(|v| v.wide()).collect();
        // Comparisons with NaN are false, so values that are not finite count as infinitely far from everything.
        let (diff, relative) = match a.iter().chain(&b).all(|v| v.is_finite()) {
            true => {
                let diff = a.iter().zip(&b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                (diff, diff / size)
            }
            false => (f64::INFINITY, f64::INFINITY),
        };
        if relative > proof.max_rel_diff {
            proof.max_rel_diff = relative;
            proof.worst_input = i;
        }
        proof.max_abs_diff = proof.max_abs_diff.max(diff);
        let (top, second) = top_two(&a);
        let clear = second.is_none_or(|s| a[top] - a[s] > tolerance * size);
        proof.labels_differ += usize::from(clear && top_two(&b).0 != top);
    }
    proof.equal = proof.max_rel_diff <= tolerance && proof.labels_differ == 0;
    proof
}

/// Indices of the largest and the second largest value.
fn top_two(values: &[f64]) -> (usize, Option<usize>) {
    let top = crate::backend::first_largest(values);
    let second = (0..values.len()).filter(|&i| i != top).max_by(|&i, &j| values[i].total_cmp(&values[j]));
    (top, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn differences_are_relative_to_the_sample() {
        let a = array![[100.0f64, 50.0], [1.0, 2.0]];
        let b = array![[100.0005, 50.0], [1.0, 2.0]];
        let p = compare("a", "b", &a, &b, 1e-5);
        assert!(p.equal && (p.max_rel_diff - 5e-6).abs() < 1e-9 && p.worst_input == 0, "{p:?}");
        assert!(!compare("a", "b", &a, &b, 1e-6).equal);
    }

    /// A regression passes through zero; there, one rounding of f32 is more than 1e-5 of the output.
    #[test]
    fn an_output_near_zero_is_compared_with_what_outputs_usually_are() {
        let a = array![[1.0f64], [-1.0], [0.001]];
        let p = compare("a", "b", &a, &array![[1.0], [-1.0], [0.001_000_1]], 1e-5);
        assert!(p.equal && (p.max_rel_diff - 1e-7 / 0.667).abs() < 1e-9 && p.worst_input == 2, "{p:?}");
        assert!(!compare("a", "b", &a, &array![[1.0], [-1.0], [0.001_1]], 1e-5).equal);
        assert!(!compare("a", "b", &array![[0.0f64]], &array![[1e-9]], 1e-5).equal);
    }

    #[test]
    fn labels_count_only_where_they_are_clear() {
        let a = array![[1.0f64, 1.0 + 1e-9]];
        let b = array![[1.0 + 1e-9, 1.0]];
        assert!(compare("a", "b", &a, &b, 1e-5).equal);
        let b = array![[1.1, 1.0]];
        assert!(!compare("a", "b", &a, &b, 1e-5).equal);
        assert_eq!(compare("a", "b", &array![[1.0f64, 1.2]], &array![[1.3, 1.2]], 0.15).labels_differ, 1);
    }

    #[test]
    fn nan_is_never_equal() {
        for bad in [f64::NAN, f64::INFINITY] {
            let (a, b) = (array![[1.0], [bad], [2.0]], array![[1.0], [2.0], [2.0]]);
            for (a, b) in [(&a, &a), (&a, &b), (&b, &a)] {
                let p = compare("a", "b", a, b, 1e-5);
                assert_eq!((p.equal, p.worst_input, p.max_rel_diff), (false, 1, f64::INFINITY), "{p:?}");
            }
        }
    }
}
