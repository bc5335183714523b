//! A file that lies about a length costs little memory, whatever the lie.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

#[path = "file/packed.rs"]
mod packed;

use packed::Parts;
use spectral_core::{Mask, Reference, Seed};
use spectral_io::{from_bytes, inspect, to_bytes};
use spectral_layers::prelude::*;
use spectral_testkit::Counting;

const LIMIT: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The most memory that reading `file` takes at a time, beyond what is in use.
fn peak(file: &[u8]) -> usize {
    let reading = || {
        let _ = inspect(file);
        drop(from_bytes(file, &Reference));
    };
    ALLOCATOR.during(reading).peak
}

/// One test, because the counters are the process's.
#[test]
fn a_lie_is_cheap() {
    no_lie_about_a_length_takes_more_than_64_mib();
    a_layer_that_is_larger_than_its_values_is_refused();
    large_models_are_hashed_saved_and_loaded_with_little_memory_beyond_them();
}

/// Of a model of 16 MB.
fn large_models_are_hashed_saved_and_loaded_with_little_memory_beyond_them() {
    const MODEL: usize = 16_000_000;
    const LITTLE: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.spectral");
    let mut model = Network::new(2000).dense(2000, Identity).build(&Reference, Seed(2)).unwrap();
    let hashing = ALLOCATOR.during(|| assert!(model.content_hash().is_ok())).peak;
    let saving = ALLOCATOR.during(|| drop(spectral_io::save(&path, &model).unwrap())).peak;
    let sizing = ALLOCATOR.during(|| assert!(spectral_io::file_bytes(&model).is_ok())).peak;
    let loading = ALLOCATOR.during(|| drop(spectral_io::load(&path, &Reference).unwrap())).peak;
    // A third of the weights is left: masks, and the values that are left, are in memory once while they are written.
    let (params, backend) = model.params_mut();
    let id = params.by_name("dense1.weight").unwrap();
    params.prune(backend, id, &Mask::from_fn(4_000_000, |i| i % 3 > 0)).unwrap();
    let pruned = ALLOCATOR.during(|| drop(spectral_io::save(&path, &model).unwrap())).peak;
    println!("hash {hashing}, save {saving}, size {sizing}, load {loading}; pruned: save {pruned}");
    assert!(hashing < LITTLE, "hashing takes {hashing} bytes");
    assert!(saving < LITTLE + MODEL / 8 && sizing < LITTLE + MODEL / 8, "saving takes {saving} bytes");
    assert!(loading < MODEL + LITTLE, "loading takes {loading} bytes");
    assert!(pruned < MODEL, "saving takes {pruned} bytes of a pruned model");
}

fn no_lie_about_a_length_takes_more_than_64_mib() {
    let sparse: spectral_layers::Sparse =
        serde_json::from_value(serde_json::json!({ "units": 6, "density": 0.3 })).unwrap();
    let network = Network::new(40).masked(7, Relu, 0.1).layer(sparse).dense(3, Identity);
    let mut model = network.build(&Reference, Seed(1)).unwrap();
    let (params, backend) = model.params_mut();
    let id = params.by_name("dense1.weight").unwrap();
    params.prune(backend, id, &Mask::all(params.get(id).value().len())).unwrap();
    let good = to_bytes(&model).unwrap();
    assert!(peak(&good) < 1 << 20, "a small model takes little memory");
    let parts = Parts::of(&good);
    let mut worst = 0;
    for at in 0..parts.records.len() {
        // A byte of 251 to 253 says that a number of 2, 4 or 8 bytes follows.
        for lie in [u64::MAX, 1 << 63, 1 << 40, 1 << 32, 60 << 20, 1 << 24, 1 << 20, 1 << 16] {
            let mut bad = parts.clone();
            let long = [&[253][..], &lie.to_le_bytes()].concat();
            bad.records.splice(at..=at, long);
            worst = worst.max(peak(&bad.file()));
        }
    }
    println!("worst: {worst} bytes");
    assert!(worst <= LIMIT, "{worst} bytes");
}

fn a_layer_that_is_larger_than_its_values_is_refused() {
    let model = Network::new(11).dense(13, Identity).build(&Reference, Seed(1)).unwrap();
    let good = to_bytes(&model).unwrap();
    let mut bad = Parts::of(&good);
    let units = bad.records.windows(10).position(|w| w == br#""units":13"#).expect("the configuration is JSON");
    bad.records[units + 8..units + 10].copy_from_slice(b"99");
    assert!(from_bytes(&bad.file(), &Reference).is_err());
    assert!(peak(&bad.file()) < 1 << 20);
}
