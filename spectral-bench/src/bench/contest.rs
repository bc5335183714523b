//! Side by side: everyone runs for a moment, round after round, so that what disturbs the machine disturbs all.

use super::rival::{Rivals, Variant};
use crate::{Failure, Result};
use std::time::{Duration, Instant};

/// Runs one contestant for about the given time; milliseconds of single runs.
pub(super) type Burst<'a> = Box<dyn FnMut(Duration) -> Result<Vec<f64>> + 'a>;

/// Rounds that count.
const ROUNDS: usize = 7;

/// How long everyone runs in a round.
const SPAN: Duration = Duration::from_millis(60);

/// Of runs that take longer than this, one a round is enough.
pub(super) const LONG: Duration = Duration::from_millis(500);

/// Who takes part.
pub(super) struct Contest<'a> {
    ours: Burst<'a>,
    local: Vec<(String, Burst<'a>)>,
}

/// Milliseconds of single runs.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) ours: Vec<f64>,
    pub(super) rivals: Vec<(String, Vec<f64>)>,
}

impl<'a> Contest<'a> {
    pub(super) fn new(ours: Burst<'a>) -> Self {
        Self { ours, local: Vec::new() }
    }

    /// A contestant in this process.
    pub(super) fn against(mut self, name: impl Into<String>, burst: Burst<'a>) -> Self {
        self.local.push((name.into(), burst));
        self
    }

    /// Lets everyone run, in turns: we, those in this process, and the given ways of what the rivals made last.
    pub(super) fn run(mut self, rivals: &mut Rivals, variants: &[Variant]) -> Result<Times> {
        let mut names: Vec<String> = self.local.iter().map(|(n, _)| n.clone()).collect();
        names.extend(variants.iter().map(|v| rivals.title(v)));
        let mut times = Times { ours: Vec::new(), rivals: names.into_iter().map(|n| (n, Vec::new())).collect() };
        for round in 0..=ROUNDS {
            // The first round warms up.
            let keep = |all: &mut Vec<f64>, new: Vec<f64>| all.extend(new.into_iter().filter(|_| round > 0));
            keep(&mut times.ours, (self.ours)(SPAN)?);
            let (local, remote) = times.rivals.split_at_mut(self.local.len());
            for ((_, burst), (_, all)) in self.local.iter_mut().zip(local) {
                settle();
                keep(all, burst(SPAN)?);
            }
            for (variant, (_, all)) in variants.iter().zip(remote) {
                settle();
                keep(all, rivals.times(variant, SPAN)?);
            }
            settle();
        }
        Ok(times)
    }
}

/// Lets the threads of whoever ran last go to sleep.
fn settle() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A contestant that does the same again and again.
pub(super) fn repeated<'a>(mut run: impl FnMut() -> Result<()> + 'a) -> Burst<'a> {
    Box::new(move |span| {
        let start = Instant::now();
        run()?;
        let once = start.elapsed();
        if once > LONG {
            return Ok(vec![1e3 * once.as_secs_f64()]);
        }
        // Short runs are timed several at a time: reading the clock takes time too.
        let inner = (2e-4 / once.as_secs_f64().max(1e-7)).max(1.0) as u32;
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 3 || start.elapsed() < span {
            let begin = Instant::now();
            for _ in 0..inner {
                run()?;
            }
            times.push(1e3 * begin.elapsed().as_secs_f64() / f64::from(inner));
        }
        Ok(times)
    })
}

/// Refuses to compare with somebody who computed something else.
pub(super) fn same(what: &str, ours: f64, theirs: &[Variant]) -> Result<()> {
    let differs = |sum: f64| (sum - ours).abs() > 1e-3 * ours.abs().max(1e-6);
    match theirs.iter().find(|v| v.answer.is_some_and(differs)) {
        Some(v) => Err(Failure::Check(format!(
            "{what}: {} gave {:?} on average, we {ours}: not the same work",
            v.name, v.answer
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_take_turns_and_the_first_round_does_not_count() {
        let turns = std::cell::RefCell::new(String::new());
        let burst = |letter: char, turns: &std::cell::RefCell<String>| {
            turns.borrow_mut().push(letter);
            Ok(vec![1.0])
        };
        let contest = Contest::new(Box::new(|_| burst('a', &turns))).against("b", Box::new(|_| burst('b', &turns)));
        let times = contest.run(&mut Rivals::default(), &[]).unwrap();
        assert_eq!(*turns.borrow(), "ab".repeat(ROUNDS + 1));
        assert_eq!((times.ours.len(), times.rivals[0].1.len()), (ROUNDS, ROUNDS));
    }

    #[test]
    fn other_work_is_refused() {
        let variant = |sum| [Variant::answering("x", sum)];
        assert!(same("w", 1.0, &variant(Some(1.0001))).is_ok() && same("w", 1.0, &variant(None)).is_ok());
        assert!(same("w", 1.0, &variant(Some(1.1))).is_err());
    }
}
