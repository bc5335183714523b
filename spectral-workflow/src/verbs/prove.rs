//! `prove MODEL OTHER...`

use crate::context::Context;
use crate::output::{Answer, columns};
use crate::run::difference_found;
use crate::{Failure, Result};
use spectral_core::{Model, Named, Proof, prove};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file that the others are compared with
    model: PathBuf,
    /// Model files to compare
    #[arg(required_unless_present = "backends")]
    others: Vec<PathBuf>,
    /// Data set to compare on, besides random inputs (the model's own test data, where it is at hand)
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    /// Largest relative difference that counts as equal
    #[arg(long)]
    tolerance: Option<f64>,
    /// Run the one model on several backends and compare those
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "others")]
    backends: Vec<String>,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<()> {
    let first = cx.model(&options.model)?;
    let others = others(cx, options, &first)?;
    let data = match &options.data {
        Some(set) => Some(cx.dataset_of(&first, Some(set))?.test),
        None => cx.own_test_data(&first)?,
    };
    let name = options.model.display().to_string();
    let named: Vec<Named<'_>> = others.iter().map(|(name, model)| Named { name, model }).collect();
    let proofs = prove(Named { name: &name, model: &first }, &named, data.as_ref(), options.tolerance)?;
    Answer::new(table(&proofs), &proofs)?.print(cx.format)?;
    match proofs.iter().find(|p| !p.equal) {
        None => Ok(()),
        Some(p) => Err(Failure::Check(format!(
            "`{}` differs from `{}`: {} at input {}, {} labels different, tolerance {:.0e}",
            p.b,
            p.a,
            difference_found(p),
            p.worst_input,
            p.labels_differ,
            p.tolerance
        ))),
    }
}

fn others(cx: &Context, options: &Options, first: &Model) -> Result<Vec<(String, Model)>> {
    let files = options.others.iter().map(|path| Ok((path.display().to_string(), cx.model(path)?)));
    let backends = options.backends.iter().map(|name| {
        let backend = cx.other_backend(name)?;
        Ok((name.clone(), first.to_backend(&backend, first.dtype())?))
    });
    files.chain(backends).collect()
}

fn table(proofs: &[Proof]) -> String {
    let rows: Vec<Vec<String>> = proofs
        .iter()
        .map(|p| {
            vec![
                p.b.clone(),
                p.inputs.to_string(),
                if p.max_rel_diff.is_finite() { format!("{:.1e}", p.max_rel_diff) } else { "not finite".into() },
                p.labels_differ.to_string(),
                format!("{:.0e}", p.tolerance),
                if p.equal { "equal" } else { "DIFFERENT" }.into(),
            ]
        })
        .collect();
    columns(&["model", "inputs", "max rel diff", "labels differ", "tolerance", "verdict"], &rows)
}
