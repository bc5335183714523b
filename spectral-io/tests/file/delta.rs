//! Delta files: the rows G7 to G10 of Sparana.

use crate::models;
use crate::packed::Parts;
use spectral_core::{ContentHash, DType, HistoryEntry, Mask, Model, ParamId, Penalty, Reference, Trainable};
use spectral_io::{Error, delta_from_bytes, delta_to_bytes, from_bytes, load, load_delta, save, save_delta, to_bytes};

/// Changes a few entries of a parameter, whatever its masks.
fn write(model: &mut Model, id: ParamId, change: impl Fn(usize, f64) -> f64) {
    let (params, backend) = model.params_mut();
    params
        .edit(backend, id, |t| {
            let values = backend.download(t)?;
            backend.write(&values.iter().enumerate().map(|(i, v)| change(i, *v)).collect::<Vec<_>>(), t)
        })
        .unwrap();
}

/// Models with another one each that differs from it in every way a delta holds.
fn pairs(dtype: DType) -> Vec<(&'static str, Model, Model)> {
    let change = |model: &mut Model| {
        let ids: Vec<_> = model.params().iter().map(|(id, p)| (id, p.value().len())).collect();
        for (n, &(id, len)) in ids.iter().enumerate() {
            write(model, id, |i, v| if i % 4 == 1 { v + 0.125 } else { v });
            let (params, backend) = model.params_mut();
            match n % 4 {
                0 => params.set_trainable(id, Trainable::Only(Mask::from_fn(len, |i| i % 3 == 0))).unwrap(),
                1 => params.set_pruned(backend, id, Some(Mask::from_fn(len, |i| i % 3 == 1))).unwrap(),
                2 => params.set_pruned(backend, id, None).unwrap(),
                _ => params.set_trainable(id, Trainable::None).unwrap(),
            }
            params.set_penalty(id, Penalty { l1: 0.5, l2: n as f64 });
        }
        let parent = ContentHash::try_from("0".repeat(32)).unwrap();
        let detail = serde_json::json!({ "epochs": 3 });
        model.meta.history.push(HistoryEntry { action: "finetune".into(), parent, detail });
    };
    let names_and_bases = models::all(dtype);
    let changed = models::all(dtype).into_iter().map(|(_, mut model)| {
        change(&mut model);
        model
    });
    names_and_bases.into_iter().zip(changed).map(|((name, base), model)| (name, base, model)).collect()
}

/// Sparana G8 to G10: what is stored is restored to the bits, biases, masks and frozen entries with it.
#[test]
fn a_delta_on_its_base_gives_the_model_to_the_bits() {
    for dtype in [DType::F32, DType::F64] {
        for (name, base, model) in pairs(dtype) {
            let bytes = delta_to_bytes(&base, &model).unwrap();
            let again = delta_from_bytes(&bytes, &base).unwrap();
            assert_eq!(models::differences(&model, &again), Vec::<String>::new(), "{name} {dtype}");
            assert_eq!(delta_to_bytes(&base, &again).unwrap(), bytes, "{name} {dtype}");
            let back = delta_from_bytes(&delta_to_bytes(&model, &base).unwrap(), &model).unwrap();
            assert_eq!(models::differences(&base, &back), Vec::<String>::new(), "{name} {dtype} backwards");
        }
    }
}

/// Sparana G7: selected weights that are zero are lost there. G9: parameters without a selection fail there.
#[test]
fn only_what_differs_is_stored_and_zeros_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, delta) = (folder.path().join("m.spectral"), folder.path().join("m.delta"));
    let base = models::square(1.0);
    let mut model = models::square(1.0);
    write(&mut model, ParamId(0), |i, v| if i % 1000 == 7 { if i % 2000 == 7 { 0.0 } else { v + 1.0 } } else { v });
    save(&whole, &model).unwrap();
    let report = save_delta(&delta, &base, &model).unwrap();
    assert_eq!(report.changed, [("masked1.weight".to_owned(), 1000)]);
    assert_eq!((report.base, report.hash), (base.content_hash().unwrap(), model.content_hash().unwrap()));
    let length = |path| std::fs::metadata(path).unwrap().len();
    assert_eq!(length(&delta), report.bytes);
    assert!(length(&delta) * 300 < length(&whole), "{} {}", length(&delta), length(&whole));
    let again = load_delta(&delta, &base).unwrap();
    assert_eq!(models::differences(&model, &again), Vec::<String>::new());
    let values = again.params().get(ParamId(0)).value().host::<f32>().unwrap();
    assert_eq!((values[7].to_bits(), values[1007] != 0.0), (0, true));
    let kept: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
}

#[test]
fn models_that_do_not_differ_have_a_delta_of_a_header() {
    let (base, model) = (models::masked(DType::F32), models::masked(DType::F32));
    let bytes = delta_to_bytes(&base, &model).unwrap();
    assert_eq!(bytes.len() as u64, 32 + u64::from_le_bytes(bytes[24..32].try_into().unwrap()));
    assert_eq!(models::differences(&model, &delta_from_bytes(&bytes, &base).unwrap()), Vec::<String>::new());
}

