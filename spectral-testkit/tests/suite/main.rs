//! The suites pass what is right and catch planted faults; one binary, so that it links once.

mod backends;
mod mutants;
mod registry;
