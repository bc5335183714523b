//! One HTTP request for a file or the rest of it.

use crate::{Error, Result};
use std::io::Read;
use std::time::Duration;

/// The bytes that arrive.
pub(super) type Body = Box<dyn Read>;

/// What the server did.
pub(super) enum Outcome {
    /// It sends the rest.
    Rest(Body),
    /// It sends the file from its start, asked for or not.
    Whole(Body),
    /// Nothing came; trying again may help.
    Cut(String),
}

/// Asks for `url` from byte `start` on.
pub(super) fn get(url: &str, start: u64) -> Result<Outcome> {
    let failed = |problem: String| Error::Fetch { url: url.into(), problem };
    if !url.starts_with("http://") {
        return Err(failed(
            "only http:// addresses can be fetched (contents are checked by SHA-256); name an http:// mirror, or download \
             the file by other means and put it into the data folder"
                .into(),
        ));
    }
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)));
    // A mirror on this machine is not behind a proxy.
    if ["http://127.", "http://localhost", "http://[::1]"].iter().any(|local| url.starts_with(local)) {
        config = config.proxy(None);
    }
    let agent = ureq::Agent::new_with_config(config.build());
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::Io(e)) if is_cut(&e) => return Ok(Outcome::Cut(format!("the connection was cut ({e})"))),
        Err(e) => {
            return Err(failed(format!("cannot be reached ({e}); check the network or name another --mirror URL")));
        }
    };
    let status = response.status().as_u16();
    let range = response.headers().get("Content-Range").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let continues = range.strip_prefix("bytes ").is_some_and(|r| r.starts_with(&format!("{start}-")));
    match status {
        206 if continues => Ok(Outcome::Rest(Box::new(response.into_body().into_reader()))),
        200 => Ok(Outcome::Whole(Box::new(response.into_body().into_reader()))),
        206 => Err(failed(format!(
            "the server sent `{range}` instead of the bytes from {start}; name another --mirror URL"
        ))),
        404 => Err(failed("is not there (404); check the address or name another --mirror URL".into())),
        other => Err(failed(format!("the server answered {other}; name another --mirror URL"))),
    }
}

fn is_cut(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
