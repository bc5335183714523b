//! File to model.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::container::Opened;
use crate::header::{Digested, Header, NodeRecord};
use crate::layout::{MODEL, place_all};
use crate::source::{Data, Source};
use crate::{Error, Result, codec, decode, inspect, v1};
use spectral_core::{
    Alias, BackendHandle, DType, Graph, HashVersion, IntoBackend, LayerEntry, Limits, Model, Node, ParamId, Params,
    Role, registry,
};
use std::collections::HashSet;
use std::path::Path;

/// Loads the model at `path` onto a backend, to the bits that were saved. Values are read to where they stay, so that
/// it takes little memory beyond the model.
///
/// # Errors
/// The file cannot be read, is not a model file of a known version, is damaged, needs layers that no linked crate
/// registered, or the device failed.
pub fn load(path: impl AsRef<Path>, backend: impl IntoBackend) -> Result<Model> {
    let path = path.as_ref();
    let opened = Source::open(path).and_then(|source| Opened::new(MODEL, source));
    opened.and_then(|file| model(file, backend.into_backend())).map_err(|e| e.in_file(path))
}

/// Loads a model from the bytes of a file.
///
/// # Errors
/// As [`load`], except for reading.
pub fn from_bytes(file: &[u8], backend: impl IntoBackend) -> Result<Model> {
    model(Opened::new(MODEL, Source::Memory(file))?, backend.into_backend())
}

/// The header of a model file, every section in its place.
pub(crate) fn header<'a>(file: &'a Opened<'_>) -> Result<Header<'a>> {
    let mut header = match file.prefix.version {
        1 => v1::header(&file.prefix, &file.header.records)?,
        _ => Header::read(&file.header)?,
    };
    place_all(&file.prefix, header.sections_mut())?;
    Ok(header)
}

fn model(file: Opened<'_>, backend: BackendHandle) -> Result<Model> {
    let header = header(&file)?;
    if !decode::within_limits(&header.params, file.prefix.total) {
        return Err(Error::damaged("the header", "its tensors are out of all proportion to the length of the file"));
    }
    let meta = header.meta.read()?;
    let graph = graph(&header, file.prefix.total)?;
    let dtype = check_params(&header, &graph)?;
    let data = Data::new(&file.source, &file.prefix, &header.sections())?;
    let params = params(&header, &data, &backend)?;
    let mut model = Model::from_parts(graph, params, backend, dtype, meta)?;
    let hash = header.hash.read()?;
    if hash.version() == HashVersion::V1 {
        // Histories and deltas of that time name the model by this hash.
        model.meta.alias = Some(Alias { hash: model.content_hash()?, version_1: hash });
    }
    Ok(model)
}

/// Builds the layers and checks how they are connected.
fn graph(header: &Header<'_>, bytes: u64) -> Result<Graph> {
    let limits = Limits::get()?;
    let mut graph = Graph::new(inspect::shape("input", &header.input)?)?;
    limits.check_sample("input", graph.input().len(), Some(bytes))?;
    for record in &header.nodes {
        let config = codec::from_json(record.name, record.config)?;
        let layer = registry::find::<LayerEntry>(record.kind)?.read(record.version, config)?;
        let inputs = record.inputs.iter().map(inspect::source).collect::<Result<_>>()?;
        let params = param_ids(record, header.params.len())?;
        let index = graph.add(Node { name: record.name.into(), layer, inputs, params })?;
        limits.check_sample(record.name, graph.shape(spectral_core::Source::Node(index)).len(), Some(bytes))?;
    }
    Ok(graph)
}

/// The ids of a node's parameters, each in range and named once.
fn param_ids(record: &NodeRecord<'_>, count: usize) -> Result<Vec<ParamId>> {
    let mut ids: Vec<ParamId> = Vec::new();
    let mut seen = HashSet::new();
    for id in record.params.iter().map(|&p| ParamId(p)) {
        let part = || format!("node `{}`", record.name);
        if id.index() >= count {
            return Err(Error::damaged(part(), format!("it refers to parameter {}, of {count}", id.0)));
        }
        if !seen.insert(id) {
            return Err(Error::damaged(part(), format!("it refers to parameter {} twice", id.0)));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Checks the parameter table against what the layers ask for, before anything is allocated for it.
fn check_params(header: &Header<'_>, graph: &Graph) -> Result<DType> {
    let used: HashSet<ParamId> = graph.nodes().iter().flat_map(|n| n.params.iter().copied()).collect();
    let mut names = HashSet::new();
    for (index, record) in header.params.iter().enumerate() {
        let bad = |problem: &str| Err(Error::damaged(format!("parameter {index}"), problem));
        if record.name.is_empty() || record.name.contains(char::is_control) {
            return bad("its name is empty or has control characters");
        }
        if !names.insert(record.name) {
            return bad("another parameter has its name");
        }
        if !u32::try_from(index).is_ok_and(|id| used.contains(&ParamId(id))) {
            return bad("no layer has it");
        }
    }
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
