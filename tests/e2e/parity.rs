//! `docs/parity.md` names, for every row of the two libraries, tests that exist.

use std::collections::BTreeMap;
use std::path::Path;

/// The rows of the reference lists, by library: a group's letter and its number of rows; 0 for a group that is one row.
const ROWS: [(&str, &[(char, usize)]); 2] = [
    ("spectraltools", &[('A', 20), ('B', 11), ('C', 7), ('D', 5)]),
    (
        "Sparana",
        &[
            ('A', 16),
            ('B', 15),
            ('C', 19),
            ('D', 11),
            ('E', 8),
            ('F', 8),
            ('G', 10),
            ('H', 4),
            ('I', 7),
            ('J', 0),
            ('K', 0),
        ],
    ),
];

/// The content of a cell if nothing proves the row yet.
const OPEN: &str = "open";

/// The problems found, and the rows that are still open.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<String>,
    open: Vec<String>,
}

#[test]
fn every_row_is_there_and_every_test_it_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("docs/parity.md")).unwrap();
    let found = check(&text, &|file| std::fs::read_to_string(root.join(file)).ok());
    // The lists must not shrink unnoticed.
    assert_eq!(ids().len(), 43 + 100);
    println!("{} open rows: {}", found.open.len(), found.open.join(", "));
    assert!(found.problems.is_empty(), "{}", found.problems.join("\n"));
}

/// `library row`, for every row.
fn ids() -> Vec<String> {
    let mut ids = Vec::new();
    for (library, groups) in ROWS {
        for &(letter, rows) in groups {
            match rows {
                0 => ids.push(format!("{library} {letter}")),
                _ => ids.extend((1..=rows).map(|n| format!("{library} {letter}{n}"))),
            }
        }
    }
    ids
}

/// Checks the tables of `text`; `read` gives the content of a file of the workspace.
fn check(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Findings {
    let mut found = Findings::default();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut library = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            library = ROWS.iter().map(|(name, _)| *name).find(|name| heading.trim() == *name).unwrap_or("");
        }
        let Some(cells) = cells(line).filter(|c| !library.is_empty() && is_row(c[0])) else { continue };
        let [id, ours, test, regression] = cells[..] else {
            found.problems.push(format!("line {}: {} cells, not 4: {line}", number + 1, cells.len()));
            continue;
        };
        let name = format!("{library} {id}");
        *seen.entry(name.clone()).or_default() += 1;
        if ours.is_empty() {
            found.problems.push(format!("{name}: says nothing about what is ours"));
        }
        if test == OPEN || regression == OPEN {
            found.open.push(name.clone());
        }
        for (column, cell) in [("test", test), ("regression test", regression)] {
            let none = cell == OPEN || (column == "regression test" && cell == "-");
            let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            if !none && named.is_empty() {
                found
                    .problems
                    .push(format!("{name}: its {column} is neither named in backquotes nor `{OPEN}`: {cell}"));
            }
            found.problems.extend(named.iter().filter_map(|t| missing(t, read)).map(|p| format!("{name}: {p}")));
        }
    }
    for id in ids() {
        match seen.remove(&id) {
            Some(1) => {}
            None => found.problems.push(format!("{id} is missing")),
            Some(n) => found.problems.push(format!("{id} is there {n} times")),
        }
    }
    found.problems.extend(seen.into_keys().map(|id| format!("{id} is not a row of the list")));
    found
}

/// The cells of a line of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// A capital letter and a number, or a letter alone.
fn is_row(cell: &str) -> bool {
    let mut letters = cell.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase()) && letters.all(|c| c.is_ascii_digit())
}

/// Why `crate/path.rs::function` is not a test that runs; `None` if it is one.
fn missing(test: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some((file, function)) = test.rsplit_once("::") else {
        return Some(format!("`{test}` is not written as crate/path.rs::function"));
    };
    let Some(text) = read(file) else { return Some(format!("`{test}`: there is no file {file}")) };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let starts = [format!("fn {function}("), format!("async fn {function}(")];
    let Some(at) = lines.iter().position(|l| starts.iter().any(|s| l.starts_with(s))) else {
        return Some(format!("`{test}`: {file} has no function {function}"));
    };
    let is_above = |l: &&&str| l.starts_with("#[") || l.starts_with("//") || l.ends_with(")]");
    let above: Vec<&&str> = lines[..at].iter().rev().take_while(is_above).collect();
    if !above.iter().any(|l| **l == "#[test]") {
        return Some(format!("`{test}`: {function} is no #[test]"));
    }
    above.iter().any(|l| l.starts_with("#[ignore")).then(|| format!("`{test}`: {function} is ignored"))
}

/// A document and a workspace without faults.
fn sound() -> (String, BTreeMap<&'static str, &'static str>) {
    let mut text = String::from("# Parity\n");
    for (library, _) in ROWS {
        text += &format!("\n## {library}\n\n| id | ours | test | regression test |\n|---|---|---|---|\n");
        for id in ids().iter().filter_map(|id| id.strip_prefix(&format!("{library} "))) {
            text += &format!("| {id} | `layer` | `a/t.rs::good`, `a/p.rs::holds` | - |\n");
        }
    }
    let files = [
        ("a/t.rs", "/// A1.\n#[test]\nfn good() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn idle() {}\n\nfn helper() {}\n"),
        ("a/p.rs", "proptest! {\n    #[test]\n    // A2.\n    fn holds(x in 0..3) {}\n}\n"),
    ];
    (text, files.into())
}

#[test]
fn a_sound_document_passes() {
    let (text, files) = sound();
    let found = check(&text, &|file| files.get(file).map(ToString::to_string));
    assert!(found.problems.is_empty() && found.open.is_empty(), "{found:?}");
}

#[test]
fn planted_faults_are_found() {
    let (sound, files) = sound();
    let row = "| B3 | `layer` | `a/t.rs::good`, `a/p.rs::holds` | - |\n";
    for (fault, said) in [
        ("", "spectraltools B3 is missing"),
        (&row.repeat(2)[..], "spectraltools B3 is there 2 times"),
        ("| B3 | `layer` | `a/t.rs::gone` | - |\n", "a/t.rs has no function gone"),
        ("| B3 | `layer` | `a/u.rs::good` | - |\n", "there is no file a/u.rs"),
        ("| B3 | `layer` | `a/t.rs::good` | `a/t.rs::helper` |\n", "helper is no #[test]"),
        ("| B3 | `layer` | `a/t.rs::idle` | - |\n", "idle is ignored"),
        ("| B3 | `layer` | `good` | - |\n", "is not written as crate/path.rs::function"),
        ("| B3 | `layer` | yes | - |\n", "its test is neither named"),
        ("| B3 | `layer` | - | - |\n", "its test is neither named"),
        ("| B3 | | `a/t.rs::good` | - |\n", "says nothing about what is ours"),
        ("| B3 | `layer` | `a/t.rs::good` |\n", "3 cells, not 4"),
        (&row.replace("B3", "B99")[..], "spectraltools B99 is not a row"),
    ] {
        assert!(sound.contains(row));
        // The first table is that of spectraltools.
        let text = sound.replacen(row, fault, 1);
        let found = check(&text, &|file| files.get(file).map(ToString::to_string));
        assert!(found.problems.iter().any(|p| p.contains(said)), "{fault}: {:?}", found.problems);
    }
    let text = sound.replacen(row, "| B3 | `layer` | open | open |\n", 1);
    let found = check(&text, &|file| files.get(file).map(ToString::to_string));
    assert_eq!((found.open, found.problems), (vec!["spectraltools B3".into()], Vec::<String>::new()));
}
