//! What every verb needs: a backend, the data, how to print.

use crate::backends::{self, Opened};
use crate::output::{Format, note};
use crate::{Build, Failure, Result, machine};
use spectral_core::{BackendHandle, BackendOptions, DataOrigin, Model, Samples};
use spectral_data::{DataOptions, Dataset};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The options that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Folder with a set's files, or with one folder a set (or set SPECTRAL_DATA)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to compute: a name that `plugins` lists, or auto for the best one here [default: as the recipe says, or
    /// auto]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Threads to use (all the machine has, if not given)
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// The context of a verb.
pub struct Context {
    /// The backend that was asked for; the best one, if none was.
    asked: Option<String>,
    opened: OnceLock<Opened>,
    /// What the program can be built again from.
    build: Option<Build>,
    /// How many threads were asked for.
    limit: Option<usize>,
    /// Threads to use.
    pub threads: usize,
    /// How the answer is printed.
    pub format: Format,
    pub(crate) data_dir: Option<PathBuf>,
}

impl Context {
    /// The context that the options ask for, without a backend yet.
    pub(crate) fn new(common: &Common, format: Format, build: Option<Build>) -> Result<Self> {
        if common.threads == Some(0) {
            return Err(Failure::input("--threads must be at least 1"));
        }
        common.backend.as_deref().map_or(Ok(()), backends::check)?;
        let limit = common.threads.map(|asked| {
            let most = machine::most_threads();
            if asked > most {
                note(format!("--threads {asked} is more than this machine has use for; using {most}"));
            }
            asked.min(most)
        });
        Ok(Self {
            asked: common.backend.clone(),
            opened: OnceLock::new(),
            build,
            limit,
            threads: limit.unwrap_or_else(machine::default_threads),
            format,
            data_dir: common.data_dir.clone(),
        })
    }

    /// The same with a backend that is opened now, if the command line asks for none.
    pub fn preferring(&self, backend: Option<&str>) -> Result<Self> {
        let asked = self.asked.clone().or_else(|| backend.map(Into::into));
        let cx = Self {
            asked,
            opened: OnceLock::new(),
            build: self.build.clone(),
            data_dir: self.data_dir.clone(),
            ..*self
        };
        // Before any work, because the program may have to be built again.
        cx.opened()?;
        Ok(cx)
    }

    /// The backend, opened when it is first needed.
    pub(crate) fn opened(&self) -> Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = self.open(self.asked.as_deref(), self.limit)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// The backend that was asked for, opened.
    pub fn backend(&self) -> Result<&BackendHandle> {
        Ok(&self.opened()?.handle)
    }

    /// Another backend, with as many threads.
    pub(crate) fn other_backend(&self, name: &str) -> Result<BackendHandle> {
        Ok(self.open(Some(name), Some(self.threads))?.handle)
    }

    /// The same backend on one thread, for workers side by side.
    pub fn single_threaded(&self) -> Result<BackendHandle> {
        Ok(self.open(Some(self.backend()?.name()), Some(1))?.handle)
    }

    /// Builds this program again with a cargo feature and goes on as the new one, with the same arguments. Returns only
    /// if that is impossible.
    pub fn rebuild_with(&self, feature: &'static str) -> Failure {
        match &self.build {
            Some(build) => build.with(feature),
            None => {
                Failure::input(format!("this program was built without its feature `{feature}`; build it with that"))
            }
        }
    }

    fn open(&self, name: Option<&str>, threads: Option<usize>) -> Result<Opened> {
        backends::open(name, &BackendOptions { threads }, self.build.as_ref())
    }

    /// Loads a data set by name or path.
    pub fn dataset(&self, name: &str, split_seed: Option<u64>) -> Result<Dataset> {
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
        Ok(spectral_io::load(path, self.backend()?)?)
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
