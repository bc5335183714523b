//! What every verb needs: a backend, the data, how to print.

use crate::output::{Format, note};
use crate::{Failure, Result, machine};
use spectral_core::{BackendEntry, BackendHandle, BackendOptions, DataOrigin, Model, Samples, registry};
use spectral_data::{DataOptions, Dataset};
use std::path::{Path, PathBuf};

/// The options that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Folder with a set's files, or with one folder a set (or set SPECTRAL_DATA)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to compute: a name that `plugins` lists, or auto for the best one here
    #[arg(long, global = true, default_value = "auto", value_name = "NAME")]
    pub(crate) backend: String,
    /// Threads to use (all the machine has, if not given)
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// The opened context of a verb.
pub(crate) struct Context {
    pub(crate) backend: BackendHandle,
    pub(crate) threads: usize,
    pub(crate) format: Format,
    pub(crate) data_dir: Option<PathBuf>,
}

impl Context {
    /// Opens the backend.
    pub(crate) fn open(common: &Common, format: Format) -> Result<Self> {
        if common.threads == Some(0) {
            return Err(Failure::input("--threads must be at least 1"));
        }
        let options = BackendOptions { threads: common.threads };
        Ok(Self {
            backend: open_backend(&common.backend, &options)?,
            threads: common.threads.unwrap_or_else(machine::default_threads),
            format,
            data_dir: common.data_dir.clone(),
        })
    }

    /// Another backend, with as many threads.
    pub(crate) fn other_backend(&self, name: &str) -> Result<BackendHandle> {
        open_backend(name, &BackendOptions { threads: Some(self.threads) })
    }

    /// The same backend on one thread, for workers side by side.
    pub(crate) fn single_threaded(&self) -> Result<BackendHandle> {
        open_backend(self.backend.name(), &BackendOptions { threads: Some(1) })
    }

    /// Loads a data set by name or path.
    pub(crate) fn dataset(&self, name: &str, split_seed: Option<u64>) -> Result<Dataset> {
        self.dataset_as(&DataOrigin { name: name.into(), split_seed, ..DataOrigin::default() })
    }

    /// Loads a data set as `origin` says.
    pub(crate) fn dataset_as(&self, origin: &DataOrigin) -> Result<Dataset> {
        Ok(spectral_data::load(&origin.name, &self.data_options().again(origin))?)
    }

    /// Where data is looked for.
    pub(crate) fn data_options(&self) -> DataOptions {
        DataOptions { dir: self.data_dir.clone(), ..DataOptions::default() }
    }

    /// Loads a model file.
    pub(crate) fn model(&self, path: &Path) -> Result<Model> {
        Ok(spectral_io::load(path, &self.backend)?)
    }

    /// The test data of the set a model was trained on; `None`, and a note, where it is not at hand.
    pub(crate) fn own_test_data(&self, model: &Model) -> Result<Option<Samples>> {
        let Some(origin) = &model.meta.data else { return Ok(None) };
        match self.dataset_of(model, None) {
            Ok(data) => Ok(Some(data.test)),
            Err(Failure::Data(spectral_data::Error::NoFolder { .. } | spectral_data::Error::Missing { .. })) => {
                note(format!("{} is not at hand: comparing on random inputs only", origin.name));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The data a model was trained on, or the one that was asked for, split as the model remembers.
    pub(crate) fn dataset_of(&self, model: &Model, asked: Option<&str>) -> Result<Dataset> {
        let origin = model.meta.data.as_ref();
        match (asked, origin) {
            (Some(name), origin) if origin.is_none_or(|o| o.name != name) => self.dataset(name, None),
            (_, Some(origin)) => self.dataset_as(origin),
            (_, None) => Err(Failure::input("the model does not say what it was trained on; pass --data SET")),
        }
    }
}

/// Opens a backend by name; `auto` takes the first that works, fastest device first.
fn open_backend(name: &str, options: &BackendOptions) -> Result<BackendHandle> {
    let known: Vec<&str> = registry::all::<BackendEntry>()?.iter().map(|e| e.name).collect();
    if ["torch", "cuda"].contains(&name) && !known.contains(&name) {
        return Err(Failure::input(format!(
            "backend `{name}` is not part of this program; use one of: {}",
            known.join(", ")
        )));
    }
    if name != "auto" {
        return Ok((registry::find::<BackendEntry>(name)?.open)(options)?);
    }
    let mut last = None;
    for name in ["cuda", "cpu"].into_iter().filter(|n| known.contains(n)) {
        match (registry::find::<BackendEntry>(name)?.open)(options) {
            Ok(backend) => return Ok(backend),
            Err(e) => last = Some(e),
        }
    }
    Err(last.map_or_else(|| Failure::input("no backend is linked into this program"), Failure::from))
}
