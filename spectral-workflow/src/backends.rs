//! Backends by name: the ones linked in, the best of them, and those that a cargo feature adds.

use crate::output::note;
use crate::{Build, Failure, Result};
use spectral_core::registry::{self, Registered, Unknown};
use spectral_core::{BackendEntry, BackendHandle, BackendOptions};
use std::path::{Path, PathBuf};

/// The name that stands for the best backend that opens here.
pub(crate) const AUTO: &str = "auto";

/// What `auto` tries, best first.
const BEST_FIRST: [&str; 2] = ["cuda", "cpu"];

/// A backend that is part of a program only with a cargo feature.
pub(crate) struct Optional {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    feature: &'static str,
    /// Whether this program was built with the feature.
    built: bool,
    /// What must be there before it can be built, and is not.
    missing: fn() -> Option<&'static str>,
}

pub(crate) const OPTIONAL: [Optional; 3] = [
    Optional {
        name: "cuda",
        summary: "an NVIDIA GPU through its driver",
        feature: "cuda",
        built: cfg!(feature = "cuda"),
        missing: || None,
    },
    Optional {
        name: "torch",
        summary: "libtorch on the CPU",
        feature: "torch",
        built: cfg!(feature = "torch"),
        missing: no_libtorch,
    },
    Optional {
        name: "torch-cuda",
        summary: "libtorch on an NVIDIA GPU",
        feature: "torch",
        built: cfg!(feature = "torch"),
        missing: no_libtorch,
    },
];

fn no_libtorch() -> Option<&'static str> {
    (!libtorch().join("lib").is_dir()).then_some("libtorch is not set up; run `cargo xtask setup torch`")
}

/// Where libtorch is, or is to be put: where cargo tells builds to look for it, else in this folder.
pub(crate) fn libtorch() -> PathBuf {
    std::env::var_os("LIBTORCH").map_or_else(|| Path::new(".libtorch").join("torch"), PathBuf::from)
}

/// An opened backend.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) handle: BackendHandle,
    /// Why it is not a better one, where that is worth a word.
    pub(crate) instead: Option<String>,
}

/// Checks that a backend of that name exists, here or behind a feature.
pub(crate) fn check(name: &str) -> Result<()> {
    let mut known: Vec<&str> = registry::all::<BackendEntry>()?.iter().map(|e| e.name()).collect();
    known.extend(OPTIONAL.iter().map(|o| o.name).chain([AUTO]));
    known.sort_unstable();
    known.dedup();
    match known.contains(&name) {
        true => Ok(()),
        false => Err(spectral_core::Error::from(Unknown::new("backend", name, &known)).into()),
    }
}

/// Opens a backend by name, `auto` if there is none. One that this program was built without is built in: then this
/// process becomes the new program, which starts again with the same arguments.
pub(crate) fn open(name: Option<&str>, options: &BackendOptions, build: Option<&Build>) -> Result<Opened> {
    let asked = name.unwrap_or(AUTO);
    check(asked)?;
    if asked == AUTO {
        return open_best(name.is_some(), options);
    }
    if let Some(entry) = linked(asked)? {
        return Ok(Opened { handle: (entry.open)(options)?, instead: None });
    }
    match OPTIONAL.iter().find(|o| o.name == asked) {
        Some(optional) => Err(optional.build_in(build)),
        None => Err(Failure::input(format!("backend `{asked}` is not part of this program"))),
    }
}

/// The best backend that opens; says what it is not, if that was asked for or comes as a surprise.
fn open_best(asked: bool, options: &BackendOptions) -> Result<Opened> {
    let mut missed = Vec::new();
    let mut surprise = asked;
    for name in BEST_FIRST {
        match linked(name)?.map(|entry| (entry.open)(options)) {
            Some(Ok(handle)) => {
                let instead = Some(missed.join("; ")).filter(|why| surprise && !why.is_empty());
                if surprise {
                    let why = instead.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                    note(format!("using backend `{name}` ({}){why}", handle.describe()));
                }
                return Ok(Opened { handle, instead });
            }
            Some(Err(problem)) => {
                surprise = true;
                missed.push(problem.to_string());
            }
            None => missed.push(format!("backend `{name}` is not part of this program")),
        }
    }
    Err(Failure::input(missed.join("; ")))
}

fn linked(name: &str) -> Result<Option<&'static BackendEntry>> {
    Ok(registry::all::<BackendEntry>()?.into_iter().find(|e| e.name == name))
}

impl Optional {
    /// Those that this program was built without.
    pub(crate) fn absent() -> Result<Vec<&'static Self>> {
        let mut absent = Vec::new();
        for optional in &OPTIONAL {
            if linked(optional.name)?.is_none() {
                absent.push(optional);
            }
        }
        Ok(absent)
    }

    /// Why it is not there, and what helps.
    pub(crate) fn state(&self) -> String {
        match (self.missing)() {
            Some(missing) => missing.into(),
            None => format!("not part of this program; `--backend {}` builds it in", self.name),
        }
    }

    /// Replaces this process by one that was built with the feature; returns only if that cannot be done.
    fn build_in(&self, build: Option<&Build>) -> Failure {
        let name = self.name;
        if let Some(missing) = (self.missing)() {
            return Failure::input(format!("backend `{name}`: {missing}"));
        }
        let Some(build) = build.filter(|b| b.manifest.exists() && !self.built) else {
            let how = format!("build it with `--features spectral-workflow/{}`", self.feature);
            return Failure::input(format!("backend `{name}` is not part of this program; {how}"));
        };
        note(format!("backend `{name}` is not part of this program yet"));
        build.with(self.feature)
    }
}

/// The features of backends that this program was built with.
pub(crate) fn built() -> Vec<&'static str> {
    OPTIONAL.iter().filter(|o| o.built).map(|o| o.feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_opens_something_and_says_what_it_is_not_only_when_asked() {
        let options = BackendOptions { threads: Some(1) };
        let quiet = open(None, &options, None).unwrap();
        let asked = open(Some(AUTO), &options, None).unwrap();
        assert_eq!(quiet.handle.name(), asked.handle.name());
        assert!(asked.handle.name() == "cuda" || asked.instead.unwrap().contains("cuda"));
        assert!(open(Some("cpu"), &options, None).unwrap().instead.is_none());
    }

    #[test]
    fn a_name_that_nobody_has_is_answered_with_those_there_are() {
        let problem = check("troch").unwrap_err().to_string();
        assert!(
            problem.contains("did you mean `torch`") && problem.contains("auto, cpu, cuda, torch, torch-cuda"),
            "{problem}"
        );
        assert!(check(AUTO).is_ok() && check("cpu").is_ok());
    }

    #[test]
    fn a_program_that_cannot_be_built_again_says_what_to_build_it_with() {
        for absent in Optional::absent().unwrap() {
            let failure = open(Some(absent.name), &BackendOptions::default(), None).err().unwrap();
            assert_eq!(failure.exit_code(), 2);
            let text = failure.to_string();
            assert!(text.contains("setup torch") || text.contains("--features"), "{text}");
        }
    }
}
