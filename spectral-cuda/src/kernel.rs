//! Kernels and their arguments.

use spectral_core::DType;

/// Threads of a block, in every launch; as in `kernels/common.cuh`.
pub const THREADS: usize = 256;

/// Lanes of a warp.
pub(crate) const LANES: usize = 32;

/// Warps of a block.
pub(crate) const WARPS: usize = THREADS / LANES;

/// A file of kernels: what is compiled together, once for each element type, when it is first needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Element by element.
    Elementwise,
    /// Dense products.
    Dense,
    /// Weights of spectral layers.
    Spectral,
    /// Sparse products.
    Sparse,
    /// Unit by unit.
    Unitwise,
    /// Windows of images.
    Convolution,
    /// Sums, softmax and losses.
    Reduce,
    /// Optimiser steps and constraints.
    Update,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Elementwise,
        Self::Dense,
        Self::Spectral,
        Self::Sparse,
        Self::Unitwise,
        Self::Convolution,
        Self::Reduce,
        Self::Update,
    ];

    /// The name of its file, without the extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elementwise => "elementwise",
            Self::Dense => "dense",
            Self::Spectral => "spectral",
            Self::Sparse => "sparse",
            Self::Unitwise => "unitwise",
            Self::Convolution => "convolution",
            Self::Reduce => "reduce",
            Self::Update => "update",
        }
    }

    /// What a compiler is given to make its kernels for `dtype`.
    pub fn text(self, dtype: DType) -> String {
        let real = match dtype {
            DType::F32 => "float",
            DType::F64 => "double",
        };
        let file = match self {
            Self::Elementwise => include_str!("../kernels/elementwise.cu"),
            Self::Dense => include_str!("../kernels/dense.cu"),
            Self::Spectral => include_str!("../kernels/spectral.cu"),
            Self::Sparse => include_str!("../kernels/sparse.cu"),
            Self::Unitwise => include_str!("../kernels/unitwise.cu"),
            Self::Convolution => include_str!("../kernels/convolution.cu"),
            Self::Reduce => include_str!("../kernels/reduce.cu"),
            Self::Update => include_str!("../kernels/update.cu"),
        };
        format!("#define REAL {real}\n{}\n{file}", include_str!("../kernels/common.cuh"))
    }

    /// The names of its kernels.
    pub fn kernels(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter_map(|line| line.strip_prefix("KERNEL ")?.split('(').next())
    }
}

/// A kernel for one element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The file it is in.
    pub source: Source,
    /// Its name there.
    pub name: &'static str,
    /// What `real` is.
    pub dtype: DType,
}

/// One argument: eight bytes, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg {
    /// Where some memory of the device starts; 0 for none.
    Address(u64),
    /// A size, a choice or a switch.
    Int(i64),
    /// Bits.
    Bits(u64),
    /// A number, rounded by the kernel to its element type.
    Real(f64),
}

impl Arg {
    /// The eight bytes.
    pub fn word(self) -> u64 {
        match self {
            Self::Address(word) | Self::Bits(word) => word,
            Self::Int(int) => int.cast_unsigned(),
            Self::Real(real) => real.to_bits(),
        }
    }
}
