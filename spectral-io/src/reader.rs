//! File to model.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::container;
use crate::header::{Header, NodeRecord};
use crate::layout::{self, Data, MODEL};
use crate::{Error, Result, codec, decode, inspect};
use spectral_core::{
    BackendHandle, DType, Graph, IntoBackend, LayerEntry, Meta, Model, Node, ParamId, Params, Role, registry,
};
use std::path::Path;

/// Loads the model at `path` onto a backend, to the bits that were saved.
///
/// # Errors
/// The file cannot be read, is not a model file of a known version, is damaged, needs layers that no linked crate
/// registered, or the device failed.
pub fn load(path: impl AsRef<Path>, backend: impl IntoBackend) -> Result<Model> {
    let path = path.as_ref();
    let model = container::read(MODEL, path).and_then(|bytes| from_bytes(&bytes, backend));
    model.map_err(|e| e.in_file(path))
}

/// Loads a model from the bytes of a file.
///
/// # Errors
/// As [`load`], but for reading.
pub fn from_bytes(file: &[u8], backend: impl IntoBackend) -> Result<Model> {
    let backend = backend.into_backend();
    let (prefix, header): (_, Header<'_>) = container::open(MODEL, file)?;
    let sections = header.sections();
    layout::check_table(&prefix, &sections)?;
    if !decode::within_limits(&header.params, prefix.total) {
        return Err(Error::damaged("the header", "its tensors are out of all proportion to the length of the file"));
    }
    let meta: Meta = codec::from_json("meta data", header.meta)?;
    let graph = graph(&header)?;
    let dtype = check_params(&header, &graph)?;
    let data = Data::new(file, &prefix, &sections)?;
    let params = params(&header, &data, &backend)?;
    Ok(Model::from_parts(graph, params, backend, dtype, meta)?)
}

/// Builds the layers and checks how they are connected.
fn graph(header: &Header<'_>) -> Result<Graph> {
    let mut graph = Graph::new(inspect::shape("input", &header.input)?)?;
    for record in &header.nodes {
        let config = codec::from_json(record.name, record.config)?;
        let layer = (registry::find::<LayerEntry>(record.kind)?.build)(config)?;
        let inputs = record.inputs.iter().map(inspect::source).collect::<Result<_>>()?;
        let params = param_ids(record, header.params.len())?;
        graph.add(Node { name: record.name.into(), layer, inputs, params })?;
    }
    Ok(graph)
}

/// The ids of a node's parameters, each in range and named once.
fn param_ids(record: &NodeRecord<'_>, count: usize) -> Result<Vec<ParamId>> {
    let mut ids: Vec<ParamId> = Vec::new();
    for id in record.params.iter().map(|&p| ParamId(p)) {
        let part = || format!("node `{}`", record.name);
        if id.index() >= count {
            return Err(Error::damaged(part(), format!("it refers to parameter {}, of {count}", id.0)));
        }
        if ids.contains(&id) {
            return Err(Error::damaged(part(), format!("it refers to parameter {} twice", id.0)));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Checks the parameter table against what the layers ask for, before anything is allocated for it.
fn check_params(header: &Header<'_>, graph: &Graph) -> Result<DType> {
    for node in graph.nodes() {
        let specs = node.layer.params(&graph.input_shapes(&node.inputs))?;
        for (spec, id) in specs.iter().zip(&node.params) {
            let Some(record) = header.params.get(id.index()) else { continue };
            let shape = inspect::shape(record.name, &record.shape)?;
            let role: Role = inspect::role(record)?;
            if shape != spec.shape || role != spec.role {
                let problem =
                    format!("it is {} {shape}, its layer needs {} {}", role.name(), spec.role.name(), spec.shape);
                return Err(Error::damaged(format!("`{}`", record.name), problem));
            }
        }
    }
    header.params.first().map_or(Ok(DType::F32), inspect::dtype)
}

fn params(header: &Header<'_>, data: &Data<'_>, backend: &BackendHandle) -> Result<Params> {
    let mut params = Params::default();
    for record in &header.params {
        decode::param(record, data, &**backend, &mut params)?;
    }
    Ok(params)
}
