//! House rules that no compiler checks.

use crate::{folders, report};
use proc_macro2::{TokenStream, TokenTree};
use spectral_workflow::{Failure, Result};
use std::path::Path;
use std::process::Command;

/// Source files may not be longer.
const MOST_LINES: usize = 800;

/// Source files that are longer are worth a thought; they are listed.
const MANY_LINES: usize = 500;

/// Columns a comment may fill: as many as code, which the formatter sees to.
const COLUMNS: usize = 120;

/// Modules that may hold unsafe code, each with its folder.
const UNSAFE: [&str; 5] = [
    "spectral-cpu/src/kernels",
    "spectral-cuda/src/device",
    // The device of tests, which calls what a C++ compiler made of the kernels.
    "spectral-cuda/tests/suite/shim",
    // A rival to measure; nothing safe binds it.
    "spectral-cuda/examples/measure/cusparse",
    // The allocator of all tests of memory; the trait is unsafe.
    "spectral-testkit/src/counting",
];

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
            problems.extend(stray_unsafe(&file, &text));
            problems.extend(folders::upward(&file, &text));
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
        let comment = file.ends_with(".rs") && line.trim_start().starts_with("//");
        if comment && line.chars().count() > COLUMNS {
            problems.push(format!("{at}: a comment beyond column {COLUMNS}"));
        }
        // In two pieces, so that this file does not find itself.
        if line.contains(concat!("/home", "/")) || line.contains(concat!("/wo", "rk/")) {
            problems.push(format!("{at}: a path of one machine"));
        }
    }
    problems
}

/// Unsafe code outside [`UNSAFE`], whatever feature or macro it is behind.
fn stray_unsafe(file: &str, text: &str) -> Vec<String> {
    let holds = |module: &&str| file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    if UNSAFE.iter().any(holds) {
        return Vec::new();
    }
    match text.parse() {
        Ok(tokens) => {
            let lines = unsafe_lines(tokens).into_iter();
            lines.map(|line| format!("{file}:{line}: unsafe code; it may only be in {}", UNSAFE.join(", "))).collect()
        }
        Err(e) => vec![format!("{file}: {e}")],
    }
}

/// The lines of every `unsafe` among `tokens`, which hold no comments and have strings in one piece.
fn unsafe_lines(tokens: TokenStream) -> Vec<usize> {
    let lines = |token| match token {
        TokenTree::Group(group) => unsafe_lines(group.stream()),
        TokenTree::Ident(word) if word == "unsafe" => vec![word.span().start().line],
        _ => Vec::new(),
    };
    tokens.into_iter().flat_map(lines).collect()
}

/// The files git knows.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output();
    let output = listed.map_err(|e| Failure::input(format!("git ls-files: {e}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word wherever it is no code.
    const SAID: &str = r##"//! On unsafe code.
#![deny(unsafe_op_in_unsafe_fn)]
/// Not unsafe { at } all.
fn f<'a>(_: &'a str) -> (char, &'static str, &'static str, u8) {
    // unsafe { }
    /* unsafe /* impl */ unsafe fn */
    ('"', "unsafe {\" }", r#"unsafe " fn"#, b'"')
}
macro_rules! m { () => { "unsafe" } }
"##;

    #[test]
    fn unsafe_code_is_found_wherever_it_is_code() {
        assert_eq!(stray_unsafe("a/src/lib.rs", SAID), [""; 0]);
        let lines = SAID.lines().count();
        for code in [
            "fn g() { if true { unsafe { f() } } }",
            "unsafe fn g() {}",
            "unsafe impl Send for X {}",
            "macro_rules! m { () => { unsafe { f() } } }",
            "#[cfg(feature = \"never\")] type F = unsafe extern \"C\" fn();",
            "#[unsafe(no_mangle)] fn g() {}",
        ] {
            let found = stray_unsafe("a/src/lib.rs", &format!("{SAID}{code}\n"));
            assert_eq!(found.len(), 1, "{code}: {found:?}");
            assert!(found[0].starts_with(&format!("a/src/lib.rs:{}: unsafe code", lines + 1)), "{found:?}");
        }
    }

    #[test]
    fn unsafe_code_may_be_in_kernels_and_their_folder() {
        let code = "unsafe fn g() {}";
        for file in ["spectral-cpu/src/kernels.rs", "spectral-cpu/src/kernels/vector/avx2.rs"] {
            assert_eq!(stray_unsafe(file, code), [""; 0]);
        }
        for file in ["spectral-cpu/src/kernels_of_mine.rs", "spectral-cpu/src/cpu.rs", "b/spectral-cpu/src/kernels.rs"]
        {
            assert_eq!(stray_unsafe(file, code).len(), 1, "{file}");
        }
    }

    #[test]
    fn comments_end_where_code_does() {
        let wide = format!("    // {}", "é".repeat(COLUMNS - 7));
        assert_eq!(lines_with_problems("a.rs", &wide), [""; 0]);
        assert_eq!(lines_with_problems("a.rs", &format!("{wide}.")), ["a.rs:1: a comment beyond column 120"]);
        assert_eq!(lines_with_problems("a.md", &format!("{wide}.")), [""; 0]);
        assert_eq!(lines_with_problems("a.rs", &format!("let wide = {wide:?};")), [""; 0]);
    }

    #[test]
    fn what_is_no_rust_is_a_problem() {
        assert_eq!(stray_unsafe("a.rs", "fn f() {").len(), 1);
    }
}
