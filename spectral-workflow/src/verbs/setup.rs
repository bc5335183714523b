//! `setup cuda`, `setup torch`

mod cuda;
mod torch;
mod wheels;

use crate::Result;
use crate::output::Answer;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// NVRTC, which compiles the kernels of `--backend cuda`, in .cuda; needs no GPU
    Cuda,
    /// A libtorch for the CPU, cut down to what `--backend torch` needs, in .libtorch
    Torch,
}

pub(crate) fn run(options: &Options) -> Result<Answer> {
    match options.what {
        What::Cuda => cuda::setup(),
        What::Torch => torch::setup(),
    }
}