#[test]
fn a_delta_on_another_base_is_refused_with_both_hashes() {
    let (_, base, model) = pairs(DType::F32).remove(0);
    let bytes = delta_to_bytes(&base, &model).unwrap();
    let mut other = base.duplicate().unwrap();
    write(&mut other, ParamId(1), |i, v| if i == 0 { v + 1.0 } else { v });
    for wrong in [&other, &model, &models::sparse(DType::F32)] {
        let error = delta_from_bytes(&bytes, wrong).unwrap_err();
        assert!(matches!(error, Error::Base { .. }), "{error}");
        for hash in [base.content_hash().unwrap(), wrong.content_hash().unwrap()] {
            assert!(error.to_string().contains(&hash.to_string()), "{error}");
        }
    }
}

#[test]
fn models_of_different_form_have_no_delta() {
    let [a, b] = [DType::F32, DType::F64].map(models::dense);
    let beside = |network: spectral_layers::Network| {
        network.dense(3, spectral_core::Activation::Identity).build(&Reference, spectral_core::Seed(1)).unwrap()
    };
    let spectral = beside(spectral_layers::Network::new(4).spectral(5, spectral_core::Activation::Tanh));
    let sparse = beside(spectral_layers::Network::new(4).layer(models::sparse_layer(5, 0.5)));
    let wide = models::sparse(DType::F32);
    let config = serde_json::json!({ "units": 5, "activation": "tanh", "penalties": { "weight": { "l1": 1.0 } } });
    let layer: spectral_layers::Dense = serde_json::from_value(config).unwrap();
    let other = beside(spectral_layers::Network::new(4).layer(layer));
    for (x, y, word) in [
        (&a, &b, "element types"),
        (&a, &wide, "inputs"),
        (&a, &sparse, "`dense1` and `sparse1`"),
        (&a, &spectral, "`dense1` and `spectral1`"),
        (&a, &other, "layers `dense1` and `dense1`"),
    ] {
        let error = delta_to_bytes(x, y).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("save the whole model"), "{error}");
    }
}

#[test]
fn a_delta_is_no_model_and_a_model_no_delta() {
    let folder = tempfile::tempdir().unwrap();
    let (model, delta) = (folder.path().join("model"), folder.path().join("delta"));
    let (_, base, other) = pairs(DType::F32).remove(0);
    save(&model, &base).unwrap();
    save_delta(&delta, &base, &other).unwrap();
    let error = load(&delta, &Reference).unwrap_err().to_string();
    assert!(error.contains("is not a model file: it does not start with `SPECTRAL`"), "{error}");
    let error = load_delta(&model, &base).unwrap_err().to_string();
    assert!(error.contains("is not a delta file: it does not start with `SPECDELT`"), "{error}");
    assert!(from_bytes(&to_bytes(&base).unwrap(), &Reference).is_ok());
    let occupied = folder.path().join("folder");
    std::fs::create_dir_all(occupied.join("inside")).unwrap();
    assert!(matches!(save_delta(&occupied, &base, &other), Err(Error::Write { .. })));
    assert!(matches!(load_delta(folder.path().join("missing"), &base), Err(Error::Read { .. })));
}

#[test]
fn a_damaged_delta_is_an_error() {
    for (name, base, model) in pairs(DType::F32) {
        let good = delta_to_bytes(&base, &model).unwrap();
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                assert!(delta_from_bytes(&bad, &base).is_err(), "{name}: byte {at} with {flip:02x}");
            }
            assert!(delta_from_bytes(&good[..at], &base).is_err(), "{name}: cut at {at}");
        }
    }
}

/// A checksum says nothing about who wrote a file: headers that lie give an error or a model of the promised hash.
#[test]
fn a_lying_header_never_panics() {
    for (name, base, model) in pairs(DType::F32) {
        let good = delta_to_bytes(&base, &model).unwrap();
        let parts = Parts::of(&good);
        assert!(delta_from_bytes(&parts.file(), &base).is_ok(), "{name}: taken apart and put together again");
        let check = |bad: Vec<u8>, at: usize| {
            if let Ok(again) = delta_from_bytes(&bad, &base) {
                assert_eq!(again.content_hash().unwrap(), model.content_hash().unwrap(), "{name}: byte {at}");
            }
        };
        for flip in [0x01, 0x02, 0x10, 0x80, 0xff] {
            for at in 0..parts.digests.len() {
                let mut bad = parts.clone();
                bad.digests[at] ^= flip;
                check(bad.file(), at);
            }
            for at in 0..parts.records.len() {
                let mut bad = parts.clone();
                bad.records[at] ^= flip;
                check(bad.file(), at);
            }
        }
    }
}
