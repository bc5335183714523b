//! The machine a run happens on, for reports.

use crate::Result;
use crate::context::Context;
use crate::report::Machine;

/// Describes this machine and how the backend uses it.
pub fn describe(cx: &Context) -> Result<Machine> {
    let opened = cx.opened()?;
    let (backend, simd) = (opened.handle.name().to_string(), simd(&opened.handle.describe()));
    Ok(Machine { cpu: cpu_name(), threads: cx.threads, simd, backend, instead: opened.instead.clone() })
}

/// Threads that are used when nobody says.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The most threads that are ever used. More than there are cores help nobody; a few more are there to try out that
/// results do not depend on them.
pub(crate) fn most_threads() -> usize {
    (4 * default_threads()).max(16)
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("model name"));
    line.and_then(|l| l.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_string(), |(_, n)| n.trim().to_string())
}

/// The instruction set a backend's description names.
fn simd(description: &str) -> String {
    let known = ["avx512", "avx2", "neon", "portable"];
    let lower = description.to_lowercase().replace('-', "");
    known.iter().find(|k| lower.contains(*k)).map_or_else(|| description.to_string(), ToString::to_string)
}
