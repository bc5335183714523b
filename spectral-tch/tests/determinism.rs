//! The same bits again; alone in its process, because the number of threads is the process's.

#![cfg(feature = "libtorch")]

use spectral_core::BackendOptions;
use spectral_tch::Torch;
use std::sync::Arc;

#[test]
fn bits_come_again_as_far_as_is_promised() {
    let open = |threads| Ok(Arc::new(Torch::new(&BackendOptions { threads: Some(threads) })?) as _);
    println!("{}", spectral_testkit::backend::determinism(open).into_result().unwrap());
}
