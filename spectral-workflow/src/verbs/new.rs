//! `new pruner NAME`

use crate::output::Answer;
use crate::{Failure, Result, files};
use std::path::{Component, Path, PathBuf};

/// The files of a plug-in crate. The example plug-in of the repository is the template, so that it is built and
/// tested like everything else.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../../../examples/plugin/Cargo.toml")),
    (".gitignore", include_str!("../../../examples/plugin/.gitignore")),
    (".cargo/config.toml", include_str!("../../../examples/plugin/.cargo/config.toml")),
    ("src/lib.rs", include_str!("../../../examples/plugin/src/lib.rs")),
    ("src/main.rs", include_str!("../../../examples/plugin/src/main.rs")),
    ("tests/conformance.rs", include_str!("../../../examples/plugin/tests/conformance.rs")),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A pruning criterion
    Pruner {
        /// Name of the criterion and of the crate: lower-case letters, digits and `-`
        name: String,
        /// Folder to make [default: ./NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

pub(crate) fn run(options: &Options) -> Result<Answer> {
    let What::Pruner { name, out } = &options.what;
    check_name(name)?;
    let out = out.clone().unwrap_or_else(|| PathBuf::from(name));
    if out.exists() {
        return Err(Failure::input(format!("{} exists already; choose another name or --out", out.display())));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(&out).map_err(|e| Failure::writing(&out, e))?;
    let here = out.canonicalize().map_err(|e| Failure::writing(&out, e))?;
    let up = relative(&here, &workspace.canonicalize().map_err(|e| Failure::reading(workspace, e))?);
    for (file, template) in FILES {
        let path = out.join(file);
        let folder = path.parent().unwrap_or(&out);
        std::fs::create_dir_all(folder).map_err(|e| Failure::writing(folder, e))?;
        files::write(&path, &fill(template, name, &up))?;
    }
    let text = format!(
        "wrote {0}; now `cd {0}`, edit src/lib.rs, `cargo test`, and `cargo xtask plugins` lists `{name}`",
        out.display()
    );
    Ok(Answer { text, json: serde_json::json!({ "crate": out.display().to_string(), "criterion": name }) })
}

/// Names that cargo, the language or the template itself uses.
const TAKEN: [&str; 53] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pruner",
    "pub",
    "ref",
    "result",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "target",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "use",
];

fn check_name(name: &str) -> Result<()> {
    let ok = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-');
    if !ok || TAKEN.contains(&name) || name.starts_with("spectral") {
        return Err(Failure::input(format!(
            "`{name}` cannot name this crate; use lower-case letters, digits and `-`, and no word of Rust or of this library"
        )));
    }
    if spectral_core::registry::all::<spectral_core::PrunerEntry>()?.iter().any(|e| e.name == name) {
        return Err(Failure::input(format!("a criterion `{name}` exists already; choose another name")));
    }
    Ok(())
}

/// The template for `name`, with the workspace at `up`.
fn fill(template: &str, name: &str, up: &Path) -> String {
    let module = name.replace('-', "_");
    let up = up.display().to_string().replace('\\', "/");
    template
        .replace("\"../../", &format!("\"{up}/"))
        .replace("energy::", &format!("{module}::"))
        .replace("use energy ", &format!("use {module} "))
        .replace("Energy", &camel(name))
        .replace("\"energy\"", &format!("\"{name}\""))
}

fn camel(name: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('-').filter(|p| !p.is_empty()).map(capital).collect()
}

/// How to get from folder `from` to folder `to`, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let parts = |p: &Path| {
        p.components().filter(|c| *c != Component::CurDir).map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let ups = from[common..].iter().map(|_| "..".into());
    ups.chain(to[common..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_everywhere_they_must() {
        let lib = fill(FILES[3].1, "least-used", Path::new("../spectral"));
        assert!(lib.contains("struct LeastUsed") && lib.contains("register_pruner!(LeastUsed, \"least-used\""));
        let main = fill(FILES[4].1, "least-used", Path::new("../spectral"));
        assert!(main.contains("use least_used as _;"));
        let manifest = fill(FILES[0].1, "least-used", Path::new("../spectral"));
        assert!(
            manifest.contains("name = \"least-used\"") && manifest.contains("path = \"../spectral/spectral-core\"")
        );
        for (file, template) in FILES {
            assert!(!fill(template, "least-used", Path::new("..")).to_lowercase().contains("energy"), "{file}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "Big", "9x", "a b", "../x", "a-", "a_b", "match", "pruner", "serde", "spectral-core"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn relative_paths_lead_there() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d")), Path::new("../../d"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a/d")), Path::new("d"));
    }
}
