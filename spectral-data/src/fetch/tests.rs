//! Downloads from a server in a thread that misbehaves on request.

use super::*;
use crate::{DataOptions, Dataset};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const CONTENTS: &[u8] = b"the quick brown fox jumps over the lazy dog";

crate::register_dataset!(DatasetEntry {
    name: "test-fetch",
    summary: "a set for tests of downloads",
    classes: 1,
    features: 1,
    load: |_: &DataOptions| -> Result<Dataset> { Err(Error::NoFolder { name: "test-fetch".into() }) },
    files: &[DataFile {
        name: "fox",
        bytes: 43,
        sha256: "05c6e08f1d9fdafa03147fcb8f82f124c76d2f70e3d989dc8aadb5e7d7450bec",
        content_sha256: "",
    }],
    mirrors: &[],
});

#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Proper,
    /// Sends this many bytes of the first answer and closes.
    CutFirst(usize),
    /// Always closes after one byte.
    CutAlways,
    IgnoresRange,
    WrongContents,
    Endless,
    NotThere,
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn serve(behaviour: Behaviour) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = requests.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            answer(stream.unwrap(), behaviour, number, &log);
        }
    });
    Server { url, requests }
}

fn answer(mut stream: TcpStream, behaviour: Behaviour, number: usize, log: &Mutex<Vec<String>>) {
    let mut range = None;
    let mut head = String::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let Ok(line) = line else { return };
        if line.is_empty() {
            break;
        }
        if let Some(start) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = start.trim_end_matches('-').parse::<usize>().ok();
        }
        if head.is_empty() {
            head = line;
        }
    }
    log.lock().unwrap().push(format!("{head} {range:?}"));
    let start = range.filter(|_| behaviour != Behaviour::IgnoresRange).unwrap_or(0);
    let contents = match behaviour {
        Behaviour::WrongContents => CONTENTS.to_ascii_uppercase(),
        Behaviour::Endless => CONTENTS.repeat(1000),
        _ => CONTENTS.to_vec(),
    };
    let rest = &contents[start.min(contents.len())..];
    let status = match (behaviour, start) {
        (Behaviour::NotThere, _) => "404 Not Found".to_owned(),
        (_, 0) => "200 OK".to_owned(),
        _ => format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{}", contents.len() - 1, contents.len()),
    };
    let sent = match behaviour {
        Behaviour::CutFirst(n) if number == 0 => n,
        Behaviour::CutAlways => 1,
        _ => rest.len(),
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let _ = stream.write_all(&rest[..sent.min(rest.len())]);
}

struct Attempt {
    folder: tempfile::TempDir,
    server: Server,
}

impl Attempt {
    fn new(behaviour: Behaviour) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: serve(behaviour) }
    }

    fn run(&self) -> Result<Fetched, String> {
        let mirror = Some(self.server.url.clone());
        let options = FetchOptions { dir: self.folder.path().into(), mirror, progress: None };
        fetch("test-fetch", &options).map_err(|e| e.to_string())
    }

    fn leave_part(&self, bytes: &[u8]) {
        fs::create_dir_all(self.folder.path().join("test-fetch")).unwrap();
        fs::write(self.folder.path().join("test-fetch/fox.gz.part"), bytes).unwrap();
    }

    fn requests(&self) -> Vec<String> {
        let requests = self.server.requests.lock().unwrap();
        requests.iter().map(|r| r.replace("GET /data/fox.gz HTTP/1.1 ", "")).collect()
    }

    /// Names and contents of all files.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.folder.path().join("test-fetch")).unwrap().map(|e| e.unwrap());
        let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
        entries.map(file).collect()
    }

    fn has_it_all(&self) -> bool {
        self.files() == [("fox.gz".to_owned(), CONTENTS.to_vec())]
    }
}

