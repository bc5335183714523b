//! Coupled groups over every way two branches can meet.

use crate::support::*;
use spectral_core::{Activation::*, Graph, Model, Node, NodeSpec, Reference, Seed, Shape, Source};
use spectral_layers::{ActivationLayer, Network};
use spectral_prune::{Error, Prune, groups};
use std::sync::Arc;
use std::time::Instant;

/// The groups of hidden units of a network by name, as (members, protected).
fn named(model: &Model) -> Vec<(Vec<String>, bool)> {
    let name = |&(n, u): &(usize, usize)| format!("{}:{u}", model.graph().nodes()[n].name);
    groups(model).iter().map(|g| (g.members.iter().map(name).collect(), g.protected)).collect()
}

fn group(members: &[&str], protected: bool) -> (Vec<String>, bool) {
    (members.iter().map(|m| (*m).into()).collect(), protected)
}

#[test]
fn merges_tie_what_meets() {
    let base = || Network::new(2).dense(2, Relu).mark("a").dense(2, Relu).mark("b");
    let outputs = [group(&["dense4:0"], true)];
    let pairs = |n: &str| {
        [group(&["dense1:0", "dense2:0"], false), group(&["dense1:1", "dense2:1"], false)]
            .into_iter()
            .map(move |(m, p)| (m, p || n.is_empty()))
            .collect::<Vec<_>>()
    };
    for merged in
        [base().add(&["a", "b"]), base().multiply(&["a", "b"]), base().add(&["a", "b"]).dropout(0.1).activation(Tanh)]
    {
        let model =
            merged.layer_named("dense4", spectral_layers::Dense::new(1, Identity)).build(&Reference, Seed(0)).unwrap();
        assert_eq!(named(&model), [pairs("x"), outputs.to_vec()].concat());
    }
    let singles = ["dense1:0", "dense1:1", "dense2:0", "dense2:1"].map(|m| group(&[m], false));
    for merged in
        [base().concat(&["a", "b"]), base().add(&["b", "b"]), base().multiply(&["b", "b"]), base().concat(&["b", "b"])]
    {
        let model =
            merged.layer_named("dense4", spectral_layers::Dense::new(1, Identity)).build(&Reference, Seed(0)).unwrap();
        assert_eq!(named(&model), [&singles[..], &outputs[..]].concat());
    }
    // A sum with a concatenation of the same width ties across both.
    let wide = base().concat(&["a", "b"]).mark("ab").from("a").dense(4, Relu).mark("c").add(&["ab", "c"]);
    let model = wide.layer_named("dense4", spectral_layers::Dense::new(1, Identity)).build(&Reference, Seed(0));
    let model = model.unwrap();
    let tied: Vec<usize> = groups(&model).iter().map(|g| g.members.len()).collect();
    assert_eq!(tied, [2, 2, 2, 2, 1]);
}

#[test]
fn inputs_outputs_and_unknown_layers_protect() {
    let residual_on_input = Network::new(3).dense(3, Relu).mark("f").add(&["input", "f"]).dense(1, Identity);
    let model = residual_on_input.build(&Reference, Seed(0)).unwrap();
    assert!(groups(&model).iter().all(|g| g.protected));
    let inner_softmax = Network::new(3).dense(4, Softmax).dense(2, Relu).dense(1, Identity);
    let model = inner_softmax.build(&Reference, Seed(0)).unwrap();
    let protected: Vec<bool> = groups(&model).iter().map(|g| g.protected).collect();
    assert_eq!(protected, [true, true, true, true, false, false, true]);
    let ends_in_a_sum = Network::new(3).dense(2, Relu).mark("a").dense(2, Relu).mark("b").add(&["a", "b"]);
    let model = ends_in_a_sum.build(&Reference, Seed(0)).unwrap();
    assert!(groups(&model).iter().all(|g| g.protected));
}

#[test]
fn coupled_units_go_together_by_their_mean() {
    let network =
        Network::new(5).spectral(6, Relu).mark("a").spectral(6, Relu).mark("b").add(&["a", "b"]).dense(2, Identity);
    let mut m = build(&network, 11);
    let (a, b) = (values(&m, "spectral1.lambda_out"), values(&m, "spectral2.lambda_out"));
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by(|&i, &j| (a[i].abs() + b[i].abs()).total_cmp(&(a[j].abs() + b[j].abs())));
    let mut want = order[..3].to_vec();
    want.sort_unstable();
    let report = Prune::by("eigenvalue").units().amount(0.5).apply(&mut m, None).unwrap();
    assert_eq!((report.removed, report.total), (6, 12));
    assert_eq!((dead_units(&m, "spectral1"), dead_units(&m, "spectral2")), (want.clone(), want));
    let odd = Prune::by("eigenvalue").units().count(9).apply(&mut m, None).unwrap_err();
    assert!(matches!(odd, Error::Infeasible { closest: 8, .. }), "{odd}");
    let half = Prune::by("eigenvalue").units().layers(&["spectral1"]).amount(0.9).apply(&mut m, None).unwrap_err();
    assert!(half.to_string().contains("coupled with those of `spectral2`"), "{half}");
    let per_layer = Prune::by("magnitude").units().per_layer().amount(0.8).apply(&mut m, None).unwrap();
    assert_eq!(per_layer.total, 12);
}

#[test]
fn ten_thousand_layers_are_grouped_in_under_a_second() {
    let mut nodes = vec![NodeSpec {
        name: "n0".into(),
        layer: Arc::new(spectral_layers::Dense::new(4, Relu)),
        inputs: vec![Source::Input],
    }];
    for i in 1..10_000 {
        let (layer, inputs): (Arc<dyn spectral_core::Layer>, _) = match i % 3 {
            0 => (Arc::new(spectral_layers::Dense::new(4, Relu)), vec![Source::Node(i - 1)]),
            1 => (Arc::new(ActivationLayer { activation: Tanh }), vec![Source::Node(i - 1)]),
            _ => (Arc::new(spectral_layers::Add {}), vec![Source::Node(i - 1), Source::Node(i / 3 * 3)]),
        };
        nodes.push(NodeSpec { name: format!("n{i}"), layer, inputs });
    }
    let model = Model::build(Shape::vector(4), &nodes, &Reference, spectral_core::DType::F32, Seed(0)).unwrap();
    let start = Instant::now();
    let found = groups(&model);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(found.len(), 4 * 3334);
    assert!(seconds < 1.0, "{seconds} s");
}

#[test]
fn a_graph_may_be_made_by_hand() {
    let mut graph = Graph::new(Shape::vector(2)).unwrap();
    let layer = Arc::new(ActivationLayer { activation: Relu });
    graph.add(Node { name: "only".into(), layer, inputs: vec![Source::Input], params: vec![] }).unwrap();
    let model = Model::from_parts(
        graph,
        Default::default(),
        Arc::new(Reference),
        spectral_core::DType::F32,
        Default::default(),
    );
    let mut model = model.unwrap();
    assert!(groups(&model).is_empty());
    assert!(Prune::by("magnitude").amount(0.5).apply(&mut model, None).is_err());
    assert_eq!(spectral_prune::compact(&model).unwrap().report.removed, 0);
}
