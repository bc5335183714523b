use super::*;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

/// A new, empty folder that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("spectral-files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    write_file(path, |to| to.write_all(text.as_bytes()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn new_files_have_the_permissions_of_new_files_and_old_ones_keep_theirs() {
    let folder = Folder::new();
    let [ours, plain] = ["ours", "plain"].map(|n| folder.at(n));
    fs::write(&plain, "").unwrap();
    put(&ours, "one").unwrap();
    assert_eq!(mode(&ours), mode(&plain));
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o640)).unwrap();
    put(&ours, "two").unwrap();
    assert_eq!((mode(&ours), fs::read_to_string(&ours).unwrap().as_str()), (0o640, "two"));
    assert_eq!(folder.names(), ["ours", "plain"]);
}

#[test]
fn a_failed_or_interrupted_write_changes_nothing() {
    let folder = Folder::new();
    put(&folder.at("file"), "old").unwrap();
    let failed = write_file(folder.at("file"), |to| {
        to.write_all(b"half")?;
        Err(io::Error::other("stop"))
    });
    assert!(failed.is_err());
    assert_eq!((fs::read_to_string(folder.at("file")).unwrap().as_str(), folder.names().len()), ("old", 1));
}

#[test]
fn symbolic_links_stay_and_lead_to_the_new_contents() {
    let folder = Folder::new();
    fs::create_dir(folder.at("inside")).unwrap();
    symlink("inside/file", folder.at("link")).unwrap();
    // It leads nowhere at first.
    for text in ["one", "two"] {
        put(&folder.at("link"), text).unwrap();
        assert!(fs::symlink_metadata(folder.at("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.at("inside/file")).unwrap(), text);
    }
    symlink("b", folder.at("a")).unwrap();
    symlink("a", folder.at("b")).unwrap();
    assert!(put(&folder.at("a"), "").unwrap_err().to_string().contains("circle"));
}

#[test]
fn other_hard_links_keep_the_old_contents() {
    let folder = Folder::new();
    put(&folder.at("file"), "old").unwrap();
    fs::hard_link(folder.at("file"), folder.at("other")).unwrap();
    put(&folder.at("file"), "new").unwrap();
    let read = |name: &str| fs::read_to_string(folder.at(name)).unwrap();
    assert_eq!((read("file").as_str(), read("other").as_str()), ("new", "old"));
}

#[test]
fn devices_and_pipes_are_written_to_and_stay_what_they_are() {
    let null = Path::new("/dev/null");
    check_writable(null).unwrap();
    put(null, "gone").unwrap();
    assert!(!fs::metadata(null).unwrap().is_file() && fs::metadata(null).unwrap().rdev() != 0);

    let folder = Folder::new();
    let pipe = folder.at("pipe");
    if !std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        return;
    }
    check_writable(&pipe).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut text = String::new();
            File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
            text
        }
    });
    put(&pipe, "through").unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert_eq!(folder.names(), ["pipe"]);
}

#[test]
fn folders_and_sockets_are_refused() {
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.at("socket")).unwrap();
    for (path, word) in [(folder.0.clone(), "folder"), (folder.at("socket"), "socket")] {
        assert!(put(&path, "").unwrap_err().to_string().contains(word));
        assert!(check_writable(&path).unwrap_err().to_string().contains(word));
    }
    let missing = put(&folder.at("no/such/file"), "").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert_eq!(folder.names(), ["socket"]);
}

#[test]
fn what_a_killed_program_left_is_swept_and_what_is_being_written_stays() {
    let folder = Folder::new();
    let long_ago = SystemTime::now() - 2 * YOUNG;
    let age = |name: &str, when: SystemTime| {
        let file = File::create(folder.at(name)).unwrap();
        file.set_modified(when).unwrap();
        file
    };
    age(".spectral-1-0.tmp", long_ago);
    age(".spectral-1-1.tmp", SystemTime::now());
    let locked = age(".spectral-1-2.tmp", long_ago);
    locked.lock().unwrap();
    age("unrelated.tmp", long_ago);
    put(&folder.at("file"), "").unwrap();
    assert_eq!(folder.names(), [".spectral-1-1.tmp", ".spectral-1-2.tmp", "file", "unrelated.tmp"]);
    drop(locked);
    put(&folder.at("file"), "").unwrap();
    assert_eq!(folder.names(), [".spectral-1-1.tmp", "file", "unrelated.tmp"]);
}