#[test]
fn a_file_is_downloaded_once() {
    let attempt = Attempt::new(Behaviour::Proper);
    let last = AtomicUsize::new(0);
    let progress = |p: &FetchProgress<'_>| last.store((p.done * 100 / p.total) as usize, SeqCst);
    let mirror = Some(format!("{}/", attempt.server.url));
    let options = FetchOptions { dir: attempt.folder.path().into(), mirror, progress: Some(&progress) };
    let fetched = fetch("test-fetch", &options).unwrap();
    assert_eq!((fetched.files[0].origin, fetched.files[0].bytes, last.load(SeqCst)), (FileOrigin::Downloaded, 43, 100));
    assert!(attempt.has_it_all());
    assert_eq!(attempt.run().unwrap().files[0].origin, FileOrigin::Present);
    assert_eq!(attempt.requests(), ["None"]);
}

#[test]
fn a_damaged_file_is_replaced() {
    let attempt = Attempt::new(Behaviour::Proper);
    attempt.run().unwrap();
    fs::write(attempt.folder.path().join("test-fetch/fox.gz"), CONTENTS.to_ascii_uppercase()).unwrap();
    assert_eq!(attempt.run().unwrap().files[0].origin, FileOrigin::Downloaded);
    assert!(attempt.has_it_all());
}

#[test]
fn a_cut_connection_is_taken_up_where_it_was() {
    let attempt = Attempt::new(Behaviour::CutFirst(10));
    attempt.run().unwrap();
    assert!(attempt.has_it_all());
    assert_eq!(attempt.requests(), ["None", "Some(10)"]);
}

#[test]
fn an_earlier_attempt_is_taken_up() {
    let attempt = Attempt::new(Behaviour::Proper);
    attempt.leave_part(&CONTENTS[..20]);
    attempt.run().unwrap();
    assert!(attempt.has_it_all());
    assert_eq!(attempt.requests(), ["Some(20)"]);
}

#[test]
fn what_an_earlier_attempt_left_may_be_wrong() {
    for left in [b"something completely else".to_vec(), vec![b'x'; 43], vec![b'x'; 99]] {
        let attempt = Attempt::new(Behaviour::Proper);
        attempt.leave_part(&left);
        attempt.run().unwrap();
        assert!(attempt.has_it_all(), "{left:?}");
    }
}

#[test]
fn a_server_may_not_know_ranges() {
    let attempt = Attempt::new(Behaviour::IgnoresRange);
    attempt.leave_part(&CONTENTS[..20]);
    attempt.run().unwrap();
    assert!(attempt.has_it_all());
    assert_eq!(attempt.requests(), ["Some(20)"]);
}

#[test]
fn hopeless_connections_end_with_the_part_kept() {
    let attempt = Attempt::new(Behaviour::CutAlways);
    let error = attempt.run().unwrap_err();
    assert!(error.contains("after 5 of 43 bytes") && error.contains("fetch again"), "{error}");
    assert_eq!(attempt.files(), [("fox.gz.part".to_owned(), CONTENTS[..5].to_vec())]);
}

#[test]
fn wrong_contents_are_refused_and_removed() {
    for behaviour in [Behaviour::WrongContents, Behaviour::Endless] {
        let attempt = Attempt::new(behaviour);
        let error = attempt.run().unwrap_err();
        assert!(error.contains("not the published ones") || error.contains("longer than the 43 bytes"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(attempt.files(), [], "{behaviour:?}");
    }
}

#[test]
fn errors_name_the_address_and_the_next_step() {
    let attempt = Attempt::new(Behaviour::NotThere);
    let error = attempt.run().unwrap_err();
    assert!(error.contains("/data/fox.gz: is not there (404)") && error.contains("--mirror"), "{error}");
    assert_eq!(attempt.files(), []);
    let to =
        |mirror: &str| FetchOptions { dir: attempt.folder.path().into(), mirror: Some(mirror.into()), progress: None };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (fetch("test-fetch", &to(&format!("http://{closed}"))), "cannot be reached"),
        (fetch("test-fetch", &to("https://127.0.0.1/x")), "only http:// addresses"),
        (fetch("digits", &to("http://127.0.0.1/x")), "part of the program"),
        (fetch("test-fetsch", &to("http://127.0.0.1/x")), "did you mean `test-fetch`"),
    ];
    for (result, word) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains('\n'), "{error}");
    }
}
