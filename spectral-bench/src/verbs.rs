//! One module a verb: its options, and the few calls that answer it.

pub(crate) mod bench;
pub(crate) mod reproduce;
pub(crate) mod setup;
