//! Writing files completely or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Names of temporary files start and end like this.
const TEMPORARY: (&str, &str) = (".spectral-", ".tmp");

/// Temporary files younger than this are kept: the program that made them may be about to lock them.
const YOUNG: Duration = Duration::from_secs(10);

/// After this many links, they count as a circle.
const LINKS: usize = 40;

/// Writes the file at `path` in one step. After any failure, even if the program is killed, the file is either as it
/// was or holds all that `write` wrote.
///
/// * A regular file is replaced by a new one with the same permissions; other hard links keep the old contents. A new
///   file gets the default permissions of new files (the umask).
/// * A symbolic link stays; the file it points to is written.
/// * Devices, terminals and pipes are written to directly, byte by byte. Disks and sockets are refused.
/// * The new contents are in a file `.spectral-*.tmp` beside it until they are complete and on the disk. Files of
///   this name that a killed program left are removed.
///
/// # Errors
/// `write` or the system failed, or the path is a folder, a disk or a socket.
pub fn write_file(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match Target::of(path.as_ref())? {
        Target::Stream(path) => {
            let mut to = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            write(&mut to)?;
            to.flush()
        }
        Target::File { path, old } => {
            let folder = folder_of(&path);
            sweep(folder);
            let temporary = Temporary::new(folder)?;
            let mut to = BufWriter::with_capacity(1 << 16, &temporary.file);
            write(&mut to)?;
            to.flush()?;
            drop(to);
            if let Some(old) = old {
                temporary.file.set_permissions(old.permissions())?;
            }
            temporary.file.sync_all()?;
            temporary.take_the_place_of(&path)?;
            // This puts the new name on the disk too; some systems cannot do that for folders.
            let _ = File::open(folder).and_then(|f| f.sync_all());
            Ok(())
        }
    }
}

/// Checks, before long work, whether [`write_file`] can write to `path`. Changes nothing.
///
/// # Errors
/// The path is a folder, a disk or a socket, its folder is missing, or the system does not allow writing there.
pub fn check_writable(path: impl AsRef<Path>) -> io::Result<()> {
    match Target::of(path.as_ref())? {
        // Opening a pipe would wait for a reader.
        Target::Stream(_) => Ok(()),
        Target::File { path, .. } => Temporary::new(folder_of(&path)).map(drop),
    }
}

/// What a path leads to.
enum Target {
    /// A regular file, or none yet.
    File { path: PathBuf, old: Option<fs::Metadata> },
    /// A device or pipe that receives the bytes one after the other.
    Stream(PathBuf),
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_path_buf();
        for _ in 0..LINKS {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::File { path, old: None }),
                Err(e) => return Err(e),
            };
            let kind = found.file_type();
            if kind.is_symlink() {
                path = folder_of(&path).join(fs::read_link(&path)?);
            } else if kind.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it"));
            } else if kind.is_file() {
                // A file that must not be written must not be replaced either.
                OpenOptions::new().write(true).open(&path)?;
                return Ok(Self::File { path, old: Some(found) });
            } else if is_stream(kind) {
                return Ok(Self::Stream(path));
            } else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a disk or a socket, not a file"));
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "its symbolic links go round in a circle"))
    }
}

#[cfg(unix)]
fn is_stream(kind: fs::FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_char_device() || kind.is_fifo()
}

#[cfg(not(unix))]
fn is_stream(_: fs::FileType) -> bool {
    true
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new, locked file. It is removed unless it replaced another.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn new(folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let (start, end) = TEMPORARY;
            let path = folder.join(format!("{start}{}-{number}{end}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // On systems without locks, nothing is swept either.
                    let _ = file.try_lock();
                    return Ok(Self { file, path });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn take_the_place_of(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes temporary files that no program writes any more. Files that cannot be opened or removed stay.
fn sweep(folder: &Path) {
    let ours = |name: OsString| name.to_str().is_some_and(|n| n.starts_with(TEMPORARY.0) && n.ends_with(TEMPORARY.1));
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in files.filter(|e| ours(e.file_name()) && e.file_type().is_ok_and(|t| t.is_file())) {
        let old = |file: &File| file.metadata()?.modified()?.elapsed().map_err(io::Error::other).map(|age| age > YOUNG);
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        if old(&file).unwrap_or(false) && file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
