//! The network builder: names, branches, recipes, and the sentences it answers mistakes with.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use spectral_core::{Density, Model, Reference, Seed, Source};
use spectral_layers::prelude::*;
use spectral_layers::{Add, Error};

fn build(network: &Network) -> Result<Model, Error> {
    network.build(&Reference, Seed(1))
}

fn names(model: &Model) -> Vec<&str> {
    model.graph().nodes().iter().map(|n| n.name.as_str()).collect()
}

fn specs(toml: &str) -> Vec<LayerSpec> {
    #[derive(serde::Deserialize)]
    struct Recipe {
        layers: Vec<LayerSpec>,
    }
    toml::from_str::<Recipe>(toml).unwrap().layers
}

#[test]
fn names_are_kinds_with_numbers() {
    let net = Network::new(8)
        .spectral(6, Relu)
        .dropout(0.2)
        .spectral(6, Relu)
        .activation(Relu)
        .layer_named("head", Dense::new(4, Identity))
        .drop_connect(4, Tanh, 0.1)
        .masked(4, Tanh, 0.5)
        .dense(3, Softmax);
    let model = build(&net).unwrap();
    let want =
        ["spectral1", "dropout1", "spectral2", "relu1", "head", "drop_connect1", "masked1", "dense1", "softmax1"];
    assert_eq!(names(&model), want);
    assert_eq!(model.widths(), [8, 6, 6, 4, 4, 4, 3]);
}

#[test]
fn branches_meet() {
    let net = Network::new(4)
        .dense(5, Relu)
        .mark("skip")
        .dense(5, Relu)
        .add(&["skip", "dense2"])
        .mark("sum")
        .from("input")
        .dense(3, Tanh)
        .concat(&["dense3", "sum", "sum"])
        .multiply(&["concat1", "concat1"])
        .dense(2, Identity);
    let model = build(&net).unwrap();
    let inputs: Vec<&[Source]> = model.graph().nodes().iter().map(|n| &n.inputs[..]).collect();
    use Source::{Input, Node};
    let want: [&[Source]; 7] = [
        &[Input],
        &[Node(0)],
        &[Node(0), Node(1)],
        &[Input],
        &[Node(3), Node(2), Node(2)],
        &[Node(4), Node(4)],
        &[Node(5)],
    ];
    assert_eq!(inputs, want);
    assert_eq!(model.graph().shape(Node(4)).rows(), 13);
}

