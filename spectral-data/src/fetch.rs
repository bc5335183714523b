//! Downloading the files of registered sets.
//!
//! Plain HTTP, because TLS would need a C toolchain to build; every file is checked against a SHA-256 that is part
//! of the program, so that nobody on the way can change it unnoticed.

mod http;

use crate::files::sha256;
use crate::{DataFile, DatasetEntry, Error, Result};
use http::{Body, Outcome};
use spectral_core::registry;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// How often a file is taken up again after its connection was cut.
const ATTEMPTS: usize = 5;

/// Where to download to and from.
#[derive(Default)]
pub struct FetchOptions<'a> {
    /// The data folder; files go into a folder in it that is called like the set.
    pub dir: PathBuf,
    /// Address of the folder with the files, instead of the built-in ones.
    pub mirror: Option<String>,
    /// Called now and then while bytes arrive.
    pub progress: Option<&'a dyn Fn(&FetchProgress<'_>)>,
}

impl std::fmt::Debug for FetchOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchOptions").field("dir", &self.dir).field("mirror", &self.mirror).finish_non_exhaustive()
    }
}

/// How far a download is.
#[derive(Debug, Clone, Copy)]
pub struct FetchProgress<'a> {
    /// The file at work.
    pub file: &'a str,
    /// Bytes of the whole set that are here.
    pub done: u64,
    /// Bytes of the whole set.
    pub total: u64,
}

/// What a fetch did.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where the files are.
    pub folder: PathBuf,
    /// Every file of the set.
    pub files: Vec<FetchedFile>,
}

/// One file of a fetched set.
#[derive(Debug, Clone)]
pub struct FetchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// How it came there.
    pub origin: FileOrigin,
}

/// How a file came to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOrigin {
    /// It was there already, with the right contents.
    Present,
    /// It was downloaded, all of it or the rest of an earlier attempt.
    Downloaded,
}

/// Downloads the files of the registered set `name` into `options.dir/name`.
///
/// A file that is there and right is left alone. A cut download stays behind as `FILE.part` and is taken up again,
/// now or by the next call; contents with a wrong checksum are deleted.
///
/// # Errors
/// The name is unknown, the set is part of the program, the system refuses to write, or no mirror has the files with
/// the right contents.
pub fn fetch(name: &str, options: &FetchOptions<'_>) -> Result<Fetched> {
    let entry = registry::find::<DatasetEntry>(name)?;
    if entry.files.is_empty() {
        let problem = format!("data set `{name}` is part of the program; there is nothing to fetch");
        return Err(spectral_core::Error::Data(problem).into());
    }
    let mirrors: Vec<&str> = match &options.mirror {
        Some(mirror) => vec![mirror],
        None => entry.mirrors.to_vec(),
    };
    let folder = options.dir.join(name);
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let total = entry.files.iter().map(|f| f.bytes).sum();
    let mut before = 0;
    let mut files = Vec::new();
    for file in entry.files {
        let report = |done: u64| {
            if let Some(progress) = options.progress {
                progress(&FetchProgress { file: file.name, done: before + done, total });
            }
        };
        files.push(fetch_file(file, &folder, &mirrors, &report)?);
        report(file.bytes);
        before += file.bytes;
    }
    Ok(Fetched { folder, files })
}

fn fetch_file(file: &DataFile, folder: &Path, mirrors: &[&str], report: &dyn Fn(u64)) -> Result<FetchedFile> {
    let path = folder.join(format!("{}.gz", file.name));
    let done = |origin| FetchedFile { path: path.clone(), bytes: file.bytes, origin };
    if fs::metadata(&path).is_ok_and(|m| m.len() == file.bytes) && hash(&path)? == file.sha256 {
        return Ok(done(FileOrigin::Present));
    }
    let part = folder.join(format!("{}.gz.part", file.name));
    let mut last = None;
    for mirror in mirrors {
        let url = format!("{}/{}.gz", mirror.trim_end_matches('/'), file.name);
        match download(&url, file, &part, report) {
            Ok(()) => {
                fs::rename(&part, &path).map_err(Error::io(&path))?;
                return Ok(done(FileOrigin::Downloaded));
            }
            // A full disk is no better with another mirror.
            Err(e @ Error::Io { .. }) => return Err(e),
            Err(e) => last = Some(e),
        }
    }
    let none =
        || Error::Fetch { url: file.name.into(), problem: "no mirror is known; name one with --mirror URL".into() };
    Err(last.unwrap_or_else(none))
}

