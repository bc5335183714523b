//! Small models that between them use everything a file can hold.

use spectral_core::{
    ContentHash, DType, DataOrigin, HistoryEntry, Mask, Model, Penalty, Preprocessing, Reference, Seed, Trainable,
};
use spectral_layers::Sparse;
use spectral_layers::prelude::*;

/// A sparse layer of which a share of `density` is stored.
pub(crate) fn sparse_layer(units: usize, density: f64) -> Sparse {
    let config = serde_json::json!({ "units": units, "density": density });
    serde_json::from_value(config).unwrap()
}

pub(crate) fn dense(dtype: DType) -> Model {
    let network = Network::new(4).dtype(dtype).dense(5, Tanh).dense(3, Identity);
    network.build(&Reference, Seed(1)).unwrap()
}

/// Masks, kept zeros, frozen and partly trainable parameters, penalties, a merge, and every kind of meta data.
pub(crate) fn masked(dtype: DType) -> Model {
    let network = Network::new(6).dtype(dtype);
    let network =
        network.dense(7, Elu { alpha: 0.7 }).mark("a").masked(7, Relu, 0.4).dropout(0.1).add(&["dropout1", "a"]);
    let mut model = network.dense(3, Softmax).build(&Reference, Seed(2)).unwrap();
    let ids: Vec<_> = model.params().iter().map(|(id, p)| (id, p.value().len())).collect();
    let (params, backend) = model.params_mut();
    for (i, &(id, len)) in ids.iter().enumerate() {
        params.set_penalty(id, Penalty { l1: 0.1 * i as f64, l2: 1e-4 });
        params.set_trainable(id, [Trainable::All, Trainable::None, Trainable::Only(odd(len))][i % 3].clone()).unwrap();
    }
    let (id, len) = ids[0];
    params.prune(backend, id, &odd(len)).unwrap();
    // A kept zero, a negative zero and a subnormal number.
    params
        .edit(backend, id, |t| {
            let mut values = backend.download(t)?;
            (values[0], values[2], values[4]) = (0.0, -0.0, 1e-40);
            backend.write(&values, t)
        })
        .unwrap();
    let parent = ContentHash::try_from("00112233445566778899aabbccddeeff".to_owned()).unwrap();
    model.meta.data = Some(DataOrigin { name: "digits".into(), split_seed: Some(3), ..DataOrigin::default() });
    model.meta.preprocessing = Preprocessing { scale: 1.0 / 255.0, mean: 0.1 + 0.2, deviation: 1.0 / 3.0 };
    let detail = serde_json::json!({ "criterion": "magnitude", "amount": 0.30000000000000004 });
    model.meta.history = vec![HistoryEntry { action: "prune".into(), parent, detail }];
    model.meta.origins.insert("dense1".into(), vec![0, 2, 5]);
    model
}

/// Sparse layers, one with pruned entries on its pattern.
pub(crate) fn sparse(dtype: DType) -> Model {
    let network = Network::new(9).dtype(dtype).layer(sparse_layer(8, 0.3)).layer(sparse_layer(4, 0.5));
    let mut model = network.build(&Reference, Seed(3)).unwrap();
    let id = model.params().iter().find(|(_, p)| p.pattern.is_some()).unwrap().0;
    let len = model.params().get(id).value().len();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(len, |i| i % 5 == 0)).unwrap();
    params.set_trainable(id, Trainable::Only(odd(len))).unwrap();
    model
}

/// Spectral layers, one of them with a frozen basis and initial values other than the usual.
pub(crate) fn spectral(dtype: DType) -> Model {
    let network = Network::new(5).dtype(dtype).spectral(6, Gelu).spectral(3, Identity);
    network.build(&Reference, Seed(4)).unwrap()
}

pub(crate) fn all(dtype: DType) -> Vec<(&'static str, Model)> {
    vec![("dense", dense(dtype)), ("masked", masked(dtype)), ("sparse", sparse(dtype)), ("spectral", spectral(dtype))]
}

/// One dense layer of 1000x1000 without bias, of whose weights all but a share are pruned.
pub(crate) fn square(density: f64) -> Model {
    Network::new(1000)
        .layer(
            serde_json::from_value::<Masked>(serde_json::json!({
                "units": 1000, "density": density, "bias": false
            }))
            .unwrap(),
        )
        .build(&Reference, Seed(5))
        .unwrap()
}

fn odd(len: usize) -> Mask {
    Mask::from_fn(len, |i| i % 2 == 1)
}

/// Every difference between two models, in words.
pub(crate) fn differences(a: &Model, b: &Model) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: String, same: bool| {
        if !same {
            found.push(what);
        }
    };
    check("meta".into(), a.meta == b.meta);
    check("content hash".into(), a.content_hash().unwrap() == b.content_hash().unwrap());
    check("number of parameters".into(), a.params().len() == b.params().len());
    for ((_, p), (_, q)) in a.params().iter().zip(b.params().iter()) {
        let at = |what: &str| format!("{what} of {}", p.name);
        check(at("name"), p.name == q.name);
        check(at("role"), p.role == q.role);
        check(at("axes"), p.axes == q.axes);
        check(at("penalty"), p.penalty == q.penalty);
        check(at("trainable"), p.trainable == q.trainable);
        check(at("mask"), p.pruned() == q.pruned());
        check(at("pattern"), p.pattern == q.pattern);
        check(at("shape"), p.value().shape() == q.value().shape());
        check(at("bits"), bits(p.value()) == bits(q.value()));
    }
    found
}

fn bits(t: &spectral_core::Tensor) -> Vec<u64> {
    match t.dtype() {
        DType::F32 => t.host::<f32>().unwrap().iter().map(|v| u64::from(v.to_bits())).collect(),
        DType::F64 => t.host::<f64>().unwrap().iter().map(|v| v.to_bits()).collect(),
    }
}

#[test]
fn differences_are_seen() {
    let change = |model: &mut Model| {
        let (params, backend) = model.params_mut();
        let id = spectral_core::ParamId(0);
        params.edit(backend, id, |t| backend.fill(0.5, t)).unwrap();
    };
    let mut model = dense(DType::F32);
    assert_eq!(differences(&model, &dense(DType::F32)), Vec::<String>::new());
    change(&mut model);
    assert_eq!(differences(&model, &dense(DType::F32)), ["content hash", "bits of dense1.weight"]);
}
