//! The data sets that this crate registers.

mod digits;
mod mnist;
