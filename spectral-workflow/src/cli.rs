//! The command line: what can be asked, and the exit code of the answer.

use crate::context::{Common, Context};
use crate::output::{Format, note};
use crate::{Failure, Result, verbs};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use spectral_core::registry::{self, Registered};
use spectral_core::{PrunerEntry, StrategyEntry};
use std::path::PathBuf;
use std::process::ExitCode;

/// A verb that a program adds to those of this crate.
pub struct Extra {
    /// Its name, help and options.
    pub command: Command,
    /// Runs it.
    pub run: fn(&ArgMatches) -> Result<()>,
}

/// The program around the command line.
#[derive(Default)]
pub struct Program {
    /// Verbs of its own.
    pub extras: Vec<Extra>,
    /// Its `Cargo.toml`, from which it can be built again with a backend that it was built without; its package needs
    /// a feature of the backend's name, which turns on that of this crate.
    pub manifest: Option<PathBuf>,
}

/// Everything that can be asked.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Train, prune, fine-tune, compact, sparsify, prove, save and report, all in one
    Run(verbs::run::Options),
    /// Train a network as a recipe says
    Train(verbs::train::Options),
    /// Prune a model
    Prune(verbs::prune::Options),
    /// Train a pruned model further; pruned entries stay zero
    Finetune(verbs::finetune::Options),
    /// Remove units that no longer do anything, folding their constants into the next bias
    Compact(verbs::compact::Options),
    /// Convert layers to sparse kernels where those were measured faster
    Sparsify(verbs::sparsify::Options),
    /// Check that models compute the same function
    Prove(verbs::prove::Options),
    /// Accuracy, loss, latency and size of a model
    Eval(verbs::eval::Options),
    /// Layers, parameters, sparsity and encodings of a model file
    Inspect(verbs::inspect::Options),
    /// What was done to a model, with original indices
    Explain(verbs::explain::Options),
    /// Go back over the last pruning steps, bit for bit
    Undo(verbs::undo::Options),
    /// Write what turns one model into another of the same form into one small file
    Delta(verbs::delta::Options),
    /// Apply such a file to the model it was made from
    Apply(verbs::delta::ApplyOptions),
    /// Fetch, list and split data sets
    Data(verbs::data::Options),
    /// Everything that is registered: criteria, strategies, layers, optimisers, schedules, data sets, backends
    Plugins(verbs::plugins::Options),
    /// Write a plug-in crate that builds, is tested and shows up in `plugins`
    New(verbs::new::Options),
    /// Repeat a published result and put it beside ours
    Reproduce(verbs::reproduce::Options),
    /// Benchmarks, side by side with what people use otherwise
    Bench(verbs::bench::Options),
    /// Put what benchmarks compare with into the project folder
    Setup(verbs::setup::Options),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    main_with(Program::default())
}

/// As [`main`], for a program that says more about itself.
pub fn main_with(program: Program) -> ExitCode {
    let matches = match command(&program.extras).try_get_matches() {
        Ok(matches) => matches,
        Err(e) if e.use_stderr() => {
            note(usage(&e));
            return ExitCode::from(2);
        }
        // --help and --version are answers.
        Err(e) => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
    };
    match dispatch(&matches, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(format!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The whole command line, help included.
fn command(extras: &[Extra]) -> Command {
    let base = Command::new("cargo xtask")
        .bin_name("cargo xtask")
        .about("Prune, shrink for real, measure, and prove it")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true);
    let base = Common::augment_args(Verb::augment_subcommands(base));
    let criteria = names::<PrunerEntry>("Criteria");
    let strategies = names::<StrategyEntry>("Strategies");
    let base = base
        .mut_subcommand("prune", |c| c.after_help(criteria.clone()))
        .mut_subcommand("run", |c| c.after_help(format!("{criteria}\n\n{strategies}")));
    let names: Vec<String> = base.get_subcommands().map(|c| c.get_name().to_string()).collect();
    // `bench` has a --json of its own, which takes a file.
    let base =
        names.iter().filter(|n| *n != "bench").fold(base, |c, name| c.mut_subcommand(name, |v| v.arg(json_flag())));
    extras.iter().fold(base, |c, extra| c.subcommand(extra.command.clone()))
}

fn json_flag() -> clap::Arg {
    let help = "Print one JSON document on standard output, everything else on standard error";
    clap::Arg::new("json").long("json").global(true).action(clap::ArgAction::SetTrue).help(help)
}

/// What is registered of one kind, for help.
fn names<T: Registered>(title: &str) -> String {
    let Ok(entries) = registry::all::<T>() else { return String::new() };
    let width = entries.iter().map(|e| e.name().len()).max().unwrap_or(0);
    let lines: Vec<String> = entries.iter().map(|e| format!("  {:width$}  {}", e.name(), e.summary())).collect();
    format!("{title}:\n{}", lines.join("\n"))
}

/// clap's complaint as one paragraph without its decoration.
fn usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let kept: Vec<&str> =
        lines.take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information")).collect();
    format!("{} (see --help)", kept.join("; "))
}

fn dispatch(matches: &ArgMatches, program: Program) -> Result<()> {
    if let Some((name, own)) = matches.subcommand()
        && let Some(extra) = program.extras.iter().find(|e| e.command.get_name() == name)
    {
        return (extra.run)(own);
    }
    let parse = |e: clap::Error| Failure::input(usage(&e));
    let common = Common::from_arg_matches(matches).map_err(parse)?;
    let verb = Verb::from_arg_matches(matches).map_err(parse)?;
    let json = |m: &ArgMatches| m.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or(false);
    let format = if matches.subcommand().is_some_and(|(_, m)| json(m)) { Format::Json } else { Format::Text };
    let cx = Context::new(&common, format, program.manifest)?;
    let answer = match verb {
        Verb::Run(o) => return verbs::run::run(&cx, &o),
        Verb::Reproduce(o) => return verbs::reproduce::run(&cx, &o),
        Verb::Train(o) => verbs::train::run(&cx, &o),
        Verb::Prune(o) => verbs::prune::run(&cx, &o),
        Verb::Finetune(o) => verbs::finetune::run(&cx, &o),
        Verb::Compact(o) => verbs::compact::run(&cx, &o),
        Verb::Sparsify(o) => verbs::sparsify::run(&cx, &o),
        Verb::Prove(o) => return verbs::prove::run(&cx, &o),
        Verb::Eval(o) => verbs::eval::run(&cx, &o),
        Verb::Inspect(o) => verbs::inspect::run(&o),
        Verb::Explain(o) => verbs::explain::run(&cx, &o),
        Verb::Undo(o) => verbs::undo::run(&cx, &o),
        Verb::Delta(o) => verbs::delta::run(&cx, &o),
        Verb::Apply(o) => verbs::delta::apply(&cx, &o),
        Verb::Data(o) => verbs::data::run(&cx, &o),
        Verb::Plugins(o) => verbs::plugins::run(&o),
        Verb::New(o) => verbs::new::run(&o),
        Verb::Bench(o) => verbs::bench::run(&cx, &o),
        Verb::Setup(o) => verbs::setup::run(&o),
    }?;
    answer.print(cx.format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command(&[]).debug_assert();
    }

    #[test]
    fn complaints_are_one_line() {
        let error = command(&[]).try_get_matches_from(["xtask", "prnue"]).unwrap_err();
        let text = usage(&error);
        assert!(text.contains("prune") && !text.contains('\n'), "{text}");
    }
}
