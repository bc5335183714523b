//! The command line: what can be asked, and the exit code of the answer.

use crate::context::{Common, Context};
use crate::output::{Format, note};
use crate::{Build, Failure, Result, verbs};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use spectral_core::plain;
use spectral_core::registry::{self, Registered};
use spectral_core::{Class, PrunerEntry, StrategyEntry};
use std::process::ExitCode;

/// A verb that a program adds to those of this crate.
pub struct Extra {
    under: Option<&'static str>,
    command: Command,
    run: fn(&Context, &ArgMatches) -> Result<()>,
}

impl Extra {
    /// A verb with its name, help and options, and what runs it.
    pub fn new(command: Command, run: fn(&Context, &ArgMatches) -> Result<()>) -> Self {
        Self { under: None, command, run }
    }

    /// Makes it a part of another verb, as `bench` of `setup` is in `setup bench`.
    pub fn under(self, verb: &'static str) -> Self {
        Self { under: Some(verb), ..self }
    }

    /// Its name as people type it, and what help says about it.
    pub fn summary(&self) -> (String, String) {
        let name = [self.under, Some(self.command.get_name())].into_iter().flatten().collect::<Vec<_>>().join(" ");
        (name, self.command.get_about().map(ToString::to_string).unwrap_or_default())
    }

    /// The arguments, if it is this verb that was asked for.
    fn asked<'a>(&self, matches: &'a ArgMatches) -> Option<&'a ArgMatches> {
        let matches = self.under.map_or(Some(matches), |verb| matches.subcommand_matches(verb))?;
        matches.subcommand_matches(self.command.get_name())
    }
}

/// The program around the command line.
#[derive(Default)]
pub struct Program {
    /// Verbs of its own.
    pub extras: Vec<Extra>,
    /// What it can be built again from, with a backend that it was built without. Its package needs a feature of the
    /// backend's name, which turns on that of this crate.
    pub build: Option<Build>,
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
    /// Put libraries that this program does not come with into the project folder
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
    let extra = program.extras.iter().any(|e| e.asked(&matches).is_some());
    std::panic::set_hook(Box::new(|panic| note(bug(panic))));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(&matches, program))) {
        // The hook has said what there is to say.
        Err(_) => ExitCode::from(Class::Bug.exit_code()),
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            // One sentence, whatever the names in it hold; checks of developers list what they found.
            let text = if extra { failure.to_string() } else { plain(&failure.to_string()).into_owned() };
            note(format!("error: {text}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What a panic says: it is never the user's fault.
fn bug(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
    let what = visible(text.unwrap_or("no reason given"));
    format!("error: a bug in this program: {what}{place}; please report it with the command and the files it read")
}

/// The whole command line, help included.
fn command(extras: &[Extra]) -> Command {
    let base = Command::new("cargo xtask")
        .bin_name("cargo xtask")
        .about("Prune, shrink for real, measure, and prove it")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true);
    // The options that every verb takes bring a description of their own.
    let about = base.get_about().cloned().unwrap_or_default();
    let base = Common::augment_args(Verb::augment_subcommands(base)).about(about).long_about(None);
    let criteria = names::<PrunerEntry>("Criteria");
    let strategies = names::<StrategyEntry>("Strategies");
    let base = base
        .mut_subcommand("prune", |c| c.after_help(criteria.clone()))
        .mut_subcommand("run", |c| c.after_help(format!("{criteria}\n\n{strategies}")));
    let names: Vec<String> = base.get_subcommands().map(|c| c.get_name().to_string()).collect();
    let base = names.iter().fold(base, |c, name| c.mut_subcommand(name, |v| v.arg(json_flag())));
    extras.iter().fold(base, |c, extra| match extra.under {
        Some(verb) => c.mut_subcommand(verb, |v| v.subcommand(extra.command.clone())),
        None => c.subcommand(extra.command.clone()),
    })
}

/// The flag `--json`, which [`Context::format`] tells of. Verbs of this crate have it, and those under them.
pub fn json_flag() -> clap::Arg {
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

/// The options of a verb among its arguments.
pub fn options<O: FromArgMatches>(matches: &ArgMatches) -> Result<O> {
    O::from_arg_matches(matches).map_err(|e| Failure::input(usage(&e)))
}

fn dispatch(matches: &ArgMatches, program: Program) -> Result<()> {
    // A verb may have an own --json, which takes a file.
    let json = |m: &ArgMatches| m.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or(false);
    let format = if matches.subcommand().is_some_and(|(_, m)| json(m)) { Format::Json } else { Format::Text };
    let cx = Context::new(&options(matches)?, format, program.build)?;
    if let Some((extra, own)) = program.extras.iter().find_map(|e| Some((e, e.asked(matches)?))) {
        return (extra.run)(&cx, own);
    }
    let answer = match options(matches)? {
        Verb::Run(o) => return verbs::run::run(&cx, &o),
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

    fn extras() -> [Extra; 2] {
        let files = Command::new("speed").arg(clap::Arg::new("json").long("json"));
        [
            Extra::new(files, |cx, _| Err(Failure::Check(format!("{:?}", cx.format)))),
            Extra::new(Command::new("speed").about("of setup"), |cx, _| {
                Err(Failure::Check(format!("{:?} under", cx.format)))
            })
            .under("setup"),
        ]
    }

    #[test]
    fn verbs_of_a_program_run_alone_or_under_others() {
        let said = |line: &str| {
            let matches = command(&extras()).try_get_matches_from(line.split(' ')).unwrap();
            dispatch(&matches, Program { extras: extras().into(), build: None }).unwrap_err().to_string()
        };
        command(&extras()).debug_assert();
        assert_eq!(said("xtask speed --json file"), "Text");
        assert_eq!(
            (said("xtask setup speed"), said("xtask setup speed --json")),
            ("Text under".into(), "Json under".into())
        );
        assert_eq!(extras()[1].summary(), ("setup speed".into(), "of setup".into()));
    }

    #[test]
    fn help_begins_with_what_the_program_does() {
        let mut line = command(&[]);
        for text in [line.render_help(), line.render_long_help()].map(|help| help.to_string()) {
            assert!(text.starts_with("Prune, shrink for real, measure, and prove it\n"), "{text}");
        }
    }

    #[test]
    fn complaints_are_one_line() {
        let error = command(&[]).try_get_matches_from(["xtask", "prnue"]).unwrap_err();
        let text = usage(&error);
        assert!(text.contains("prune") && !text.contains('\n'), "{text}");
    }
}
