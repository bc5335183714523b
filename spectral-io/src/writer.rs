//! Model to file.

use crate::codec::{self, BINCODE};
use crate::decode::within_limits;
use crate::encode::{self, Choice};
use crate::header::{Header, NodeRecord, ParamRecord, SourceRecord};
use crate::inspect::TensorReport;
use crate::layout::{PREFIX, Prefix, Sections};
use crate::{Error, Result};
use spectral_core::{ContentHash, Model, Source};
use std::io::Write;
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
    let refused = |source| Error::Write { path: path.into(), source };
    let mut file = File::new(model).map_err(|e| e.in_file(path))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".spectral-");
    // A temporary file is private by default; a model is as readable as any other new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder).map_err(refused)?;
    file.write(temporary.as_file_mut()).map_err(refused)?;
    temporary.as_file().sync_all().map_err(refused)?;
    temporary.persist(path).map_err(|e| refused(e.error))?;
    Ok(file.report)
}

/// The bytes that [`save`] writes.
///
/// # Errors
/// A layer cannot give its configuration, or the device failed.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let mut file = File::new(model)?;
    let mut bytes = Vec::new();
    file.write(&mut bytes).map_err(|e| Error::Unsupported(e.to_string()))?;
    Ok(bytes)
}

/// How [`save`] would store each parameter.
///
/// # Errors
/// The device failed.
pub fn encodings(model: &Model) -> Result<Vec<TensorReport>> {
    let (records, _) = tensors(model)?;
    records.iter().map(TensorReport::new).collect()
}

/// A file that is ready to be written.
struct File {
    prefix: [u8; PREFIX],
    header: Vec<u8>,
    data: u64,
    sections: Sections,
    report: FileReport,
}

impl File {
    fn new(model: &Model) -> Result<Self> {
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
        let header_bytes = codec::encode(&header)?;
        let data = Prefix::new(BINCODE, &header_bytes, 0).data();
        let total = match header.params.is_empty() {
            true => (PREFIX + header_bytes.len()) as u64,
            false => data + sections.end(),
        };
        let report = FileReport {
            bytes: total,
            header_bytes: header_bytes.len() as u64,
            hash,
            tensors: header.params.iter().map(TensorReport::new).collect::<Result<_>>()?,
        };
        let prefix = Prefix::new(BINCODE, &header_bytes, total).to_bytes();
        Ok(Self { prefix, header: header_bytes, data, sections, report })
    }

    fn write(&mut self, to: &mut impl Write) -> std::io::Result<()> {
        to.write_all(&self.prefix)?;
        to.write_all(&self.header)?;
        let mut at = (self.prefix.len() + self.header.len()) as u64;
        for (record, bytes) in self.sections.iter() {
            let start = self.data + record.offset;
            // Less than one alignment.
            to.write_all(&vec![0; (start - at) as usize])?;
            to.write_all(bytes)?;
            at = start + record.len;
        }
        to.flush()
    }
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
