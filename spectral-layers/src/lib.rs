//! Layers and the network builder.
//!
//! Holds the weighted layers ([`Dense`], [`Spectral`], [`Masked`], [`DropConnect`], [`Conv2d`]), what goes between
//! them ([`Gate`], [`BatchNorm`], [`LayerNorm`], [`Dropout`], [`ActivationLayer`], [`Prelu`], [`MaxPool`], [`AvgPool`],
//! [`GlobalPool`], [`Slice`], [`Reshape`], [`Flatten`]), the merges [`Add`], [`Average`], [`Concat`] and [`Multiply`],
//! [`Network`], which puts layers together, and [`gates`], which adds gates later. Every
//! layer is plain data (hyper-parameters with serde) that registers itself under its kind.
//!
//! Never does: its own arithmetic (kernels belong to backends), allocation in a forward or backward pass,
//! training, pruning, files. Depends on `spectral-core` and on no other crate of the workspace.
//!
//! ```
//! use spectral_core::{Reference, Seed};
//! use spectral_layers::prelude::*;
//!
//! let model = Network::new(784)
//!     .spectral(30, Relu)
//!     .spectral(10, Relu)
//!     .dense(10, Identity)
//!     .build(&Reference, Seed(7))?;
//! assert_eq!(model.widths(), [784, 30, 10, 10]);
//! # Ok::<(), spectral_layers::Error>(())
//! ```

mod activation;
mod batch_norm;
mod check;
mod conv2d;
mod dense;
mod drop_connect;
mod dropout;
mod error;
mod forms;
mod gate;
pub mod gates;
mod layer_norm;
mod masked;
mod merge;
mod network;
mod pool;
mod prelu;
mod reshape;
mod slice;
mod sparse;
pub mod spectral;
mod window;

pub use activation::ActivationLayer;
pub use batch_norm::BatchNorm;
pub use conv2d::Conv2d;
pub use dense::{Dense, WeightConstraints, WeightPenalties};
pub use drop_connect::DropConnect;
pub use dropout::Dropout;
pub use error::{Error, Result};
pub use gate::Gate;
pub use layer_norm::LayerNorm;
pub use masked::Masked;
pub use merge::{Add, Average, Concat, Multiply};
pub use network::{LayerSpec, Network};
pub use pool::{AvgPool, Global, GlobalPool, MaxPool};
pub use prelu::Prelu;
pub use reshape::{Flatten, Reshape};
pub use slice::Slice;
pub use sparse::Sparse;
pub use spectral::{Factors, Spectral};
pub use window::Padding;

/// What a program needs to build networks: the builder, the weighted layers, and activations by their plain
/// names.
pub mod prelude {
    pub use crate::{Dense, LayerSpec, Masked, Network, Sparse, Spectral};
    pub use spectral_core::Activation::{self, Elu, Gelu, Identity, LeakyRelu, Relu, Sigmoid, Softmax, Softplus, Tanh};
    pub use spectral_core::Density;
}
