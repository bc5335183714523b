//! The command line with three plug-ins for tests: a dishonest layer that makes the chain fail, a criterion that
//! panics, and a small strategy.

mod buggy;
mod dishonest;
mod thin;

use spectral_workflow::Program;

fn main() -> std::process::ExitCode {
    let extras = spectral_bench::verbs();
    spectral_workflow::main_with(Program { extras, ..Program::default() })
}
