//! A file that lies about a length costs little memory, whatever the lie.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

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

fn sign(file: &mut [u8], header: usize) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..12]);
    hasher.update(&file[16..32 + header]);
    file[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// One test, because the counters are the process's.
#[test]
fn a_lie_is_cheap() {
    no_lie_about_a_length_takes_more_than_64_mib();
    a_layer_that_is_larger_than_its_values_is_refused();
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
    let header = u64::from_le_bytes(good[24..32].try_into().unwrap()) as usize;
    assert!(peak(&good) < 1 << 20, "a small model takes little memory");
    let mut worst = 0;
    for at in 16..32 + header - 8 {
        for lie in [u64::MAX, 1 << 63, 1 << 40, 1 << 32, 60 << 20, 1 << 24, 1 << 20, 1 << 16] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            sign(&mut bad, header);
            worst = worst.max(peak(&bad));
        }
    }
    println!("worst: {worst} bytes");
    assert!(worst <= LIMIT, "{worst} bytes");
}

fn a_layer_that_is_larger_than_its_values_is_refused() {
    let model = Network::new(11).dense(13, Identity).build(&Reference, Seed(1)).unwrap();
    let good = to_bytes(&model).unwrap();
    let header = u64::from_le_bytes(good[24..32].try_into().unwrap()) as usize;
    let units = good.windows(10).position(|w| w == br#""units":13"#).expect("the configuration is JSON");
    let mut bad = good.clone();
    bad[units + 8..units + 10].copy_from_slice(b"99");
    sign(&mut bad, header);
    assert!(from_bytes(&bad, &Reference).is_err());
    assert!(peak(&bad) < 1 << 20);
}
