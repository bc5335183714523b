//! Whatever happens to a file: an error or an equal model, never a panic.

use crate::models;
use crate::packed::{Parts, sign};
use spectral_core::{DType, Reference};
use spectral_io::{Error, VERSION, from_bytes, inspect, load, read_header, to_bytes};

fn files() -> Vec<(&'static str, Vec<u8>)> {
    models::all(DType::F32).into_iter().map(|(name, m)| (name, to_bytes(&m).unwrap())).collect()
}

#[test]
fn a_flipped_byte_is_an_error() {
    for (name, good) in files() {
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff, 0x20] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                assert!(from_bytes(&bad, &Reference).is_err(), "{name}: byte {at} with {flip:02x}");
            }
        }
    }
}

#[test]
fn a_lying_header_with_a_matching_checksum_never_panics() {
    for (name, good) in files() {
        let parts = Parts::of(&good);
        assert!(from_bytes(&parts.file(), &Reference).is_ok(), "{name}: taken apart and put together again");
        let mut loaded = 0;
        let mut try_it = |bad: Vec<u8>, at: String| {
            let _ = inspect(&bad);
            // Names, penalties and meta data may change freely; what loads must save and load again.
            if let Ok(model) = from_bytes(&bad, &Reference) {
                loaded += 1;
                let again = from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
                assert_eq!(again.params().kept(), model.params().kept(), "{name}: {at}");
            }
        };
        for flip in [0x01, 0x02, 0x10, 0x80, 0xff] {
            for at in 8..32 {
                let mut bad = good.clone();
                bad[at] ^= flip;
                if u64::from_le_bytes(bad[24..32].try_into().unwrap()) < bad.len() as u64 - 32 {
                    sign(&mut bad);
                }
                try_it(bad, format!("byte {at}"));
            }
            for at in 0..parts.digests.len() {
                let mut bad = parts.clone();
                bad.digests[at] ^= flip;
                try_it(bad.file(), format!("hash byte {at}"));
            }
            for at in 0..parts.records.len() {
                let mut bad = parts.clone();
                bad.records[at] ^= flip;
                try_it(bad.file(), format!("record byte {at}"));
            }
        }
        assert!(loaded > 0, "{name}: no change of the header was accepted, so the checksum was not renewed");
    }
}

/// A compressed header that was changed is refused or read, whatever comes out of it.
#[test]
fn a_damaged_compression_with_a_matching_checksum_never_panics() {
    for (_, good) in files() {
        let header = u64::from_le_bytes(good[24..32].try_into().unwrap()) as usize;
        for at in 32..32 + header {
            for flip in [0x01, 0x04, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                sign(&mut bad);
                let _ = (inspect(&bad), from_bytes(&bad, &Reference));
            }
        }
    }
}

#[test]
fn a_truncated_file_is_an_error() {
    for (name, good) in files() {
        for length in 0..good.len() {
            let error = from_bytes(&good[..length], &Reference).unwrap_err();
            assert!(!error.to_string().is_empty(), "{name}: {length}");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(from_bytes(&longer, &Reference).unwrap_err().to_string().contains("bytes long"), "{name}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let good = to_bytes(&models::dense(DType::F32)).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let first = 32 + u64::from_le_bytes(good[24..32].try_into().unwrap()) as usize;
    let newer = VERSION + 1;
    let cases: [(&str, Vec<u8>, String); 7] = [
        ("empty", vec![], "not a model file".into()),
        ("text", b"spectral network".to_vec(), "not a model file".into()),
        ("cut", good[..20].to_vec(), "it ends after 20 bytes".into()),
        (
            "newer",
            changed(&|b| b[8] = newer as u8),
            format!("format version {newer}, this program reads up to {VERSION}"),
        ),
        ("codec", changed(&|b| (b[10] = 9, sign(b)).0), "does not know codec 9".into()),
        ("header", changed(&|b| b[40] ^= 1), "the header is damaged: its checksum".into()),
        ("values", changed(&|b| b[first] ^= 1), "`dense1.weight` is damaged: its checksum does not match".into()),
    ];
    let mut failed = Vec::new();
    for (name, bytes, wanted) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path, &Reference).unwrap_err().to_string();
        if !error.contains(&wanted) || !error.starts_with(&path.display().to_string()) || error.contains('\n') {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    let missing = folder.path().join("missing");
    assert!(matches!(load(&missing, &Reference), Err(Error::Read { .. })));
    assert!(matches!(read_header(&missing), Err(Error::Read { .. })));
    assert!(load(folder.path(), &Reference).is_err(), "a folder is not a file");
}
