//! Views of a spectral layer in direct space and in the space of its eigenvectors.

use crate::Result;
use ndarray::{Array2, s};
use spectral_core::{Error, Model, Param, Role, SpectralWeight};

/// The weights of node `node`, `[out, in]`: `basis * (lambda_in - lambda_out)`.
///
/// Masks are honoured, because pruned entries are zero in the factors; `direct_space` of spectraltools ignores them.
///
/// # Errors
/// The node does not exist or has no spectral factors, or the device failed.
pub fn weight(model: &Model, node: usize) -> Result<Array2<f64>> {
    let [basis, lambda_in, lambda_out] = factors(model, node)?;
    let backend = model.backend();
    let op = SpectralWeight { basis: basis.value(), lambda_in: lambda_in.value(), lambda_out: lambda_out.value() };
    let mut weight = backend.zeros(basis.value().shape(), model.dtype())?;
    backend.spectral_weight(&op, &mut weight)?;
    matrix(weight.shape().rows(), weight.shape().columns(), backend.download(&weight)?)
}

/// The eigenvector matrix `Phi = [[I, 0], [basis, I]]` of node `node`, `[in + out, in + out]`. Its inverse is
/// `2 I - Phi`.
///
/// # Errors
/// As [`weight`].
pub fn basis_matrix(model: &Model, node: usize) -> Result<Array2<f64>> {
    let [basis, ..] = factors(model, node)?;
    let (outputs, inputs) = (basis.value().shape().rows(), basis.value().shape().columns());
    let block = matrix(outputs, inputs, model.backend().download(basis.value())?)?;
    let mut phi = Array2::eye(inputs + outputs);
    phi.slice_mut(s![inputs.., ..inputs]).assign(&block);
    Ok(phi)
}

/// Both eigenvalue vectors of a spectral layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenvalues {
    /// Of the inputs.
    pub lambda_in: Spectrum,
    /// Of the outputs.
    pub lambda_out: Spectrum,
}

/// Some eigenvalues of a spectral layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// The values.
    pub values: Vec<f64>,
    /// Whether any of them trains.
    pub trains: bool,
}

/// The eigenvalues of node `node`: always both vectors, whether they train or not.
///
/// # Errors
/// As [`weight`].
pub fn eigenvalues(model: &Model, node: usize) -> Result<Eigenvalues> {
    let [_, lambda_in, lambda_out] = factors(model, node)?;
    let spectrum = |p: &Param| -> Result<Spectrum> {
        Ok(Spectrum { values: model.backend().download(p.value())?, trains: p.is_trainable() })
    };
    Ok(Eigenvalues { lambda_in: spectrum(lambda_in)?, lambda_out: spectrum(lambda_out)? })
}

/// Basis, lambda_in and lambda_out of a node, found by role, so that layers of other crates have these views too.
fn factors(model: &Model, node: usize) -> Result<[&Param; 3]> {
    let graph = model.graph();
    let Some(at) = graph.nodes().get(node) else {
        let problem = format!("there are {} nodes; `Graph::find` gives the index of a name", graph.nodes().len());
        return Err(Error::Graph { node: node.to_string(), problem }.into());
    };
    let by_role = |role| at.params.iter().map(|&id| model.params().get(id)).find(|p| p.role == role);
    match (by_role(Role::Basis), by_role(Role::EigenvalueIn), by_role(Role::EigenvalueOut)) {
        (Some(basis), Some(lambda_in), Some(lambda_out)) => Ok([basis, lambda_in, lambda_out]),
        _ => {
            let problem = format!("a `{}` layer has no eigenvalues; choose a spectral one", at.layer.kind());
            Err(Error::Graph { node: at.name.clone(), problem }.into())
        }
    }
}

fn matrix(rows: usize, columns: usize, values: Vec<f64>) -> Result<Array2<f64>> {
    let shaped = Array2::from_shape_vec((rows, columns), values);
    Ok(shaped.map_err(|e| Error::shape("matrix view", format!("[{rows}, {columns}]"), e))?)
}
