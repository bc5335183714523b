//! Parents are found by what they are.

use crate::models;
use spectral_core::{DType, Reference};
use spectral_io::{find_by_hash, load, save};
use std::fs;

#[test]
fn the_model_is_found_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, model) in models::all(DType::F32) {
        save(at(&format!("{name}.spectral")), &model).unwrap();
    }
    fs::write(at("aaa.spectral"), "no model at all").unwrap();
    let wanted = models::sparse(DType::F32);
    let hash = wanted.content_hash().unwrap();
    let found = find_by_hash(folder.path(), hash).unwrap().unwrap();
    assert_eq!(found, at("sparse.spectral"));
    assert_eq!(models::differences(&wanted, &load(&found, &Reference).unwrap()), Vec::<String>::new());
    fs::rename(at("sparse.spectral"), at("sparse.backup")).unwrap();
    assert_eq!(find_by_hash(folder.path(), hash).unwrap(), None);
    assert!(find_by_hash(at("nowhere"), hash).is_err());
}

#[test]
fn a_header_alone_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.spectral");
    let model = models::dense(DType::F32);
    save(&path, &model).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(find_by_hash(folder.path(), model.content_hash().unwrap()).unwrap(), None);
}
