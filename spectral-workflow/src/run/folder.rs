//! The folder of a run's results: untouched until the end, and then changed all at once.
//!
//! A run writes into a folder inside `--out`, locked while it lasts. At the end that folder is renamed, which decides
//! that its results are the valid ones, and its files move up. A run that is killed before leaves the old results as
//! they were; one that is killed in the instant of moving is finished by the next.

use crate::{Failure, Result};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Where a run writes.
const STAGED: &str = ".spectral-run";

/// What [`STAGED`] is called once its results are complete.
const COMPLETE: &str = ".spectral-done";

/// The file that is locked while a run writes to the folder it is in.
const LOCK: &str = ".spectral-lock";

/// Files of a run that are always written.
const REPORTS: [&str; 3] = ["recipe.toml", "report.json", "report.html"];

/// Models of a run, where they are written.
const MODELS: [&str; 4] = ["dense.spectral", "pruned.spectral", "compact.spectral", "sparse.spectral"];

/// The file of the model that strategy or pruning step `step` started from, where no stage's file holds it.
pub(super) fn before_step(step: usize) -> String {
    format!("before-step-{step}.spectral")
}

/// Whether a run writes a file of that name.
fn is_ours(name: &str) -> bool {
    let step = name.strip_prefix("before-step-").and_then(|n| n.strip_suffix(".spectral"));
    REPORTS.contains(&name) || MODELS.contains(&name) || step.is_some_and(|n| n.parse::<usize>().is_ok())
}

/// The results of a run in the making. Dropped before [`publish`](Self::publish) it leaves nothing behind.
pub(super) struct Folder {
    out: PathBuf,
    staged: PathBuf,
    /// Whether this run made `out`, and should take it away again if it fails.
    made: bool,
    /// Held while the run lasts.
    lock: Lock,
}

impl Folder {
    /// Prepares to write results to `out`.
    ///
    /// # Errors
    /// It is a file, cannot be written to, holds a folder where a result belongs, or another run is writing to it.
    pub(super) fn open(out: &Path) -> Result<Self> {
        if out.exists() && !out.is_dir() {
            return Err(Failure::input(format!("--out {} is a file; name a folder", out.display())));
        }
        let writing = |path: &Path, e| Failure::writing(path, e);
        let made = !out.exists();
        fs::create_dir_all(out).map_err(|e| writing(out, e))?;
        let lock = Lock::take(out)?;
        let staged = out.join(STAGED);
        fs::create_dir_all(&staged).map_err(|e| writing(out, e))?;
        let folder = Self { out: out.into(), staged, made, lock };
        for name in folder.names(out)?.iter().filter(|n| is_ours(n)) {
            let path = out.join(name);
            if path.is_dir() {
                let problem = format!("{} is a folder, and a run writes a file of that name", path.display());
                return Err(Failure::input(format!("{problem}; move it or choose another --out")));
            }
        }
        // What an earlier run left behind when it was killed: complete, or not.
        folder.settle()?;
        folder.sweep()?;
        Ok(folder)
    }

    /// Where a result is written until it is published.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.staged.join(name)
    }

    /// Puts the new results in the place of the old ones. Files of other names stay.
    pub(super) fn publish(mut self) -> Result<()> {
        fs::rename(&self.staged, self.out.join(COMPLETE)).map_err(|e| Failure::writing(&self.out, e))?;
        self.made = false;
        self.settle()
    }

    /// Moves complete results up, if there are any.
    fn settle(&self) -> Result<()> {
        let complete = self.out.join(COMPLETE);
        if !complete.is_dir() {
            return Ok(());
        }
        let new: BTreeSet<String> = self.names(&complete)?.into_iter().collect();
        let old = self.names(&self.out)?;
        // An artefact that was not written must not survive from an earlier run as if it were proven.
        for name in old.iter().filter(|n| is_ours(n) && !new.contains(*n)) {
            fs::remove_file(self.out.join(name)).map_err(|e| Failure::writing(&self.out.join(name), e))?;
        }
        for name in &new {
            let to = self.out.join(name);
            fs::rename(complete.join(name), &to).map_err(|e| Failure::writing(&to, e))?;
        }
        fs::remove_dir_all(&complete).map_err(|e| Failure::writing(&complete, e))
    }

    /// Removes what was staged by a run that did not end.
    fn sweep(&self) -> Result<()> {
        for name in self.names(&self.staged)? {
            let path = self.staged.join(name);
            fs::remove_file(&path).map_err(|e| Failure::writing(&path, e))?;
        }
        Ok(())
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let entries = fs::read_dir(folder).map_err(|e| Failure::reading(folder, e))?;
        entries
            .map(|e| Ok(e.map_err(|e| Failure::reading(folder, e))?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Gone already, if it was published. Nothing can be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.staged);
        self.lock.release();
        if self.made {
            let _ = fs::remove_dir(&self.out);
        }
    }
}

