//! The command line with a dishonest layer, for tests that plant a failure in the chain, a criterion that panics, and a
//! small strategy linked in.

mod buggy;
mod dishonest;
mod thin;

use spectral_workflow::Program;

fn main() -> std::process::ExitCode {
    let extras = spectral_bench::verbs();
    spectral_workflow::main_with(Program { extras, ..Program::default() })
}
