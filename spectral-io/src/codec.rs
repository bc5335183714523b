//! How the header is turned into bytes: bincode 2 behind two functions, so that it can be replaced.
//!
//! The byte in the file says which codec wrote it. bincode is not self-describing, so only structures whose
//! fields never change go through it; everything that evolves is JSON inside a length-prefixed byte string.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The only codec so far: bincode 2, fixed-width little-endian numbers.
pub(crate) const BINCODE: u8 = 1;

/// No header may be longer.
pub(crate) const HEADER_LIMIT: usize = 64 << 20;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<HEADER_LIMIT>,
> = bincode::config::legacy().with_limit::<HEADER_LIMIT>();

/// The bytes of `header`.
pub(crate) fn encode(header: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = bincode::serde::encode_to_vec(header, CONFIG).map_err(|e| Error::Unsupported(e.to_string()))?;
    if bytes.len() > HEADER_LIMIT {
        let problem =
            format!("its header would take {} bytes, more than {HEADER_LIMIT}; shorten the history", bytes.len());
        return Err(Error::Unsupported(problem));
    }
    Ok(bytes)
}

/// Reads what [`encode`] wrote with `codec`; strings borrow from `bytes`, so a lie about a length allocates nothing.
pub(crate) fn decode<'a, T: Deserialize<'a>>(codec: u8, bytes: &'a [u8]) -> Result<T> {
    let damaged = |problem: String| Error::damaged("the header", problem);
    if codec != BINCODE {
        return Err(damaged(format!("it was written with codec {codec}, known is {BINCODE} (bincode 2)")));
    }
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(|e| damaged(e.to_string()))?;
    if used != bytes.len() {
        return Err(damaged(format!("{} bytes are left over", bytes.len().saturating_sub(used))));
    }
    Ok(value)
}

/// JSON bytes of the part called `what`.
pub(crate) fn to_json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Unsupported(format!("{what}: {e}")))
}

/// Reads JSON bytes of the part called `what`.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::damaged(format!("`{what}`"), e.to_string()))
}
