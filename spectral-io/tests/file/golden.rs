//! Files of format version 2 keep loading, and come out the same when saved again.
//!
//! `SPECTRAL_WRITE_GOLDEN=1 cargo test -p spectral-io golden` writes files that are missing.

use crate::models;
use spectral_core::{DType, Reference};
use spectral_io::{from_bytes, inspect, save, to_bytes};
use std::path::Path;

#[test]
fn golden_files_load_and_save_identically() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2");
    let mut failed = Vec::new();
    for dtype in [DType::F32, DType::F64] {
        for (name, model) in models::all(dtype) {
            let path = folder.join(format!("{name}-{dtype}.spectral"));
            if std::env::var_os("SPECTRAL_WRITE_GOLDEN").is_some() && !path.exists() {
                save(&path, &model).unwrap();
            }
            let bytes = std::fs::read(&path).unwrap();
            let loaded = from_bytes(&bytes, &Reference).unwrap();
            if to_bytes(&loaded).unwrap() != bytes {
                failed.push(format!("{name} {dtype}: other bytes when saved again"));
            }
            if inspect(&bytes).unwrap().hash != loaded.content_hash().unwrap() {
                failed.push(format!("{name} {dtype}: another content hash"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
