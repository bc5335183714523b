//! An `xtask` with the plug-in linked in: every verb knows it.

use weight_norm as _;

fn main() -> std::process::ExitCode {
    spectral_workflow::main()
}