/// Completes `part` and checks it.
fn download(url: &str, file: &DataFile, part: &Path, report: &dyn Fn(u64)) -> Result<()> {
    let failed = |problem: String| Error::Fetch { url: url.into(), problem };
    let mut resumed = complete(url, file, part, report)?;
    loop {
        let found = hash(part)?;
        if found == file.sha256 {
            return Ok(());
        }
        fs::remove_file(part).map_err(Error::io(part))?;
        if !resumed {
            return Err(failed(format!(
                "its contents are not the published ones (SHA-256 {found} instead of {}); nothing was kept, try another \
                 --mirror URL",
                file.sha256
            )));
        }
        // What an earlier attempt left may have been wrong: once more from the start.
        resumed = complete(url, file, part, report)?;
    }
}

/// Downloads until `part` has the length of `file`; says whether an earlier call's bytes are in it.
fn complete(url: &str, file: &DataFile, part: &Path, report: &dyn Fn(u64)) -> Result<bool> {
    let failed = |problem: String| Error::Fetch { url: url.into(), problem };
    let mut inherited = length(part) > 0;
    let mut cut = String::new();
    for _ in 0..ATTEMPTS {
        let have = length(part);
        if have == file.bytes {
            return Ok(inherited);
        }
        if have > file.bytes {
            fs::remove_file(part).map_err(Error::io(part))?;
            inherited = false;
            continue;
        }
        let (mut body, start) = match http::get(url, have)? {
            Outcome::Rest(body) => (body, have),
            Outcome::Whole(body) => (body, 0),
            Outcome::Cut(why) => {
                cut = why;
                continue;
            }
        };
        inherited &= start > 0;
        match append(&mut body, file, part, start, report)? {
            Some(why) => cut = why,
            None if length(part) < file.bytes => cut = "the connection was closed early".into(),
            None if length(part) > file.bytes => {
                fs::remove_file(part).map_err(Error::io(part))?;
                return Err(failed(format!(
                    "is longer than the {} bytes of the file; try another --mirror URL",
                    file.bytes
                )));
            }
            None => {}
        }
    }
    match length(part) == file.bytes {
        true => Ok(inherited),
        false => Err(failed(format!(
            "{cut} after {} of {} bytes, {ATTEMPTS} times; fetch again to go on from there, or name another --mirror URL",
            length(part),
            file.bytes
        ))),
    }
}

/// Writes what arrives to `part` from `start` on; returns why it stopped arriving, if it did not just end.
fn append(body: &mut Body, file: &DataFile, part: &Path, start: u64, report: &dyn Fn(u64)) -> Result<Option<String>> {
    use std::io::{Read, Seek, SeekFrom, Write};
    let io = |e| Error::io(part)(e);
    let mut to = OpenOptions::new().create(true).truncate(false).write(true).open(part).map_err(io)?;
    to.set_len(start).map_err(io)?;
    to.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut buffer = vec![0; 1 << 16];
    let mut done = start;
    let stopped = loop {
        report(done);
        match body.read(&mut buffer) {
            Ok(0) => break None,
            Ok(n) => {
                to.write_all(&buffer[..n]).map_err(io)?;
                done += n as u64;
                // One byte too many says enough.
                if done > file.bytes {
                    break None;
                }
            }
            Err(e) => break Some(format!("the connection was cut ({e})")),
        }
    };
    to.sync_all().map_err(io)?;
    Ok(stopped)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

fn hash(path: &Path) -> Result<String> {
    Ok(sha256(&fs::read(path).map_err(Error::io(path))?))
}

#[cfg(test)]
mod tests;
