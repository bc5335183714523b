//! The data sets this crate registers.

mod digits;
mod mnist;
