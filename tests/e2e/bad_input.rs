//! Bad input gets one sentence on standard error, exit code 2, and leaves nothing half written.

use crate::support::{SMALL, command, done, files, folder, ok, xtask};
use std::path::Path;

/// A case: the arguments, and words that the sentence must contain.
struct Case {
    args: Vec<String>,
    words: &'static [&'static str],
}

fn case(line: &'static str, words: &'static [&'static str]) -> Case {
    Case { args: line.split_whitespace().map(Into::into).collect(), words }
}

/// Runs all cases and reports every failure.
fn check(folder: &Path, cases: Vec<Case>) {
    let before = files(folder);
    let mut problems = Vec::new();
    for case in cases {
        let args: Vec<&str> = case.args.iter().map(String::as_str).collect();
        let done = xtask(folder, &args);
        let sentence = done.err.trim();
        let mut bad = Vec::new();
        if done.code != 2 {
            bad.push(format!("exit code {}", done.code));
        }
        if sentence.lines().count() != 1 || sentence.contains("panicked") || !done.out.is_empty() {
            bad.push("not one sentence on standard error alone".into());
        }
        bad.extend(case.words.iter().filter(|w| !sentence.contains(*w)).map(|w| format!("does not say `{w}`")));
        if files(folder) != before {
            bad.push(format!("left something behind: {:?}", files(folder)));
        }
        if !bad.is_empty() {
            problems.push(format!("{}: {}\n    {}{}", case.args.join(" "), bad.join(", "), done.out, done.err));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn command_lines() {
    let folder = folder(&[]);
    check(
        folder.path(),
        vec![
            case("prnue", &["prnue", "prune"]),
            case("run --nonsense", &["--nonsense"]),
            case("run small.toml --threads 0", &["--threads"]),
            case("run small.toml --backend cpuu", &["cpuu", "did you mean `cpu`"]),
            case("run small.toml --backend cuda", &["cuda"]),
            case("run small.toml --backend torch", &["backend `torch`"]),
            case("run small.toml --set backend=cpuu", &["cpuu", "did you mean `cpu`"]),
            case("run small.toml --set backend=torch", &["backend `torch`"]),
            case("bench file --backend torch", &["backend `torch`"]),
            case("setup trch", &["trch", "torch"]),
            case("run digitz", &["digitz", "digits"]),
            case("run missing.toml", &["missing.toml"]),
            case("run small.toml --set epochs", &["key=value"]),
            case("run small.toml --set train.epoch=3", &["epoch", "epochs"]),
            case("run small.toml --seed -1", &["-1"]),
            case("run small.toml --seed 9223372036854775808", &["9223372036854775808", "--seed"]),
            case("run small.toml --set finetune.optimizer.rate=nan", &["`finetune.optimizer.rate` is NaN", "finite"]),
            case("run small.toml --set verdict.max_drop=2", &["verdict.max_drop", "points of accuracy are 0.02"]),
            case("train small.toml --out no/such/folder/m.spectral", &["no/such/folder"]),
            case("run small.toml --out small.toml", &["small.toml", "folder"]),
            case("bench nonsense", &["nonsense", "train"]),
            case("new pruner magnitude", &["magnitude", "exists"]),
            case("new pruner Bad_Name", &["Bad_Name"]),
            case("data fetch mnits", &["mnits", "mnist"]),
        ],
    );
}

#[test]
fn recipes() {
    let folder = folder(&[]);
    let at = folder.path();
    let bad = [
        ("unknown-key", "seed = 3", "sead = 3", &["sead", "did you mean `seed`"][..]),
        ("unknown-layer-key", "units = 40", "unit = 40", &["unit", "units"]),
        ("unknown-kind", "kind = \"spectral\"", "kind = \"spectrall\"", &["spectrall", "did you mean `spectral`"]),
        ("wrong-type", "epochs = 3", "epochs = \"many\"", &["epochs", "many"]),
        ("negative", "epochs = 3", "epochs = -3", &["-3"]),
        ("zero-width", "units = 40", "units = 0", &["0"]),
        ("large-batch", "batch = 50", "batch = 5000", &["5000", "larger", "1437"]),
        ("zero-batch", "batch = 50", "batch = 0", &["batch"]),
        ("fraction", "amount = 0.6", "amount = 1.6", &["1.6"]),
        ("negative-fraction", "amount = 0.6", "amount = -0.1", &["-0.1"]),
        ("percentile", "amount = 0.6", "percentile = 101.0", &["101"]),
        ("everything", "amount = 0.6", "amount = 1.0", &["everything", "closest"]),
        ("unknown-criterion", "\"magnitude\"", "\"magnitud\"", &["magnitud", "did you mean `magnitude`", "eigenvalue"]),
        ("unknown-granularity", "granularity = \"unit\"", "granularity = \"units\"", &["units", "`unit`", "`4x1`"]),
        ("empty-block", "granularity = \"unit\"", "granularity = \"4x0\"", &["`4x0`", "`4x1`", "`2:4`"]),
        ("pattern-and-amount", "granularity = \"unit\"", "granularity = \"2:4\"", &["`2:4`", "leave out `amount`"]),
        ("unknown-set", "set = \"digits\"", "set = \"digit\"", &["digit", "digits"]),
        ("no-layers", "epochs = 3", "epochs = 3\nlayers = 1", &["layers"]),
        ("wrong-outputs", "units = 10 }", "units = 11 }", &["11", "10"]),
        ("unknown-report-key", "sweep = [0.5]", "trackr = true", &["trackr", "did you mean `tracker`"]),
        (
            "sparse-training",
            "seed = 3",
            "sparse_training = \"often\"",
            &["sparse_training", "often", "`auto`", "`never`"],
        ),
        ("not-toml", "[train]", "[train", &["line"]),
        ("unknown-optimizer", "epochs = 3", "epochs = 3\noptimizer = \"adamm\"", &["adamm", "did you mean `adam`"]),
    ];
    let mut cases = Vec::new();
    for (name, from, to, words) in bad {
        assert!(SMALL.contains(from), "the recipe has no `{from}`");
        std::fs::write(at.join(format!("{name}.toml")), SMALL.replacen(from, to, 1)).unwrap();
        cases.push(Case { args: vec!["run".into(), format!("{name}.toml"), "--out".into(), "out".into()], words });
    }
    check(at, cases);
}

#[test]
fn model_files() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "good.spectral", "--set", "train.epochs=0"]);
    let good = std::fs::read(at.join("good.spectral")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(at.join(name), bytes).unwrap();
    write("empty.spectral", &[]);
    write("truncated.spectral", &good[..good.len() - 7]);
    write("longer.spectral", &[&good[..], b"x"].concat());
    write("magic.spectral", &[b"ABCD", &good[4..]].concat());
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x40;
    write("flipped.spectral", &flipped);
    write("text.spectral", b"hello");
    ok(
        at,
        &[
            "train",
            "small.toml",
            "--out",
            "other.spectral",
            "--set",
            "train.epochs=0",
            "--set",
            "network.layers.2.units=10",
        ],
    );
    let csv = "1,2,0\n2,3,1\n".repeat(20);
    write("tiny.csv", csv.as_bytes());
    let tiny = SMALL
        .replace("set = \"digits\"", "set = \"tiny.csv\"")
        .replace("units = 10 }", "units = 2 }")
        .replace("batch = 50", "batch = 10");
    write("tiny.toml", tiny.as_bytes());
    ok(at, &["train", "tiny.toml", "--out", "tiny.spectral", "--set", "train.epochs=0"]);
    check(
        at,
        vec![
            case("eval missing.spectral", &["missing.spectral"]),
            case("eval empty.spectral", &["empty.spectral"]),
            case("eval truncated.spectral", &["truncated.spectral"]),
            case("inspect truncated.spectral", &["truncated.spectral"]),
            case("eval longer.spectral", &["longer.spectral"]),
            case("eval magic.spectral", &["magic.spectral"]),
            case("eval flipped.spectral", &["flipped.spectral"]),
            case("inspect text.spectral", &["text.spectral"]),
            case("prove good.spectral tiny.spectral", &["64", "2"]),
            case("eval good.spectral --data tiny.csv", &["64", "2"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --amount 1", &["1"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --amount 2", &["2"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --percentile 200", &["200"]),
            case("prune good.spectral --out x.spectral --criterion magnitude", &["amount"]),
            case(
                "prune good.spectral --out x.spectral --criterion magnitude --granularity 4by1 --amount 0.5",
                &["`4by1`", "`unit`", "`4x1`", "`2:4`"],
            ),
            case("prune good.spectral --out x.spectral --criterion magnitude --granularity 4:2", &["`4:2`", "`2:4`"]),
            case(
                "prune good.spectral --out x.spectral --criterion magnitude --granularity 2:4 --amount 0.5",
                &["`2:4`", "leave out `amount`"],
            ),
            case("prune good.spectral --out x.spectral --criterion nothing --amount 0.5", &["nothing", "magnitude"]),
            case(
                "prune good.spectral --out x.spectral --criterion magnitude --amount 0.5 --layers dens1",
                &["dens1", "dense1"],
            ),
            case("prune good.spectral --out x.spectral --criterion magnitude --amounts dense1", &["LAYER=FRACTION"]),
            case(
                "prune good.spectral --out x.spectral --criterion magnitude --amounts dens1=0.5",
                &["dens1", "dense1"],
            ),
            case("prune good.spectral --out x.spectral --criterion magnitude --amounts dense1=1.5", &["1.5"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --amounts dense1=NaN", &["NaN"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --percentile NaN", &["NaN"]),
            case("prune good.spectral --out x.spectral --criterion magnitude --percentile -1", &["-1", "between"]),
            case("undo good.spectral --out x.spectral", &["0 steps"]),
            case("eval good.spectral --batch 0", &["--batch"]),
        ],
    );
}

#[test]
fn data_files() {
    let folder = folder(&[]);
    let at = folder.path();
    let write = |name: &str, text: &str| {
        std::fs::write(at.join(name), text).unwrap();
        let recipe = SMALL.replace("set = \"digits\"", &format!("set = \"{name}\""));
        std::fs::write(at.join(format!("{name}.toml")), recipe).unwrap();
    };
    write("nan.csv", &"1,nan,0\n2,3,1\n".repeat(10));
    write("empty.csv", "");
    write("ragged.csv", "1,2,0\n1,0\n");
    write("words.csv", "1,2,0\n1,two,1\n");
    std::fs::write(at.join("gone.csv.toml"), SMALL.replace("set = \"digits\"", "set = \"gone.csv\"")).unwrap();
    check(
        at,
        vec![
            case("train nan.csv.toml --out m.spectral", &["nan.csv"]),
            case("train empty.csv.toml --out m.spectral", &["empty.csv"]),
            case("train ragged.csv.toml --out m.spectral", &["ragged.csv"]),
            case("train words.csv.toml --out m.spectral", &["words.csv", "two"]),
            case("train gone.csv.toml --out m.spectral", &["gone.csv"]),
        ],
    );
}

#[test]
fn a_panic_is_called_a_bug_in_one_sentence_and_nothing_is_written() {
    let folder = folder(&[]);
    ok(folder.path(), &["train", "small.toml", "--set", "train.epochs=1", "--out", "a.spectral"]);
    let before = files(folder.path());
    let prune = ["prune", "a.spectral", "--criterion", "tests.buggy", "--amount", "0.5", "--out", "b.spectral"];
    let failed = xtask(folder.path(), &prune);
    assert_eq!((failed.code, failed.err.trim().lines().count(), failed.out.as_str()), (1, 1, ""), "{}", failed.err);
    for word in ["a bug in this program", "index out of bounds", "buggy.rs", "please report it"] {
        assert!(failed.err.contains(word), "{word}: {}", failed.err);
    }
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_diverging_run_names_layer_and_step() {
    let folder =
        folder(&[("epochs = 3\nbatch = 50", "epochs = 3\nbatch = 50\noptimizer = { name = \"sgd\", rate = 1e30 }")]);
    let done = xtask(folder.path(), &["train", "small.toml", "--out", "m.spectral"]);
    assert_eq!((done.code, folder.path().join("m.spectral").exists()), (1, false), "{}", done.err);
    assert!(done.err.contains("NaN or infinite") && done.err.contains("step"), "{}", done.err);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "good.spectral", "--set", "train.epochs=0"]);
    // Files may grow to 1 KiB, which is less than any model needs.
    let inner =
        command(at, &["prune", "good.spectral", "--out", "x.spectral", "--criterion", "magnitude", "--amount", "0.5"]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    let before = files(at);
    let done = done(limited.current_dir(at).output().unwrap());
    assert_eq!(done.code, 2, "{}", done.err);
    assert_eq!((done.err.trim().lines().count(), files(at)), (1, before), "{}", done.err);
}

/// More levels than a parser's stack has room for, more threads than a machine can start, a name of several lines.
#[test]
fn absurd_sizes_and_names_are_one_sentence() {
    let folder = folder(&[]);
    let at = folder.path();
    let deep = format!("{}a=1", "a.".repeat(20_000));
    let nested = format!("seed={}", "[".repeat(20_000));
    for args in [
        &["run", "small.toml", "--set", &deep][..],
        &["run", "small.toml", "--set", &nested],
        &["eval", "two\nlines.spectral"],
        &["run", "two\nlines\u{1b}[2J.toml"],
    ] {
        let done = xtask(at, args);
        assert_eq!((done.code, done.err.trim().lines().count()), (2, 1), "{:?}: {}", args[1], done.err);
        assert!(done.err.len() < 600 && !done.err.contains('\u{1b}'), "{}", done.err);
    }
    let threads = ["train", "small.toml", "--out", "m.spectral", "--set", "train.epochs=0", "--threads"];
    for absurd in ["18446744073709551615", "30000"] {
        let done = ok(at, &[&threads[..], &[absurd]].concat());
        assert!(
            done.err.contains(&format!("--threads {absurd} is more than this machine has use for")),
            "{}",
            done.err
        );
    }
}
