//! Choice of the backend: by the command line, by the recipe, or the best available.

use crate::support::{folder, ok};

#[test]
fn the_command_line_decides_before_the_recipe_and_the_report_says_where_it_ran() {
    let folder = folder(&[]);
    let at = folder.path();
    let run = |out: &str, more: &[&str]| {
        let args = [&["run", "small.toml", "--json", "--out", out], more].concat();
        let done = ok(at, &args);
        (done.json()["machine"].clone(), done.err)
    };
    let (machine, words) = run("a", &["--set", "backend=cpu"]);
    assert_eq!(machine["backend"], "cpu");
    assert!(machine.get("instead").is_none() && !words.contains("using backend"), "{machine} {words}");
    let (machine, words) = run("b", &["--set", "backend=cuda", "--backend", "auto"]);
    let line = words.lines().find(|l| l.starts_with("using backend")).unwrap_or_default();
    assert!(line.contains(machine["backend"].as_str().unwrap()), "{machine} {words}");
    if machine["backend"] == "cpu" {
        assert!(machine["instead"].as_str().unwrap().contains("cuda") && line.contains("cuda"), "{machine} {words}");
    }
}
