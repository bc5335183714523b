//! Every layer and every loss that is linked passes the gradient check: a new one that does not, or a layer
//! without a working example, fails here.

use spectral_core::registry::all;
use spectral_core::{
    Activation, BackendEntry, BackendHandle, BackendOptions, Layer, LayerEntry, Reference, Seed, Shape,
};
use spectral_layers::{
    ActivationLayer, AvgPool, BatchNorm, Conv2d, Dense, DropConnect, Gate, Global, GlobalPool, LayerNorm, MaxPool,
    Padding, Prelu, Spectral,
};
use spectral_testkit::{gradcheck, layer};
use std::sync::Arc;

// Linked for what it registers.
use spectral_cpu as _;
use spectral_sparse as _;

fn backends() -> Vec<BackendHandle> {
    let open = |e: &&BackendEntry| (e.open)(&BackendOptions { threads: Some(2) }).ok();
    let registered = all::<BackendEntry>().unwrap_or_default();
    std::iter::once(Arc::new(Reference) as BackendHandle).chain(registered.iter().filter_map(open)).collect()
}

#[test]
fn every_layer_conforms() {
    let entries = all::<LayerEntry>().unwrap();
    assert!(entries.len() >= 10, "layers are not linked");
    let backends = backends();
    assert!(backends.len() > 1, "no registered backend opens");
    for backend in backends {
        let failed: Vec<String> = entries
            .iter()
            .filter_map(|entry| {
                let (example, inputs) = (entry.example)();
                assert_eq!(example.kind(), entry.name, "an example of another kind");
                layer::conformance(&backend, example, &inputs, Seed(1)).err().map(|f| f.to_string())
            })
            .collect();
        assert!(failed.is_empty(), "on {}:\n{}", backend.name(), failed.join("\n"));
    }
}

#[test]
fn every_activation_conforms_wherever_it_can_be() {
    for (name, act) in Activation::NAMES {
        let mut layers: Vec<Arc<dyn Layer>> = vec![Arc::new(ActivationLayer { activation: act })];
        if act.is_elementwise() {
            layers.push(Arc::new(Dense { bias: false, ..Dense::new(4, act) }));
            layers.push(Arc::new(Spectral::new(4, act)));
            layers.push(Arc::new(DropConnect::new(4, act, 0.3)));
            layers.push(Arc::new(Gate::new(act)));
        }
        for layer in layers {
            let report = layer::conformance(&Reference, layer, &[Shape::vector(5)], Seed(3));
            assert!(report.is_ok(), "{name}: {}", report.map_or_else(|f| f.to_string(), |r| r.to_string()));
        }
    }
}

#[test]
fn layers_over_images_conform_at_every_window() {
    let image = Shape::new(&[2, 5, 4]).unwrap();
    for (kernel, stride, padding, bias) in [(1, 1, 0, true), (3, 1, 1, false), (2, 2, 0, true), (3, 2, 2, false)] {
        for act in [Activation::Identity, Activation::Sigmoid] {
            let layer =
                Arc::new(Conv2d { stride: [stride; 2], padding: padding.into(), bias, ..Conv2d::new(3, kernel, act) });
            layer::conformance(&Reference, layer, &[image], Seed(5)).unwrap_or_else(|f| panic!("{f}"));
        }
    }
    let four = Shape::new(&[4, 5, 4]).unwrap();
    let oblong = Conv2d { kernel: [2, 3], padding: [1, 0, 0, 2].into(), ..Conv2d::new(4, 1, Activation::Tanh) };
    for layer in [
        Conv2d { groups: 2, ..oblong },
        Conv2d { groups: 4, stride: [2, 1], ..oblong },
        Conv2d { channels: 8, groups: 4, dilation: [2, 1], bias: false, ..oblong },
        Conv2d { padding: Padding::Same, dilation: [1, 2], ..oblong },
    ] {
        layer::conformance(&Reference, Arc::new(layer), &[four], Seed(6)).unwrap_or_else(|f| panic!("{layer:?} {f}"));
    }
    let pool = AvgPool { count_padding: true, padding: 1.into(), ..AvgPool::new(2) };
    let max = MaxPool { stride: Some([1; 2]), dilation: [2, 1], ..MaxPool::new(2) };
    for layer in [
        Arc::new(pool) as Arc<dyn Layer>,
        Arc::new(max),
        Arc::new(GlobalPool { pooling: Global::Max }),
        Arc::new(Prelu::default()),
        Arc::new(LayerNorm { epsilon: 0.01, ..LayerNorm::default() }),
    ] {
        layer::conformance(&Reference, layer, &[four], Seed(7)).unwrap_or_else(|f| panic!("{f}"));
    }
    for shape in [Shape::vector(4), image] {
        let layer = Arc::new(BatchNorm { momentum: 0.5, epsilon: 0.1, ..BatchNorm::default() });
        layer::conformance(&Reference, layer, &[shape], Seed(5)).unwrap_or_else(|f| panic!("{f}"));
        let layer = Arc::new(Gate::new(Activation::Tanh));
        layer::conformance(&Reference, layer, &[shape], Seed(5)).unwrap_or_else(|f| panic!("{f}"));
    }
}

#[test]
fn every_loss_has_the_right_gradient() {
    for backend in backends() {
        for kind in gradcheck::LOSSES {
            let report = gradcheck::loss(&backend, kind).unwrap_or_else(|f| panic!("on {}: {f}", backend.name()));
            assert!(report.worst <= gradcheck::TOLERANCE && report.cases > 100, "{report}");
        }
    }
}
