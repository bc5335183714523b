//! The model file from outside: round trips, sizes, golden files, damage.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod damage;
mod delta;
mod find;
mod golden;
mod hostile;
mod identity;
mod inspect;
mod models;
mod packed;
mod round_trip;
mod save;
mod size;
mod version_1;
