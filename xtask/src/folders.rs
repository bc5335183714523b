//! The order of folders inside a crate: a folder may use those before it, never one after it.

/// Crates whose folders have an order, each with its folders from the lowest up.
const ORDER: [(&str, &[&str]); 1] =
    [("spectral-core/src/", &["base", "tensor", "backend", "samples", "model", "run", "extend"])];

/// Imports in `file` that run upwards, or that do not say which folder they come from.
pub(crate) fn upward(file: &str, text: &str) -> Vec<String> {
    let found = ORDER.iter().find_map(|(root, order)| Some((file.strip_prefix(root)?, *order)));
    let Some((inside, order)) = found else { return Vec::new() };
    let own = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some(own) = order.iter().position(|f| *f == own) else { return Vec::new() };
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        let at = format!("{file}:{}", number + 1);
        for (start, _) in line.match_indices("crate::") {
            // `$crate` is a path for users of a macro, not an import.
            if line[..start].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
                continue;
            }
            let name: String =
                line[start + 7..].chars().take_while(|c| *c == '_' || c.is_ascii_alphanumeric()).collect();
            match order.iter().position(|f| *f == name) {
                Some(used) if used > own => {
                    problems.push(format!("{at}: `{}` may not use `{name}`, which builds on it", order[own]));
                }
                Some(_) => {}
                // Macros are at the root.
                None if line[start + 7 + name.len()..].starts_with('!') => {}
                None => problems.push(format!("{at}: say which folder `{name}` is in, as in `crate::FOLDER::{name}`")),
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::upward;

    #[test]
    fn imports_may_only_run_downwards() {
        let of = |file: &str, text: &str| upward(&format!("spectral-core/src/{file}"), text);
        assert_eq!(of("model/graph.rs", "use crate::tensor::Shape;\nuse crate::model::Layer;\n"), [""; 0]);
        assert_eq!(of("model.rs", "fn f() -> crate::base::Result<()>"), [""; 0]);
        assert_eq!(of("tensor/mask.rs", "    use crate::model::Model;").len(), 1);
        assert_eq!(of("tensor.rs", "fn f(m: &crate::run::Session) {}").len(), 1);
    }

    #[test]
    fn imports_name_their_folder() {
        let of = |text: &str| upward("spectral-core/src/run/proof.rs", text);
        assert!(of("use crate::Model;")[0].contains("which folder `Model` is in"));
        assert_eq!(of("use crate::{base::Error, Model};").len(), 1);
        assert_eq!(of("crate::part_registry!(X);"), [""; 0]);
        assert_eq!(of("    build: $crate::layer::from_config(),\n/// See [`Model`](crate::Model).\n"), [""; 0]);
    }

    #[test]
    fn crates_without_an_order_and_the_facade_are_free() {
        assert_eq!(upward("spectral-io/src/lib.rs", "use crate::Thing;"), [""; 0]);
        assert_eq!(upward("spectral-core/src/lib.rs", "pub use crate::run::Session;"), [""; 0]);
    }
}
