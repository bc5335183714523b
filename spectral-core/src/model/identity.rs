//! The identity of a model: a hash over everything that determines what it computes.

use crate::backend::bytes::little_endian;
use crate::base::{DType, Error, Result};
use crate::model::canonical::{CanonicalConfig, CanonicalConfigs, encode_json};
use crate::model::{Model, Node, Param, Source};
use crate::tensor::{Mask, Shape};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The kind of this identity: the first bytes of what is hashed.
const DOMAIN: &[u8] = b"spectral model identity 2";

/// SHA-256, cut to 128 bits, of everything that determines a model's function: graph, values, masks, patterns.
///
/// As text it is `v2-` and 32 hexadecimal digits. Histories from version 1 of the file format have hashes of version 1,
/// without a prefix. Hashes of different versions are never equal, even for the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContentHash {
    version: HashVersion,
    digest: [u8; 16],
}

/// How a [`ContentHash`] was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashVersion {
    /// Over texts that programs with version 1 of the file format printed.
    V1,
    /// Over the canonical encoding of [`Model::content_hash`].
    V2,
}

impl ContentHash {
    /// The hash with this digest.
    pub fn new(version: HashVersion, digest: [u8; 16]) -> Self {
        Self { version, digest }
    }

    /// How it was computed.
    pub fn version(&self) -> HashVersion {
        self.version
    }

    /// Its bytes.
    pub fn digest(&self) -> [u8; 16] {
        self.digest
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.version {
            HashVersion::V1 => "",
            HashVersion::V2 => "v2-",
        })?;
        self.digest.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        let bad = || Error::Data(format!("`{text}` is not a content hash (`v2-` and 32 hexadecimal digits)"));
        let (version, digits) = match text.strip_prefix("v2-") {
            Some(digits) => (HashVersion::V2, digits),
            None => (HashVersion::V1, text.as_str()),
        };
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut digest = [0; 16];
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self { version, digest })
    }
}

impl Model {
    /// Hash of everything that determines the function: graph, values, masks, patterns. History, origin, penalties in
    /// the arena and what may train are not part of it.
    ///
    /// The hash covers a fixed encoding of meanings, described in `docs/file-format.md`. Renaming Rust types does not
    /// change it, and neither does a new setting of a layer that has its default; see
    /// [`CanonicalConfigs`](crate::model::CanonicalConfigs).
    ///
    /// Uses little memory beyond the model: values in main memory are read in place, values on a device one tensor at a
    /// time.
    ///
    /// # Errors
    /// A layer cannot give its settings, or the device failed.
    pub fn content_hash(&self) -> Result<ContentHash> {
        let mut hasher = Hasher::default();
        hasher.field(tag::DOMAIN, DOMAIN);
        let dtype = match self.dtype() {
            DType::F32 => 1,
            DType::F64 => 2,
        };
        hasher.field(tag::DTYPE, &[dtype]);
        hasher.shape(tag::INPUT, self.graph().input());
        let mut configs = CanonicalConfigs::default();
        for node in self.graph().nodes() {
            hasher.node(node, configs.of(&*node.layer)?);
        }
        for (_, param) in self.params().iter() {
            hasher.param(self, param)?;
        }
        Ok(hasher.finish())
    }
}

/// Numbers of fields. They never change. A new field gets a new number, and is left out if it adds no information.
mod tag {
    pub(super) const DOMAIN: u8 = 0;
    pub(super) const DTYPE: u8 = 1;
    pub(super) const INPUT: u8 = 2;
    pub(super) const NODE_NAME: u8 = 16;
    pub(super) const NODE_KIND: u8 = 17;
    pub(super) const NODE_VERSION: u8 = 18;
    pub(super) const NODE_CONFIG: u8 = 19;
    pub(super) const NODE_SOURCES: u8 = 20;
    pub(super) const NODE_PARAMS: u8 = 21;
    pub(super) const PARAM_NAME: u8 = 32;
    pub(super) const PARAM_SHAPE: u8 = 33;
    pub(super) const PARAM_VALUES: u8 = 34;
    pub(super) const PARAM_PRUNED: u8 = 35;
    pub(super) const PARAM_PATTERN: u8 = 36;
}

