//! Running models: batches, training passes, inference sessions, and proofs that two models compute the same function.

mod batches;
mod proof;
mod session;
mod workspace;

pub use batches::Batches;
pub use proof::{Named, Proof, RANDOM_INPUTS, TOLERANCE_F32, TOLERANCE_F64, prove};
pub use session::Session;
pub use workspace::{Gradients, ParamGradient, Workspace};
