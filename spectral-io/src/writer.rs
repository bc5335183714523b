//! Model to file.

use crate::codec;
use crate::container::Container;
use crate::decode::within_limits;
use crate::encode::{self, Choice};
use crate::header::{HashRecord, Header, NODES, NodeRecord, PARAMS, ParamRecord, SourceRecord};
use crate::inspect::TensorReport;
use crate::layout::MODEL;
use crate::meta::MetaRecord;
use crate::sections::Sections;
use crate::{Error, Result};
use spectral_core::{CanonicalConfig, CanonicalConfigs, ContentHash, Model, Source};
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
    file(model)?.0.to_bytes()
}

/// How many bytes [`save`] would write.
///
/// # Errors
/// A layer cannot give its configuration, or the device failed.
pub fn file_bytes(model: &Model) -> Result<u64> {
    Ok(file(model)?.0.bytes())
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
fn file(model: &Model) -> Result<(Container<'_>, FileReport)> {
    let hash = model.content_hash()?;
    let (params, sections) = tensors(model)?;
    let mut canonical = CanonicalConfigs::default();
    let mut configs = Vec::new();
    for node in model.graph().nodes() {
        let CanonicalConfig { version, config } = canonical.of(&*node.layer)?;
        configs.push((*version, codec::to_json(&node.name, config)?));
    }
    let nodes = model.graph().nodes().iter().zip(&configs).map(|(node, (version, config))| NodeRecord {
        name: &node.name,
        kind: node.layer.kind(),
        version: *version,
        config,
        inputs: node.inputs.iter().map(source).collect(),
        params: node.params.iter().map(|id| id.0).collect(),
    });
    let header = Header {
        hash: HashRecord::new(hash),
        input: model.graph().input().into(),
        nodes: nodes.collect(),
        params,
        meta: MetaRecord::new(&model.meta, hash)?,
    };
    check_counts(header.nodes.len(), header.params.len())?;
    let tensors = header.params.iter().map(TensorReport::new).collect::<Result<_>>()?;
    let file = Container::new(MODEL, header, sections)?;
    let report = FileReport { bytes: file.bytes(), header_bytes: file.header_bytes(), hash, tensors };
    Ok((file, report))
}

/// No file is written that a reader would refuse.
fn check_counts(nodes: usize, params: usize) -> Result<()> {
    for (what, count, most) in [("layers", nodes, NODES), ("parameters", params, PARAMS)] {
        if count > most {
            return Err(Error::Unsupported(format!("it has {count} {what}, a file holds {most}")));
        }
    }
    Ok(())
}

fn source(source: &Source) -> SourceRecord {
    match *source {
        Source::Input => SourceRecord::Input,
        Source::Node(n) => SourceRecord::Node(n as u64),
    }
}

/// The parameter table and the sections it points to.
fn tensors(model: &Model) -> Result<(Vec<ParamRecord<'_>>, Sections<'_>)> {
    let with = |choice: Choice| -> Result<_> {
        let mut sections = Sections::default();
        let records = model.params().iter();
        let records = records.map(|(_, p)| encode::param(p, &**model.backend(), choice, &mut sections));
        Ok((records.collect::<Result<Vec<_>>>()?, sections))
    };
    let (records, sections) = with(Choice::Smallest)?;
    if within_limits(&records, sections.bytes()) {
        return Ok((records, sections));
    }
    with(Choice::Proportional)
}
