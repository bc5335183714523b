//! The suite that every backend must pass.

use spectral_core::BackendOptions;
use spectral_tch::Torch;

#[test]
fn libtorch_conforms() {
    let torch = Torch::new(&BackendOptions::default()).unwrap();
    let report = spectral_testkit::backend::conformance(&torch).into_result().unwrap();
    println!("{report}");
}
