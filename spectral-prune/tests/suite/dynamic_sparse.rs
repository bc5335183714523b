//! The strategy `dynamic_sparse`.

use crate::support::samples;
use serde_json::json;
use spectral_core::registry::find;
use spectral_core::{Activation, Cell, Model, Seed, Strategy, StrategyCx, StrategyEntry, StrategyReport, Unwatched};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::Sparse;

fn strategy(config: serde_json::Value) -> spectral_core::Result<Box<dyn Strategy>> {
    (find::<StrategyEntry>("dynamic_sparse")?.build)(config)
}

fn sparse() -> Model {
    let layer = |units, act| Sparse::new(units, act, 0.2);
    let network = Network::new(12).layer(layer(24, Activation::Relu)).layer(layer(3, Activation::Identity));
    network.build(&Cpu::with_threads(1).unwrap(), Seed(4)).unwrap()
}

fn run(config: serde_json::Value, model: &mut Model) -> spectral_core::Result<StrategyReport> {
    let (train, validation) = (samples(50, 12, 3, 1), samples(20, 12, 3, 2));
    let mut cx = StrategyCx { train: &train, validation: &validation, seed: Seed(1), watch: &mut Unwatched };
    strategy(config)?.run(model, &mut cx)
}

fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Number(n) => *n,
        Cell::Text(t) => panic!("`{t}` is no number"),
    }
}

#[test]
fn every_epoch_has_a_row_with_the_stored_and_the_exchanged_share() {
    for method in [json!("set"), json!({ "name": "rigl", "every": { "steps": 5 } })] {
        let mut model = sparse();
        let before = model.content_hash().unwrap();
        let report = run(json!({ "method": method, "train": { "epochs": 4, "batch": 10 } }), &mut model).unwrap();
        assert_ne!(model.content_hash().unwrap(), before);
        let rows = &report.tables[0].rows;
        assert_eq!(rows.len(), 4);
        let stored = (0.2f64 * 288.0).round() + (0.2f64 * 72.0).round();
        for (epoch, row) in rows.iter().enumerate() {
            assert_eq!((number(&row[0]), number(&row[1])), (epoch as f64 + 1.0, stored / 360.0));
            assert!((0.0..=1.0).contains(&number(&row[2])));
        }
        let exchanged: Vec<f64> = rows.iter().map(|r| number(&r[4])).collect();
        assert!(exchanged[0] > 0.2 && exchanged[0] <= 0.3, "{exchanged:?}");
        assert_eq!(exchanged[3], 0.0, "nothing is exchanged after the last step");
        assert!(report.summary.contains("of 360 weights stored"), "{}", report.summary);
    }
}

#[test]
fn what_cannot_work_leaves_the_model_as_it_was() {
    let mut dense =
        Network::new(12).dense(3, Activation::Identity).build(&Cpu::with_threads(1).unwrap(), Seed(1)).unwrap();
    let before = dense.content_hash().unwrap();
    let error = run(json!({ "train": { "batch": 10 } }), &mut dense).unwrap_err().to_string();
    assert!(error.contains("kind `sparse`"), "{error}");
    assert_eq!(dense.content_hash().unwrap(), before);
    for (config, word) in [
        (json!({ "method": { "name": "set", "share": 2.0 } }), "`share`"),
        (json!({ "train": { "optimizer": { "name": "adam", "rate": -1.0 } } }), "`rate`"),
    ] {
        let error = strategy(config).and_then(|s| s.check()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(strategy(json!({ "metod": "set" })).is_err());
}
