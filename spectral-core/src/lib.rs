//! The contracts every other crate of the workspace is written against.
//!
//! Holds tensors, the [`Backend`], [`Layer`] and [`Pruner`] traits, the parameter arena with its masks, the
//! model graph with forward and backward passes, inference sessions, [`prove`], seeds, registries and errors.
//!
//! Never does: device kernels that are meant to be fast, file formats, training loops, command lines. Depends on
//! no other crate of the workspace and on no device crate.

pub mod activation;
pub mod backend;
pub mod boundary;
mod constraint;
mod density;
mod dtype;
mod error;
mod graph;
mod init;
pub mod layer;
mod lower;
mod mask;
mod meta;
mod model;
mod param;
mod pattern;
mod plan;
mod proof;
mod pruner;
pub mod registry;
mod samples;
mod seed;
mod session;
mod shape;
mod strategy;
mod table;
mod tensor;
mod train;
mod workspace;

// The boundary type: callers need the same version.
pub use ndarray;

pub use activation::Activation;
pub use backend::{
    Accum, Backend, BackendEntry, BackendHandle, BackendOptions, ConvKernels, DenseKernels, Diagonal, DiagonalGrads,
    Dropout, Elementwise, GradSlot, IntoBackend, Linear, LinearGrads, LossKernel, LossKind, Memory, OuterProduct,
    Packed, PackedLinear, Reduce, Reference, RowCopy, RowSum, Rule, SparseGrads, SparseKernels, SparseLinear,
    SpectralGrads, SpectralKernels, SpectralWeight, Standardise, StandardiseVjp, Standardised, Unitwise, Update,
    UpdateKernels, Window,
};
pub use constraint::{Constrain, Constraint, Rows};
pub use density::Density;
pub use dtype::{DType, Element, Values};
pub use error::{Error, Result};
pub use graph::{Graph, Node, Source};
pub use init::Init;
pub use layer::{Forward, Layer, LayerEntry, LeftFactor, LowerCx, Mode, NodeParams, Saved, Units, Vjp};
pub use lower::{Affine, Convolution, Lowered, Matrix, Scale};
pub use mask::Mask;
pub use meta::{ContentHash, DataOrigin, HistoryEntry, Meta, Preprocessing};
pub use model::{Model, NodeSpec};
pub use param::{
    Masking, Param, ParamId, ParamSpec, ParamView, Params, Penalty, Role, Stored, Trainable, UnitAxis, carry_over,
};
pub use pattern::{ByColumn, Pattern};
pub use plan::{BATCH_CLASSES, Choice, Kernel, Plan, batch_class};
pub use proof::{Named, Proof, RANDOM_INPUTS, TOLERANCE_F32, TOLERANCE_F64, prove};
pub use pruner::{Distribution, Needs, Pruner, PrunerEntry, SpectralFactors, Statistics, Target};
pub use samples::{Loader, MixedLoader, Samples, Targets};
pub use seed::{Seed, Stream, hash64};
pub use session::Session;
pub use shape::{MAX_RANK, Shape};
pub use strategy::{Strategy, StrategyCx, StrategyEntry, StrategyReport, Unwatched, Watch};
pub use table::{Cell, Plot, Table};
pub use tensor::{HostBuffer, Storage, Tensor};
pub use train::{EpochRecord, Evaluate, Flow, History, Metrics, Progress, Train, TrainHook};
pub use workspace::{Gradients, ParamGradient, Workspace};
