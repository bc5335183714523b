//! An `xtask` with the plug-in linked in: every verb knows it.

use energy as _;

fn main() -> std::process::ExitCode {
    spectral_workflow::main()
}
