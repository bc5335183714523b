//! The suite that every criterion must pass.

#[test]
fn the_criterion_keeps_the_rules() {
    spectral_testkit::pruner::conformance(&energy::Energy::default()).unwrap();
}
