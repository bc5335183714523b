//! How small files are.

use crate::models;
use spectral_core::{Reference, Seed};
use spectral_io::{Encoding, Others, TensorReport, encodings, to_bytes};
use spectral_layers::prelude::*;

const RAW: f64 = 4e6;

fn weight(model: &spectral_core::Model) -> TensorReport {
    encodings(model).unwrap().into_iter().find(|t| t.name.ends_with("weight")).unwrap()
}

#[test]
fn masked_layers_of_1000x1000_keep_the_bars() {
    let dense = to_bytes(&models::square(1.0)).unwrap().len() as f64;
    let cases = [
        (1.0, Encoding::Dense, 1.001 * RAW),
        (0.1, Encoding::Gaps, 0.14 * dense),
        (0.01, Encoding::Gaps, 0.02 * dense),
    ];
    for (density, encoding, bar) in cases {
        let model = models::square(density);
        let bytes = to_bytes(&model).unwrap().len() as f64;
        println!("density {density}: {:.4} of dense", bytes / dense);
        assert_eq!(weight(&model).encoding, encoding);
        assert!(bytes <= bar, "density {density}: {bytes} bytes, allowed are {bar}");
    }
}

#[test]
fn sparse_layers_of_1000x1000_keep_the_bars() {
    for (density, share) in [(0.1, 0.14), (0.01, 0.02)] {
        let model = Network::new(1000).layer(models::sparse_layer(1000, density)).build(&Reference, Seed(6)).unwrap();
        let report = weight(&model);
        assert_eq!((report.others, report.dense_bytes), (Others::Absent, 4_000_000));
        let bytes = to_bytes(&model).unwrap().len() as f64;
        assert!(bytes <= share * RAW, "density {density}: {bytes} bytes");
    }
}

#[test]
fn each_encoding_is_chosen_where_it_is_smallest() {
    let network = |inputs: usize, units: usize| Network::new(inputs).dense(units, Identity);
    let mut failed = Vec::new();
    let mut check = |what: &str, inputs: usize, units: usize, kept: &dyn Fn(usize, usize) -> bool, wanted: Encoding| {
        let mut model = network(inputs, units).build(&Reference, Seed(7)).unwrap();
        let (params, backend) = model.params_mut();
        let id = params.by_name("dense1.weight").unwrap();
        let mask = spectral_core::Mask::from_fn(inputs * units, |i| !kept(i / inputs, i % inputs));
        params.prune(backend, id, &mask).unwrap();
        let report = weight(&model);
        if report.encoding != wanted || report.stored != params_kept(&model) {
            failed.push(format!("{what}: {report:?}"));
        }
    };
    check("nothing pruned", 50, 40, &|_, _| true, Encoding::Dense);
    check("half pruned", 50, 40, &|r, c| (r + c) % 2 == 0, Encoding::Bitmask);
    check("a twentieth kept", 200, 40, &|r, c| (r + c) % 20 == 0, Encoding::Gaps);
    check("one entry a row, far apart", 5_000, 40, &|_, c| c == 3, Encoding::CsrU16);
    check("one entry a row, farther apart", 70_000, 40, &|_, c| c == 3, Encoding::CsrU32);
    assert!(failed.is_empty(), "{failed:#?}");
}

fn params_kept(model: &spectral_core::Model) -> u64 {
    let id = model.params().by_name("dense1.weight").unwrap();
    model.params().get(id).kept() as u64
}

#[test]
fn zeros_without_a_mask_are_left_out_but_stay_free() {
    let mut model = Network::new(64).dense(64, Identity).build(&Reference, Seed(8)).unwrap();
    let (params, backend) = model.params_mut();
    let id = params.by_name("dense1.weight").unwrap();
    params.edit(backend, id, |t| backend.fill(0.0, t)).unwrap();
    let report = weight(&model);
    assert_eq!((report.others, report.stored), (Others::Zero, 0));
    let again = spectral_io::from_bytes(&to_bytes(&model).unwrap(), &Reference).unwrap();
    assert_eq!(again.params().get(id).pruned(), None);
    assert_eq!(models::differences(&model, &again), Vec::<String>::new());
}

/// A run on Iris: 403 numbers in the dense model, 139 after pruning half the units and compacting. Histories, plans and
/// settings must not outweigh that.
#[test]
fn short_networks_come_out_smaller() {
    let bytes = |stage: &str| {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v1/iris/{stage}.spectral"));
        let mut model = spectral_io::load(path, &Reference).unwrap();
        // Hashes of version 1 would be carried along, those of a run today are not.
        model.meta.alias = None;
        let bytes = to_bytes(&model).unwrap().len() as f64;
        assert_eq!(spectral_io::file_bytes(&model).unwrap() as f64, bytes);
        bytes
    };
    let dense = bytes("dense");
    for (stage, bar) in [("pruned", 0.75), ("compact", 0.55), ("sparse", 0.6)] {
        let ratio = bytes(stage) / dense;
        println!("{stage}: {ratio:.3} of {dense} bytes");
        assert!(ratio <= bar, "{stage}: {ratio:.3} of the dense file, allowed are {bar}");
    }
}