/// Collects fields: a number, a length in bytes, the bytes. So fields cannot run together.
#[derive(Default)]
struct Hasher(Sha256);

impl Hasher {
    fn start(&mut self, tag: u8, len: usize) {
        self.0.update([tag]);
        self.0.update((len as u64).to_le_bytes());
    }

    fn field(&mut self, tag: u8, bytes: &[u8]) {
        self.start(tag, bytes.len());
        self.0.update(bytes);
    }

    /// A field of numbers, one after the other.
    fn numbers<const N: usize>(&mut self, tag: u8, numbers: impl ExactSizeIterator<Item = [u8; N]>) {
        self.start(tag, numbers.len() * N);
        numbers.for_each(|n| self.0.update(n));
    }

    fn shape(&mut self, tag: u8, shape: Shape) {
        self.numbers(tag, shape.extents().iter().map(|e| (*e as u64).to_le_bytes()));
    }

    fn node(&mut self, node: &Node, canonical: &CanonicalConfig) {
        let mut config = Vec::new();
        encode_json(&canonical.config, &mut config);
        self.field(tag::NODE_NAME, node.name.as_bytes());
        self.field(tag::NODE_KIND, node.layer.kind().as_bytes());
        self.field(tag::NODE_VERSION, &canonical.version.to_le_bytes());
        self.field(tag::NODE_CONFIG, &config);
        let source = |source: &Source| {
            let (kind, index) = match source {
                Source::Input => (0, 0),
                Source::Node(n) => (1, *n as u64),
            };
            let mut bytes = [kind; 9];
            bytes[1..].copy_from_slice(&index.to_le_bytes());
            bytes
        };
        self.numbers(tag::NODE_SOURCES, node.inputs.iter().map(source));
        self.numbers(tag::NODE_PARAMS, node.params.iter().map(|id| id.0.to_le_bytes()));
    }

    fn param(&mut self, model: &Model, param: &Param) -> Result<()> {
        self.field(tag::PARAM_NAME, param.name.as_bytes());
        self.shape(tag::PARAM_SHAPE, param.full_shape());
        self.start(tag::PARAM_VALUES, param.value().len() * param.value().dtype().bytes());
        little_endian(&**model.backend(), param.value(), |bytes| self.0.update(bytes))?;
        if let Some(words) = param.pruned().map(Mask::words) {
            self.numbers(tag::PARAM_PRUNED, words.iter().map(|w| w.to_le_bytes()));
        }
        if let Some(pattern) = &param.pattern {
            self.start(tag::PARAM_PATTERN, 4 * (pattern.starts().len() + pattern.indices().len()));
            pattern.starts().iter().chain(pattern.indices()).for_each(|v| self.0.update(v.to_le_bytes()));
        }
        Ok(())
    }

    fn finish(self) -> ContentHash {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.0.finalize()[..16]);
        ContentHash::new(HashVersion::V2, digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_round_trip_as_text() {
        let mut hasher = Hasher::default();
        hasher.field(1, b"ab");
        hasher.field(1, b"c");
        let hash = hasher.finish();
        assert_eq!(ContentHash::try_from(hash.to_string()).unwrap(), hash);
        let old = ContentHash::new(HashVersion::V1, hash.digest());
        assert_eq!(ContentHash::try_from(old.to_string()).unwrap(), old);
        assert_eq!(hash.to_string(), format!("v2-{old}"));
        assert_ne!(old, hash);
        for bad in ["zz".repeat(16), "0".repeat(31), "v3-".to_owned() + &"0".repeat(32), "é".repeat(16)] {
            assert!(
                ContentHash::try_from(bad.clone()).unwrap_err().to_string().contains("not a content hash"),
                "{bad}"
            );
        }
    }

    #[test]
    fn fields_cannot_run_together() {
        let of = |fields: &[(u8, &[u8])]| {
            let mut hasher = Hasher::default();
            fields.iter().for_each(|(tag, bytes)| hasher.field(*tag, bytes));
            hasher.finish()
        };
        assert_ne!(of(&[(1, b"ab"), (1, b"c")]), of(&[(1, b"a"), (1, b"bc")]));
        assert_ne!(of(&[(1, b"ab")]), of(&[(2, b"ab")]));
    }
}
