//! The command line with one dishonest layer linked in, for tests that plant a failure in the chain.

mod dishonest;

fn main() -> std::process::ExitCode {
    spectral_workflow::main()
}
