//! What a run found out, in three forms: `report.json` for scripts ([`Report::to_json`]), a table for the terminal
//! ([`Report::table`]) and one self-contained page for people ([`html::render`]).
//!
//! A report only holds and shows; it measures and decides nothing.

#[cfg(test)]
pub(crate) mod example;
mod format;
pub mod html;
mod plots;
mod schema;
mod summary;
pub mod svg;
mod table;

pub(crate) use format::count as format_count;
pub use format::{bytes, seconds};
pub use plots::lines::show as cell_text;
pub use schema::{
    Check, Curve, Dataset, Equality, FileTable, Latency, LayerRow, Machine, Pace, PruneStep, Quality, Report, SCHEMA,
    Spectrum, Speed, Stage, StrategyStep, SweepPoint, TensorRow, TimeRatio, Verdict, WeightHistogram,
};
pub use table::Style;
