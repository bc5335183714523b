//! End-to-end tests through public interfaces only; one binary, so that it links once.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod backends;
mod bad_input;
mod determinism;
mod examples;
mod hostile;
mod parity;
mod plugin;
mod published;
mod recipes;
mod reproduce;
mod results;
mod steps;
mod strategies;
mod support;
mod targets;
mod verdict;
