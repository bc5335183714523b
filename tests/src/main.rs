//! The command line with a dishonest layer, for tests that plant a failure in the chain, and a small strategy linked
//! in.

mod dishonest;
mod thin;

fn main() -> std::process::ExitCode {
    spectral_workflow::main()
}
