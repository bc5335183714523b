//! House rules that no compiler checks.

use crate::report;
use spectral_workflow::{Failure, Result};
use std::path::Path;
use std::process::Command;

/// Source files may not be longer.
const MOST_LINES: usize = 800;

/// Source files that are longer are worth a thought; they are listed.
const MANY_LINES: usize = 500;

/// Checks every tracked file.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut problems = Vec::new();
    let mut long = Vec::new();
    for file in tracked(root)? {
        let Ok(text) = std::fs::read_to_string(root.join(&file)) else { continue };
        if file.ends_with(".rs") {
            let lines = text.lines().count();
            if lines > MOST_LINES {
                problems.push(format!("{file}: {lines} lines; split it (at most {MOST_LINES})"));
            } else if lines > MANY_LINES {
                long.push(format!("{lines:5}  {file}"));
            }
            if (file.ends_with("/src/lib.rs") || file.ends_with("/src/main.rs")) && !text.starts_with("//!") {
                problems.push(format!("{file}: starts without `//!`; say what the crate is"));
            }
        }
        if !matches!(file.as_str(), "Cargo.lock" | "LICENSE-APACHE") {
            problems.extend(lines_with_problems(&file, &text));
        }
    }
    if !long.is_empty() {
        println!("over {MANY_LINES} lines:\n{}", long.join("\n"));
    }
    report("tidy", &problems)
}

fn lines_with_problems(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let at = format!("{file}:{}", i + 1);
        if line.ends_with([' ', '\t']) {
            problems.push(format!("{at}: trailing space"));
        }
        // In two pieces, so that this file does not find itself.
        if line.contains(concat!("/home", "/")) || line.contains(concat!("/wo", "rk/")) {
            problems.push(format!("{at}: a path of one machine"));
        }
    }
    problems
}

/// The files git knows.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output();
    let output = listed.map_err(|e| Failure::input(format!("git ls-files: {e}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect())
}
