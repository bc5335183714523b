//! `reproduce [ID]`

use crate::reproduce::{ALL, Lab, Published, Repetition, Scale, find};
use crate::{Failure, Result};
use clap::{ArgMatches, Args, Command};
use serde_json::json;
use spectral_core::registry::{self, Unknown};
use spectral_core::{Activation, Error};
use spectral_data::DatasetEntry;
use spectral_workflow::Context;
use spectral_workflow::files::prepare_folder;
use spectral_workflow::output::{Answer, note};
use spectral_workflow::{Extra, cli, machine};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, clap::Args)]
struct Options {
    /// Which result; without it they are listed
    id: Option<String>,
    /// A small version that takes less than a minute; its numbers are not judged
    #[arg(long)]
    quick: bool,
    /// Runs from different seeds
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// The first of these seeds; the others follow it
    #[arg(long, value_name = "N", default_value_t = 1)]
    first_seed: u64,
    /// Passes over the data
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Activations to try, of a result that tries several
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    activations: Vec<String>,
    /// Data sets to try, of a result that tries several
    #[arg(long, value_name = "SET", value_delimiter = ',')]
    data: Vec<String>,
    /// Arms to run, of a result that has several that take long
    #[arg(long, value_name = "ARM", value_delimiter = ',')]
    arms: Vec<String>,
    /// Folder for the results [default: target/spectral/reproduce-ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn verb() -> Extra {
    let command = Command::new("reproduce").about("Repeat a published result and put it beside ours");
    Extra::new(Options::augment_args(command).arg(cli::json_flag()), run)
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<()> {
    let options: Options = cli::options(matches)?;
    let Some(id) = &options.id else { return list().print(cx.format) };
    let published = find(id)?;
    let lab = Lab { cx, scale: scale(published, &options)? };
    let folder = format!("target/spectral/reproduce-{}", published.id);
    let out = options.out.clone().unwrap_or_else(|| Path::new(&folder).into());
    prepare_folder(&out)?;
    note(format!("{}: {}", published.id, published.title));
    let started = Instant::now();
    // Leaves no empty folder behind; one with files in it stays.
    let outcome = (published.run)(&lab).inspect_err(|_| drop(std::fs::remove_dir(&out)))?;
    let seconds = started.elapsed().as_secs_f64();
    let machine = machine::describe(cx)?;
    let done = Repetition { published, quick: options.quick, outcome, seconds, machine };
    done.save(&out)?;
    let text = format!("{}\nresults: {}", done.text(), out.join("result.html").display());
    Answer { text, json: done.json() }.print(cx.format)?;
    done.missed().map_or(Ok(()), |missed| Err(Failure::Check(missed)))
}

/// What can be repeated.
fn list() -> Answer {
    let lines = ALL.iter().map(|p| format!("{:4} {}\n     {}", p.id, p.title, p.source));
    let text = lines.collect::<Vec<_>>().join("\n");
    let json = ALL.iter().map(|p| json!({ "id": p.id, "title": p.title, "source": p.source })).collect();
    Answer { text, json }
}

/// The options in the terms of a repetition, checked.
fn scale(published: &Published, options: &Options) -> Result<Scale> {
    for (name, value) in [("--seeds", options.seeds), ("--epochs", options.epochs)] {
        if value == Some(0) {
            return Err(Failure::input(format!("{name} must be at least 1")));
        }
    }
    let lists = [("--activations", &options.activations), ("--data", &options.data), ("--arms", &options.arms)];
    for (name, given) in lists {
        if !given.is_empty() && !published.options.contains(&name) {
            let takers: Vec<&str> = ALL.iter().filter(|p| p.options.contains(&name)).map(|p| p.id).collect();
            return Err(Failure::input(format!("{name} is for {}, not for {}", takers.join(", "), published.id)));
        }
    }
    let activation = |name: &String| -> Result<(String, Activation)> {
        let found = Activation::NAMES.iter().find(|(known, _)| known == name);
        let known: Vec<&str> = Activation::NAMES.iter().map(|(known, _)| *known).collect();
        let unknown = || Error::from(Unknown::new("activation", name, &known));
        Ok((name.clone(), found.ok_or_else(unknown)?.1))
    };
    for set in &options.data {
        registry::find::<DatasetEntry>(set)?;
    }
    if let Some(unknown) = options.arms.iter().find(|name| !published.arms.contains(&name.as_str())) {
        return Err(Error::from(Unknown::new("arm", unknown, published.arms)).into());
    }
    Ok(Scale {
        quick: options.quick,
        seeds: options.seeds,
        first_seed: options.first_seed,
        epochs: options.epochs,
        activations: options.activations.iter().map(activation).collect::<Result<_>>()?,
        sets: options.data.clone(),
        arms: options.arms.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn asked(line: &str) -> Result<Scale> {
        let options = Line::parse_from(line.split(' ')).options;
        scale(find(options.id.as_deref().unwrap()).unwrap(), &options)
    }

    #[test]
    fn seeds_begin_at_1_unless_another_is_asked_for() {
        for published in &ALL {
            assert_eq!(asked(&format!("reproduce {} --seeds 3", published.id)).unwrap().first_seed, 1);
            let scale = asked(&format!("reproduce {} --seeds 3 --first-seed 4", published.id)).unwrap();
            assert_eq!((scale.seeds, scale.first_seed), (Some(3), 4));
        }
    }

    #[test]
    fn arms_are_those_of_the_result() {
        assert!(asked("reproduce T3").unwrap().arms.is_empty());
        assert_eq!(asked("reproduce T3 --arms spectral,scratch").unwrap().arms, ["spectral", "scratch"]);
        let known = "(known: dense, spectral, eigenvalues, dense-retrained, scratch)";
        for (line, said) in [
            ("reproduce T3 --arms dense,spectrl", format!("unknown arm `spectrl`; did you mean `spectral`? {known}")),
            ("reproduce T3 --arms lottery", format!("unknown arm `lottery` {known}")),
            ("reproduce T1 --arms dense", "--arms is for T3, not for T1".into()),
        ] {
            let failure = asked(line).unwrap_err();
            assert_eq!((failure.to_string(), failure.exit_code()), (said, 2), "{line}");
        }
    }
}