#[test]
fn the_same_description_and_seed_give_the_same_model() {
    let net = Network::new(8).spectral(6, Relu).dense(3, Identity);
    let hash = |seed| net.build(&Reference, Seed(seed)).unwrap().content_hash().unwrap();
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
fn mistakes_are_answered_with_the_next_step() {
    let cases: Vec<(Network, &str)> = vec![
        (Network::new(4), "has no layers; add at least one"),
        (Network::new(0).dense(3, Relu), "has no values"),
        (Network::new(4).dense(0, Relu), "`units` is 0; a layer needs at least one unit"),
        (Network::new(4).spectral(0, Relu), "`spectral1`"),
        (Network::new(4).dense(usize::MAX, Relu), "more than 2^32 weights"),
        (Network::new(4).dropout(1.0).dense(2, Relu), "`rate` is 1; it must be at least 0 and below 1"),
        (Network::new(4).drop_connect(2, Relu, -0.5), "it must be at least 0 and below 1"),
        (Network::new(4).dense(2, LeakyRelu { slope: -1.0 }), "`slope` of leaky_relu is -1"),
        (Network::new(4).dense(2, Elu { alpha: f64::NAN }), "`alpha` of elu is NaN"),
        (Network::new(4).layer(Dense::new(2, Softmax)), "put a softmax activation layer after it"),
        (Network::new(4).dense(3, Relu).mark("skip").dense(3, Relu).add(&["skpi", "dense2"]), "did you mean `skip`?"),
        (Network::new(4).from("nowhere").dense(3, Relu), "no mark or layer so far is called `nowhere` (known: input)"),
        (Network::new(4).dense(3, Relu).mark("dense1").dense(2, Relu), "mark `dense1` needs a name that no other"),
        (Network::new(4).layer_named("input", Dense::new(3, Relu)), "layer `input` needs a name that no other"),
        (Network::new(4).dense(3, Relu).from("input").dense(2, Relu), "nothing uses the output of `dense1`"),
        (Network::new(4).dense(3, Relu).dense(3, Relu).from("dense1"), "ends with `from`"),
        (
            Network::new(4).dense(3, Relu).dense(2, Relu).add(&["dense1", "dense2"]),
            "expected shape inputs of one shape",
        ),
        (Network::new(4).dense(3, Relu).layer(Add {}), "takes at least two inputs, got 1"),
        (Network::new(4).dense(3, Relu).mark("a").merge(Dense::new(2, Relu), &["a", "a"]), "merge them first"),
    ];
    for (network, want) in &cases {
        let error = build(network).unwrap_err().to_string();
        assert!(error.contains(want), "expected `{want}` in: {error}");
    }
}

#[test]
fn all_mistakes_are_listed_together() {
    let net = Network::new(4).from("a").dense(3, Relu).mark("input").add(&["b", "dense1"]);
    let Err(Error::Network { problems }) = build(&net) else { panic!("built") };
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn recipes_describe_networks() {
    let layers = specs(
        r#"
        [[layers]]
        kind = "spectral"
        units = 6
        activation = "leaky_relu"
        trainable = { lambda_in = true }
        init = { lambda_in = { uniform = { low = -0.5, high = 0.5 } }, lambda_out = 0.5 }
        penalties = { basis = { l2 = 1e-3 } }
        name = "trunk"

        [[layers]]
        kind = "dense"
        units = 6
        activation = { elu = { alpha = 2 } }
        bias = false

        [[layers]]
        kind = "add"
        inputs = ["trunk", "dense1"]

        [[layers]]
        kind = "dense"
        name = "head"
        units = 3
        activation = "softmax"

        [[layers]]
        kind = "concat"
        inputs = ["head", "input"]
        "#,
    );
    let model = build(&Network::from_specs(4, &layers)).unwrap();
    assert_eq!(names(&model), ["trunk", "dense1", "add1", "head", "softmax1", "concat1"]);
    let nodes = model.graph().nodes();
    assert_eq!(nodes[0].layer.config().unwrap()["activation"]["leaky_relu"]["slope"], 0.01);
    assert_eq!(nodes[0].layer.config().unwrap()["init"]["lambda_out"]["constant"], 0.5);
    assert_eq!(nodes[2].inputs, [Source::Node(0), Source::Node(1)]);
    assert_eq!(nodes[5].inputs, [Source::Node(4), Source::Input], "`head` means the layer with its softmax");
    let direct = Network::new(4).dense(2, Relu);
    let one = specs("[[layers]]\nkind = \"dense\"\nunits = 2\nactivation = \"relu\"");
    assert_eq!(
        build(&direct).unwrap().content_hash().unwrap(),
        build(&Network::from_specs(4, &one)).unwrap().content_hash().unwrap()
    );
    let text = toml::to_string(&one[0]).unwrap();
    assert_eq!(toml::from_str::<LayerSpec>(&text).unwrap(), one[0]);
}

#[test]
fn recipes_with_mistakes_name_the_nearest_right_word() {
    for (toml, want) in [
        ("kind = \"dens\"\nunits = 2", &["unknown layer `dens`; did you mean `dense`?", "spectral"][..]),
        ("kind = \"dense\"\nunit = 2", &["unknown key `unit`; did you mean `units`?"]),
        ("kind = \"dense\"\nunits = 2\nnmae = \"x\"", &["unknown key `nmae`; did you mean `name`?"]),
        ("kind = \"dense\"\nunits = 2\nactivation = \"rellu\"", &["unknown activation `rellu`; did you mean `relu`?"]),
        ("kind = \"dense\"", &["missing field `units`"]),
        ("kind = \"dense\"\nunits = -3", &["invalid value: integer `-3`"]),
        ("kind = \"dense\"\nunits = \"many\"", &["invalid type: string \"many\""]),
        ("kind = \"dense\"\nunits = 0\nname = \"head\"", &["`head`", "`units` is 0"]),
        ("kind = \"masked\"\nunits = 2\ndensity = 1.5", &["`density` is 1.5; it must be from 0 to 1"]),
        ("kind = \"dense\"\nunits = 2\npenalties = { weight = { l2 = -1 } }", &["l2 penalty on the weights is -1"]),
        ("kind = \"spectral\"\nunits = 2\ntrainable = { phi = true }", &["unknown field `phi`"]),
        ("kind = \"dense\"\nunits = 2\ninputs = [\"nowhere\"]", &["called `nowhere`"]),
    ] {
        let layers = specs(&format!("[[layers]]\n{toml}"));
        let error = build(&Network::from_specs(4, &layers)).unwrap_err().to_string();
        assert!(want.iter().all(|w| error.contains(w)), "expected {want:?} in: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn one_rule_gives_every_layer_that_has_a_choice_its_density() {
    let net = Network::new(40).masked(30, Relu, 0.9).dense(20, Relu).masked(10, Identity, 0.9);
    let kept = |net: &Network| -> Vec<usize> {
        let model = build(net).unwrap();
        let weights = model.params().iter().filter(|(_, p)| p.role.is_matrix());
        weights.map(|(_, p)| p.kept()).collect()
    };
    // 1200 and 200 weights to choose from; ends 70 and 30.
    assert_eq!(kept(&net.clone().density(Density::Uniform(0.1))), [120, 600, 20]);
    assert_eq!(kept(&net.clone().density(Density::Erk(0.1))), [98, 600, 42]);
    assert_eq!(kept(&net.clone().density(Density::Epsilon(5.0))), [350, 600, 150]);
    assert_eq!(kept(&net), [1080, 600, 180]);
    let error = build(&net.density(Density::Erk(2.0))).unwrap_err().to_string();
    assert!(error.contains("`erk` is 2"), "{error}");
    let error = build(&Network::new(4).dense(3, Relu).density(Density::Erk(0.5))).unwrap_err().to_string();
    assert!(error.contains("kind `sparse` or `masked`"), "{error}");
}
