//! What plug-in crates implement, and what crates that do not know each other agree on.

mod pruner;
mod state;
mod statistics;
mod strategy;
mod table;
mod train;

pub use pruner::{LayersWith, Needs, Pruner, PrunerEntry, SpectralFactors, Target};
pub use state::{State, StateTensor};
pub use statistics::{
    InputGram, InputMean, InputMeanAbs, LayerBatch, LayerGradients, Statistic, Statistics, WeightGradient,
};
pub use strategy::{
    FinishedPhase, Phases, Resumed, Strategy, StrategyCx, StrategyEntry, StrategyReport, Unwatched, Watch,
};
pub use table::{Cell, Plot, Table};
pub use train::{
    EpochRecord, Evaluate, Flow, GradientSync, History, Hooks, KeepState, Metrics, Progress, Train, TrainHook,
};
