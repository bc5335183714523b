//! The handle that models hold.

use crate::Simd;
use crate::kernels::crew::Crew;
use crate::scratch::Scratch;
use spectral_core::registry::inventory;
use spectral_core::{Backend, BackendEntry, Error, Result};
use std::sync::Arc;

/// The CPU as a [`Backend`]. Cloning shares the threads.
///
/// Results depend on the [`Simd`] level, but not on the number of threads. Kernels allocate nothing once warm.
#[derive(Clone)]
pub struct Cpu(Arc<Inner>);

struct Inner {
    crew: Crew,
    scratch: Scratch,
    simd: Simd,
}

/// How a [`Cpu`] is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads to use; `None` means one for every core.
    pub threads: Option<usize>,
    /// Vector instructions to use; `None` means the widest there are.
    pub simd: Option<Simd>,
}

impl Cpu {
    /// All cores and the widest vectors.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new() -> Result<Self> {
        Self::with_options(CpuOptions::default())
    }

    /// `threads` threads and the widest vectors.
    ///
    /// # Errors
    /// `threads` is 0 or the threads cannot be started.
    pub fn with_threads(threads: usize) -> Result<Self> {
        Self::with_options(CpuOptions { threads: Some(threads), simd: None })
    }

    /// As `options` says.
    ///
    /// # Errors
    /// The machine lacks the instructions, `threads` is 0, or the threads cannot be started.
    pub fn with_options(options: CpuOptions) -> Result<Self> {
        let simd = options.simd.unwrap_or_else(Simd::detect);
        if !simd.is_available() {
            return Err(Error::Backend {
                backend: "cpu".into(),
                problem: format!("this machine has no {simd}; use {} or leave the choice open", Simd::detect()),
            });
        }
        let threads = match options.threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, |n| n.get()),
        };
        Ok(Self(Arc::new(Inner { crew: Crew::new(threads)?, scratch: Scratch::default(), simd })))
    }

    /// The vector instructions in use.
    pub fn simd(&self) -> Simd {
        self.0.simd
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.0.crew.threads()
    }

    pub(crate) fn crew(&self) -> &Crew {
        &self.0.crew
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.0.scratch
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu").field("simd", &self.simd()).field("threads", &self.threads()).finish()
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn describe(&self) -> String {
        let threads = self.threads();
        format!("{}, {threads} thread{}", self.simd(), if threads == 1 { "" } else { "s" })
    }
}

inventory::submit! {
    BackendEntry {
        name: "cpu",
        summary: "SIMD kernels and threads on the CPU",
        open: |options| {
            let cpu = Cpu::with_options(CpuOptions { threads: options.threads, simd: None })?;
            Ok(Arc::new(cpu))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::{BackendOptions, registry};

    #[test]
    fn the_registered_backend_opens() {
        let entry = registry::find::<BackendEntry>("cpu").unwrap();
        let cpu = (entry.open)(&BackendOptions { threads: Some(1) }).unwrap();
        assert_eq!(cpu.name(), "cpu");
        assert!(cpu.describe().ends_with("1 thread"), "{}", cpu.describe());
        assert!((entry.open)(&BackendOptions { threads: Some(0) }).is_err());
    }
}
