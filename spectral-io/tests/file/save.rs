//! Writing is all or nothing.

use crate::models;
use spectral_core::{DType, Reference};
use spectral_io::{Error, load, save};
use std::fs;

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn saving_replaces_the_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.spectral");
    fs::write(&path, "something else").unwrap();
    let model = models::sparse(DType::F32);
    save(&path, &model).unwrap();
    assert_eq!(names(folder.path()), ["m.spectral"]);
    assert_eq!(models::differences(&model, &load(&path, &Reference).unwrap()), Vec::<String>::new());
}

#[test]
fn a_failed_save_leaves_things_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("folder");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("x"), "x").unwrap();
    // The last step, putting the file in its place, cannot succeed.
    let error = save(&occupied, &models::dense(DType::F32)).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(error.to_string().starts_with(&occupied.display().to_string()), "{error}");
    assert_eq!(names(folder.path()), ["folder"]);
    let missing = folder.path().join("no/such/folder/m.spectral");
    assert!(matches!(save(&missing, &models::dense(DType::F32)), Err(Error::Write { .. })));
    assert_eq!(names(folder.path()), ["folder"]);
}

#[cfg(unix)]
#[test]
fn a_saved_file_is_as_readable_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("m.spectral"), folder.path().join("plain"));
    save(&ours, &models::dense(DType::F32)).unwrap();
    fs::write(&plain, "").unwrap();
    let mode = |p: &std::path::Path| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}
