//! The model file: one file that holds a network with its masks, patterns and history, and loads to the same bits.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "SPECTRAL"
//!      8     2  format version
//!     10     1  codec of the header
//!     11     1  zero
//!     12     4  CRC-32 of bytes 0 to 11, 16 to 31 and the header
//!     16     8  length of the whole file; there is nothing after it
//!     24     8  length of the header
//!     32     n  header: hashes and checksums, then graph, parameter table and meta data, compressed
//!               sections, those of at least 4096 bytes at a multiple of 64, zeros before them
//! ```
//!
//! All numbers are little-endian. Layer settings and the meta data are JSON inside the header, so that layers nobody
//! linked can still be listed. Every tensor takes the smallest of a few encodings, see [`Encoding`]; the positions of
//! the stored entries *are* its mask. The whole format is described in `docs/file-format.md`.
//!
//! A delta file ([`save_delta`]) has the same layout under the magic "SPECDELT": it holds what turns one model into
//! another of the same form, and the content hashes of both.
//!
//! Files of version 1 are read; files are written as version 2.
//!
//! Never does: computing with a model, deciding where files go, changing a file in place. Depends on
//! `spectral-core` only.

mod codec;
mod container;
mod decode;
mod delta;
mod encode;
mod error;
mod find;
mod header;
mod inspect;
mod layout;
mod meta;
mod positions;
mod reader;
mod sections;
mod source;
mod v1;
mod writer;

pub use delta::{DeltaReport, delta_from_bytes, delta_to_bytes, load_delta, save_delta};
pub use error::{Error, Result};
pub use find::{EXTENSION, find_by_hash, find_parent};
pub use inspect::{Encoding, Inspection, NodeInfo, Others, TensorReport, inspect, read_header};
pub use layout::{MAGIC, VERSION};
pub use reader::{from_bytes, load};
pub use writer::{FileReport, encodings, file_bytes, save, to_bytes};
