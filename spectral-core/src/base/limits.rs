//! Limits on input: a few bytes of a file must not request all the memory of the machine.

use crate::base::{Error, Result};
use std::sync::OnceLock;

/// Limits for the whole program, so that excessive requests of a file or a recipe are refused in one sentence, and not
/// by the system.
///
/// To work with larger data, raise them with environment variables, or in a program with [`Limits::set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Values of one sample at the input of a network or after a layer; `SPECTRAL_MAX_SAMPLE`.
    ///
    /// The default is 2^26 (67 million). For a network that comes from a file of `n` bytes it is 65,536 + 256 `n`, if
    /// that is less.
    pub sample: Option<u64>,
    /// Bytes that a data file may take in memory, with archives unpacked; `SPECTRAL_MAX_DATA`. The default is 4 GiB.
    pub data: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sample: None, data: 4 << 30 }
    }
}

static LIMITS: OnceLock<Result<Limits, String>> = OnceLock::new();

impl Limits {
    /// The limits of this program.
    ///
    /// # Errors
    /// An environment variable is not a number.
    pub fn get() -> Result<Self> {
        let found = LIMITS.get_or_init(|| Self::from_variables(|name| std::env::var(name).ok()));
        found.clone().map_err(|problem| Error::config("limits", problem))
    }

    /// Sets the limits before their first use. Environment variables are then ignored.
    ///
    /// # Errors
    /// The limits were used before.
    pub fn set(self) -> Result<()> {
        LIMITS.set(Ok(self)).map_err(|_| Error::config("limits", "are in use already; set them at the start"))
    }

    /// The most values of a sample, for a network from a file of `bytes` bytes, or from elsewhere (`None`).
    pub fn sample_values(&self, bytes: Option<u64>) -> u64 {
        let most = self.sample.unwrap_or(1 << 26);
        match (self.sample, bytes) {
            (None, Some(bytes)) => most.min(bytes.saturating_mul(256).saturating_add(1 << 16)),
            _ => most,
        }
    }

    /// Refuses a sample of `values` values at the node `place`, with the limit of
    /// [`sample_values`](Self::sample_values).
    ///
    /// # Errors
    /// The sample has more values than the limit.
    pub fn check_sample(&self, place: &str, values: usize, bytes: Option<u64>) -> Result<()> {
        let most = self.sample_values(bytes);
        if u64::try_from(values).is_ok_and(|v| v <= most) {
            return Ok(());
        }
        let problem = format!(
            "a sample has {values} values here, at most {most} are accepted; SPECTRAL_MAX_SAMPLE=N raises that"
        );
        Err(Error::Graph { node: place.into(), problem })
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("{name}={text:?} is not a number from 0 to 18446744073709551615")),
            },
        };
        let default = Self::default();
        Ok(Self { sample: number("SPECTRAL_MAX_SAMPLE")?, data: number("SPECTRAL_MAX_DATA")?.unwrap_or(default.data) })
    }
}

/// A vector of `len` copies of `value`, with an error if memory runs out: for lengths from files and settings.
///
/// # Errors
/// There is not enough memory for the part called `what`.
pub fn filled<T: Clone>(what: &str, len: usize, value: T) -> Result<Vec<T>> {
    let mut all = with_room(what, len)?;
    all.resize(len, value);
    Ok(all)
}

/// An empty vector with room for `len` elements, for lengths from files and settings.
///
/// # Errors
/// As [`filled`].
pub fn with_room<T>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    match all.try_reserve_exact(len) {
        Ok(()) => Ok(all),
        Err(_) => {
            let problem = format!("there is no memory for {len} values; use a smaller network or fewer samples");
            Err(Error::config(what, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_from_variables_and_are_stated() {
        let of = |name: &'static str, text: &'static str| {
            Limits::from_variables(move |n| (n == name).then(|| text.to_owned()))
        };
        assert_eq!(of("", ""), Ok(Limits::default()));
        assert_eq!(of("SPECTRAL_MAX_DATA", "7"), Ok(Limits { sample: None, data: 7 }));
        assert_eq!(of("SPECTRAL_MAX_SAMPLE", "9").map(|l| l.sample_values(Some(0))), Ok(9));
        let problem = of("SPECTRAL_MAX_SAMPLE", "lots").unwrap_err();
        assert!(problem.contains("SPECTRAL_MAX_SAMPLE=\"lots\" is not a number"), "{problem}");
        let limits = Limits::default();
        assert_eq!((limits.sample_values(Some(100)), limits.sample_values(None)), (65_536 + 25_600, 1 << 26));
        limits.check_sample("input", 91_136, Some(100)).unwrap();
        let error = limits.check_sample("input", 91_137, Some(100)).unwrap_err().to_string();
        assert!(
            error.contains("`input`") && error.contains("91137 values") && error.contains("raises that"),
            "{error}"
        );
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        assert_eq!(filled("a test", 3, 7u8).unwrap(), [7; 3]);
        assert!(filled("a test", usize::MAX, 0.0f64).unwrap_err().to_string().contains("no memory"));
    }
}