/// The lock of a folder for results; the system releases it if the process dies.
struct Lock {
    path: PathBuf,
    /// `None` where the file system knows no locks.
    file: Option<File>,
}

impl Lock {
    fn take(out: &Path) -> Result<Self> {
        let path = out.join(LOCK);
        let failed = |e| Failure::writing(&path, e);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let file = match file.try_lock() {
            Ok(()) if is_at(&file, &path) => Some(file),
            // The run that had it ended just now and took the file away.
            Ok(()) | Err(TryLockError::WouldBlock) => {
                let problem = format!("another run is writing to {}", out.display());
                return Err(Failure::input(format!("{problem}; wait for it or choose another --out")));
            }
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => None,
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        };
        Ok(Self { path, file })
    }

    /// Takes the file away while it is still locked, so that nobody else can hold it.
    fn release(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.file = None;
    }
}

/// Whether `path` still names `file`.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |m: fs::Metadata| (m.dev(), m.ino());
        matches!((file.metadata().map(id), fs::metadata(path).map(id)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn results_appear_all_together_and_only_ours_go() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        for name in
            ["dense.spectral", "compact.spectral", "before-step-2.spectral", "before-step-x.spectral", "mine.txt"]
        {
            fs::write(out.join(name), "old").unwrap();
        }
        let run = Folder::open(&out).unwrap();
        fs::write(run.path("dense.spectral"), "new").unwrap();
        assert_eq!(read(out.join("dense.spectral")), "old");
        run.publish().unwrap();
        assert_eq!(files(&out), ["before-step-x.spectral", "dense.spectral", "mine.txt"]);
        assert_eq!(read(out.join("dense.spectral")), "new");
    }

    #[test]
    fn a_run_that_fails_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let run = Folder::open(&out).unwrap();
        fs::write(run.path("dense.spectral"), "new").unwrap();
        drop(run);
        assert!(!out.exists());
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("dense.spectral"), "old").unwrap();
        drop(Folder::open(&out).unwrap());
        assert_eq!(files(&out), ["dense.spectral"]);
    }

    #[test]
    fn what_killed_runs_left_is_swept_or_finished() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        fs::write(out.join("dense.spectral"), "old").unwrap();
        fs::create_dir(out.join(STAGED)).unwrap();
        fs::write(out.join(STAGED).join("dense.spectral"), "half").unwrap();
        drop(Folder::open(out).unwrap());
        assert_eq!((files(out), read(out.join("dense.spectral"))), (vec!["dense.spectral".into()], "old".into()));
        // Killed while its files were moving up.
        fs::create_dir(out.join(COMPLETE)).unwrap();
        fs::write(out.join(COMPLETE).join("sparse.spectral"), "new").unwrap();
        drop(Folder::open(out).unwrap());
        assert_eq!((files(out), read(out.join("sparse.spectral"))), (vec!["sparse.spectral".into()], "new".into()));
    }

    #[test]
    fn one_run_at_a_time_and_no_folder_in_the_place_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        let error = Folder::open(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("another run is writing to"), "{error}");
        assert!(first.path("").exists(), "the second run took the folder of the first away");
        drop(first);
        fs::create_dir(folder.path().join("pruned.spectral")).unwrap();
        let error = Folder::open(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("pruned.spectral is a folder"), "{error}");
        assert_eq!(files(folder.path()), ["pruned.spectral"]);
    }
}
