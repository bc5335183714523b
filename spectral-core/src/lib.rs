//! The contracts every other crate of the workspace is written against.
//!
//! Holds tensors, the [`Backend`], [`Layer`] and [`Pruner`] traits, the parameter arena with its masks, the
//! model graph with forward and backward passes, inference sessions, [`prove`], seeds, registries and errors.
//!
//! Never does: device kernels that are meant to be fast, file formats, training loops, command lines. Depends on
//! no other crate of the workspace and on no device crate.
//!
//! # Reading order
//!
//! A folder uses only folders above it in this table; `cargo xtask tidy` checks it.
//!
//! | folder | holds |
//! |---|---|
//! | `base` | element types, errors, finding parts by name ([`registry`]), seeds, limits, writing files whole |
//! | `tensor` | [`Tensor`], [`Shape`], [`Mask`], [`Pattern`], the [`boundary`] to `ndarray` |
//! | `backend` | what a device must be able to do: [`Backend`] and its families of kernels |
//! | `samples` | data in memory: [`Samples`], [`Loader`] |
//! | `model` | [`Layer`], [`Params`], [`Graph`], [`Model`] and what it remembers ([`Meta`]) |
//! | `run` | [`Workspace`] (training), [`Batches`], [`Session`] (inference), [`prove`] |
//! | `extend` | what plug-ins implement: [`Pruner`], [`Strategy`], [`Train`], [`TrainHook`] |

pub mod backend;
mod base;
mod extend;
mod model;
mod run;
mod samples;
mod tensor;

// The boundary type: callers need the same version.
pub use ndarray;

pub use backend::activation;
pub use base::registry;
pub use model::{Frame, Normalise, Pool, Prelu, layer, op};
pub use tensor::boundary;

pub use backend::{
    Accum, Activation, Backend, BackendEntry, BackendHandle, BackendOptions, Constrain, Constraint, ConvKernels,
    DenseKernels, Diagonal, DiagonalGrads, Dropout, Elementwise, GradSlot, IntoBackend, Kernel, Linear, LinearGrads,
    LossKernel, LossKind, Memory, OuterProduct, Packed, PackedLinear, Penalty, PoolKernels, Pooling, Reduce, Reference,
    RowCopy, RowSum, Rows, Rule, Samplewise, SparseGrads, SparseKernels, SparseLinear, SpectralGrads, SpectralKernels,
    SpectralWeight, Standardise, StandardiseVjp, Standardised, Unitwise, Update, UpdateKernels, Window, little_endian,
};
pub use base::{
    Class, DType, Element, Error, Limits, Result, Seed, Stream, Values, check_writable, filled, hash64, plain,
    with_room, write_file,
};
pub use extend::{
    Cell, EpochRecord, Evaluate, FinishedPhase, Flow, GradientSync, History, Hooks, InputGram, InputMean, InputMeanAbs,
    KeepState, LayerBatch, LayerGradients, LayersWith, Metrics, Needs, Phases, Plot, Progress, Pruner, PrunerEntry,
    Resumed, SpectralFactors, State, StateTensor, Statistic, Statistics, Strategy, StrategyCx, StrategyEntry,
    StrategyReport, Table, Target, Train, TrainHook, Unwatched, Watch, WeightGradient,
};
pub use model::{
    Affine, Alias, BATCH_CLASSES, CanonicalConfig, CanonicalConfigs, Change, Choice, ContentHash, Convolution,
    DataOrigin, Density, Derive, Forward, Graph, HashVersion, HeldOut, HistoryEntry, Init, Known, Layer, LayerEntry,
    LeftFactor, Masking, Matrix, Meta, Mode, Model, Node, NodeParams, NodeSpec, Op, Operand, Operands, Param, ParamId,
    ParamSpec, ParamView, Params, Plan, Preprocessing, Rewrite, Role, Saved, Scale, Source, Stored, Trainable,
    UnitAxis, Units, Users, Vjp, Word, batch_class, carry_over,
};
pub use run::{
    Batches, Gradients, Named, ParamGradient, Proof, RANDOM_INPUTS, Session, TOLERANCE_F32, TOLERANCE_F64, Workspace,
    prove,
};
pub use samples::{Loader, MixedLoader, Samples, Targets};
pub use tensor::{ByColumn, HostBuffer, MAX_RANK, Mask, Pattern, Shape, Storage, Tensor};
