//! Networks with random masks that several tests convert.

use spectral_core::{BackendHandle, DType, IntoBackend, Mask, Model, Named, Proof, Role, Seed, prove};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::prelude::*;
use std::sync::OnceLock;

/// Every activation, softmax included (a layer of its own).
pub(crate) const ACTIVATIONS: [Activation; 9] =
    [Elu { alpha: 0.7 }, Gelu, Identity, LeakyRelu { slope: 0.1 }, Relu, Sigmoid, Softmax, Softplus, Tanh];

/// How the layers are connected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wiring {
    Chain,
    Residual,
    Concat,
    Spectral,
}

pub(crate) const WIRINGS: [Wiring; 4] = [Wiring::Chain, Wiring::Residual, Wiring::Concat, Wiring::Spectral];

pub(crate) fn cpu() -> BackendHandle {
    static CPU: OnceLock<Cpu> = OnceLock::new();
    CPU.get_or_init(|| Cpu::with_threads(2).unwrap()).into_backend()
}

/// 13 inputs, 5 outputs, masks that keep about `density` of every matrix but never entry 0, some kept entries zero, no
/// bias zero.
pub(crate) fn masked(wiring: Wiring, act: Activation, dtype: DType, density: f64, seed: u64) -> Model {
    let net = Network::new(13).dtype(dtype);
    let dense = |units, act, bias| Dense { bias, ..Dense::new(units, act) };
    let net = match wiring {
        // Layers of their own settings take fused activations only; the builder's `dense` splits softmax off.
        Wiring::Chain if act == Softmax => net.dense(17, act).dropout(0.3).dense(5, act),
        Wiring::Chain => net.layer(dense(17, act, true)).dropout(0.3).layer(dense(9, Relu, false)).dense(5, Identity),
        Wiring::Residual => {
            let net = net.dense(11, act_inside(act)).mark("skip").dense(11, act_inside(act)).mark("body");
            net.add(&["skip", "body"]).dense(5, act)
        }
        Wiring::Concat => {
            let net = net.dense(7, act_inside(act)).mark("a").from("input").dense(6, Tanh).mark("b");
            net.concat(&["a", "b", "input"]).dense(5, act)
        }
        Wiring::Spectral => net.spectral(12, act_inside(act)).spectral(5, act),
    };
    let mut model = net.build(cpu(), Seed(seed)).unwrap();
    let mut stream = Seed(seed).stream("masks", 0);
    for id in model.params().iter().map(|(id, _)| id).collect::<Vec<_>>() {
        let param = model.params().get(id);
        let (len, matrix, bias) = (param.value().len(), param.role.is_matrix(), param.role == Role::Bias);
        let mut values = model.backend().download(param.value()).unwrap();
        let (params, backend) = model.params_mut();
        if bias {
            values.iter_mut().for_each(|v| *v = stream.uniform(0.1, 0.5));
        } else if matrix {
            values.iter_mut().filter(|_| stream.below(10) == 0).for_each(|v| *v = 0.0);
        }
        params.edit(backend, id, |t| backend.write(&values, t)).unwrap();
        if matrix {
            params.set_pruned(backend, id, Some(Mask::from_fn(len, |i| i == 0 || stream.unit() >= density))).unwrap();
        }
    }
    model
}

/// Softmax ends a branch of its own; inside the wired ones another takes its place.
fn act_inside(act: Activation) -> Activation {
    if act == Softmax { Sigmoid } else { act }
}

pub(crate) fn proof(a: &Model, b: &Model) -> Proof {
    let named = |name, model| Named { name, model };
    prove(named("a", a), &[named("b", b)], None, None).unwrap().remove(0)
}
