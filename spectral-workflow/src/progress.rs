//! Progress bars for people who wait at a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use spectral_core::{EpochRecord, Flow, Model, Progress, TrainHook};
use std::time::Duration;

/// A bar over the steps of a training run; invisible unless standard error is a terminal.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar that calls the run `label`.
    pub fn new(label: &str) -> Self {
        Self { bar: bar(label, "{prefix:>10} {wide_bar:.cyan/dim} {percent:>3}%  {eta:>4}  {msg}") }
    }
}

fn bar(label: &str, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(label.to_string());
    bar
}

/// Shows a moving sign called `label` while `work` runs, for work whose length nobody knows.
pub fn during<T>(label: &'static str, work: impl FnOnce() -> T) -> T {
    let spinner = bar(label, "{prefix:>10} {spinner:.cyan} {elapsed}");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}

/// A bar over `count` jobs, which count themselves.
pub fn jobs(label: &str, count: usize) -> ProgressBar {
    let bar = bar(label, "{prefix:>10} {wide_bar:.cyan/dim} {pos}/{len}  {eta:>4}");
    bar.set_length(count as u64);
    bar
}

/// A bar over bytes.
pub(crate) fn counter(label: &str) -> ProgressBar {
    bar(label, "{prefix:>10} {wide_bar:.cyan/dim} {bytes}/{total_bytes}  {eta:>4}")
}

impl TrainHook for Bar {
    fn start(&mut self, _: &mut Model, at: &Progress) -> spectral_core::Result<()> {
        self.bar.set_length(at.steps);
        Ok(())
    }

    fn after_step(&mut self, _: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        self.bar.set_position(at.step);
        Ok(Flow::Continue)
    }

    fn after_epoch(&mut self, _: &mut Model, at: &Progress, record: &EpochRecord) -> spectral_core::Result<Flow> {
        let accuracy = record.validation.unwrap_or(record.train).accuracy;
        let accuracy = accuracy.map_or_else(String::new, |a| format!("  accuracy {a:.4}"));
        let loss = record.train.loss;
        self.bar.set_message(format!("epoch {}/{}  loss {loss:.4}{accuracy}", at.epoch, at.epochs));
        Ok(Flow::Continue)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
