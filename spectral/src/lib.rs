//! The whole workspace behind one prelude.
