//! Taking masks off again.

use crate::support::*;
use spectral_core::Activation::*;
use spectral_layers::Network;
use spectral_prune::{Prune, UNMASK, unmask};

/// spectraltools C6 (`original_model`), C3: masks come off and the values under them come back.
#[test]
fn masks_come_off_and_values_come_back_from_the_model_before() {
    let network = Network::new(6).spectral(8, Relu).spectral(5, Relu).dense(2, Identity);
    let before = build(&network, 4);
    let mut m = build(&network, 4);
    Prune::by("eigenvalue").units().percentile(50.0).apply(&mut m, None).unwrap();
    set(&mut m, "dense1.bias", &[7.0, 8.0]);
    let (masked, lost) = (m.content_hash().unwrap(), m.params().total() - m.params().kept());
    let mut bare = m.duplicate().unwrap();
    assert_eq!(unmask(&mut m, Some(&before)).unwrap(), lost);
    assert_eq!(m.params().kept(), m.params().total());
    assert_eq!(values(&m, "dense1.bias"), [7.0, 8.0], "what was trained since stays");
    for name in ["spectral1.basis", "spectral1.lambda_out", "spectral2.basis", "spectral2.bias"] {
        assert_eq!(values(&m, name), values(&before, name), "{name}");
    }
    let last = m.meta.history.last().unwrap();
    assert_eq!((last.action.as_str(), last.parent, m.meta.history.len()), (UNMASK, masked, 2));
    assert_eq!(unmask(&mut bare, None).unwrap(), lost);
    assert_eq!(bare.params().kept(), bare.params().total());
    assert!(values(&bare, "spectral1.lambda_out").contains(&0.0));
    assert_eq!((unmask(&mut bare, None).unwrap(), bare.meta.history.len()), (0, 2));
}

#[test]
fn values_of_another_network_are_refused_and_the_masks_stay() {
    let mut m = build(&Network::new(6).spectral(8, Relu).dense(2, Identity), 4);
    Prune::by("eigenvalue").units().percentile(50.0).apply(&mut m, None).unwrap();
    let before = m.content_hash().unwrap();
    let other = build(&Network::new(6).spectral(9, Relu).dense(2, Identity), 4);
    let error = unmask(&mut m, Some(&other)).unwrap_err().to_string();
    assert!(error.contains("`spectral1.") && error.contains("before it was pruned"), "{error}");
    assert_eq!(m.content_hash().unwrap(), before);
}
