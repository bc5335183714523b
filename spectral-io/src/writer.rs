//! Model to file.

use crate::codec;
use crate::container::Container;
use crate::decode::within_limits;
use crate::encode::{self, Choice};
use crate::header::{Header, NodeRecord, ParamRecord, SourceRecord};
use crate::inspect::TensorReport;
use crate::layout::{MODEL, Sections};
use crate::{Error, Result};
use spectral_core::{ContentHash, Model, Source};
use std::path::Path;

/// What was written.
#[derive(Debug, Clone)]
pub struct FileReport {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Length of the header in bytes.
    pub header_bytes: u64,
    /// Content hash of the model.
    pub hash: ContentHash,
    /// How each parameter is stored, by id.
    pub tensors: Vec<TensorReport>,
}

/// Writes `model` to `path`, all of it or nothing: a file that is there is replaced in one step.
///
/// # Errors
/// The system refuses to write, a layer cannot give its configuration, or the device failed.
pub fn save(path: impl AsRef<Path>, model: &Model) -> Result<FileReport> {
    let path = path.as_ref();
    let (file, report) = file(model).map_err(|e| e.in_file(path))?;
    file.save(path)?;
    Ok(report)
}

/// The bytes that [`save`] writes.
///
/// # Errors
/// A layer cannot give its configuration, or the device failed.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let (file, _) = file(model)?;
    file.to_bytes().map_err(|e| Error::Unsupported(e.to_string()))
}

/// How [`save`] would store each parameter.
///
/// # Errors
/// The device failed.
pub fn encodings(model: &Model) -> Result<Vec<TensorReport>> {
    let (records, _) = tensors(model)?;
    records.iter().map(TensorReport::new).collect()
}

/// The file of `model`, ready to be written.
fn file(model: &Model) -> Result<(Container, FileReport)> {
    let hash = model.content_hash()?;
    let (params, sections) = tensors(model)?;
    let configs = model.graph().nodes().iter().map(|n| codec::to_json(&n.name, &n.layer.config()?));
    let configs = configs.collect::<Result<Vec<_>>>()?;
    let nodes = model.graph().nodes().iter().zip(&configs).map(|(node, config)| NodeRecord {
        name: &node.name,
        kind: node.layer.kind(),
        inputs: node.inputs.iter().map(source).collect(),
        params: node.params.iter().map(|id| id.0).collect(),
        config,
    });
    let hash_text = hash.to_string();
    let header = Header {
        hash: &hash_text,
        input: model.graph().input().into(),
        nodes: nodes.collect(),
        params,
        meta: &codec::to_json("meta data", &model.meta)?,
    };
    let tensors = header.params.iter().map(TensorReport::new).collect::<Result<_>>()?;
    let file = Container::new(MODEL, &header, sections)?;
    let report = FileReport { bytes: file.bytes(), header_bytes: file.header_bytes(), hash, tensors };
    Ok((file, report))
}

fn source(source: &Source) -> SourceRecord {
    match *source {
        Source::Input => SourceRecord::Input,
        Source::Node(n) => SourceRecord::Node(n as u64),
    }
}

/// The parameter table and the sections it points to.
fn tensors(model: &Model) -> Result<(Vec<ParamRecord<'_>>, Sections)> {
    let with = |choice: Choice| -> Result<_> {
        let mut sections = Sections::default();
        let records = model.params().iter();
        let records = records.map(|(_, p)| encode::param(p, &**model.backend(), choice, &mut sections));
        Ok((records.collect::<Result<Vec<_>>>()?, sections))
    };
    let (records, sections) = with(Choice::Smallest)?;
    if within_limits(&records, sections.end()) {
        return Ok((records, sections));
    }
    with(Choice::Proportional)
}
