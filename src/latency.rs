//! How long a model runs, alone or against another one.
//!
//! Machines have moods. So two models are timed in turns, A B A B, and their ratio is taken turn by turn: what slows
//! both down cancels. Every figure comes with its spread.

use crate::feed::Feed;
use crate::oracle::{OracleError, Runner};
use std::time::Duration;

/// Times of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    pub median: Duration,
    /// The first and the third quartile: half of all runs lie between them.
    pub quartiles: (Duration, Duration),
    /// All runs, the fastest first.
    pub sorted: Vec<Duration>,
}

/// How many times as long the first model takes as the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio of the two medians.
    pub of_medians: f64,
    /// The first and the third quartile of the ratios of the single turns.
    pub quartiles: (f64, f64),
}

/// Times of one model or two.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    pub first: Timing,
    pub second: Option<(Timing, Ratio)>,
}

/// Times `repeats` runs (at least one) of a model, in turns with those of a second one, after `warm_up` turns that
/// do not count.
pub fn measure(
    first: &Runner,
    second: Option<&Runner>,
    feed: &Feed,
    warm_up: usize,
    repeats: usize,
) -> Result<Latency, OracleError> {
    let repeats = repeats.max(1);
    let mut a = Vec::with_capacity(repeats);
    let mut b = Vec::with_capacity(repeats);
    for turn in 0..warm_up.saturating_add(repeats) {
        let times = (first.time(feed)?, second.map(|s| s.time(feed)).transpose()?);
        if turn >= warm_up {
            a.push(times.0);
            b.extend(times.1);
        }
    }
    let second = second.map(|_| (Timing::of(&b), Ratio::of(&a, &b)));
    Ok(Latency { first: Timing::of(&a), second })
}

impl Timing {
    /// How many runs were timed.
    pub fn runs(&self) -> usize {
        self.sorted.len()
    }

    fn of(times: &[Duration]) -> Timing {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |share: f64| sorted[rank(sorted.len(), share)];
        Timing { median: at(0.5), quartiles: (at(0.25), at(0.75)), sorted }
    }
}

impl Ratio {
    fn of(a: &[Duration], b: &[Duration]) -> Ratio {
        // A clock may be too coarse to see a tiny model run.
        let seconds = |d: &Duration| d.as_secs_f64().max(1e-9);
        let mut turns: Vec<f64> = a.iter().zip(b).map(|(a, b)| seconds(a) / seconds(b)).collect();
        turns.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| turns[rank(turns.len(), share)];
        let of_medians = seconds(&Timing::of(a).median) / seconds(&Timing::of(b).median);
        Ratio { of_medians, quartiles: (at(0.25), at(0.75)) }
    }
}

/// The index of a quantile among `count` sorted numbers.
fn rank(count: usize, share: f64) -> usize {
    ((count - 1) as f64 * share).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_ratios() {
        let ms = |list: &[u64]| list.iter().map(|&n| Duration::from_millis(n)).collect::<Vec<_>>();
        let (a, b) = (ms(&[30, 10, 20, 90, 40]), ms(&[15, 5, 10, 45, 20]));
        let t = Timing::of(&a);
        let [ten, twenty, thirty, forty] = [10, 20, 30, 40].map(Duration::from_millis);
        assert_eq!((t.sorted[0], t.quartiles.0, t.median, t.quartiles.1, t.runs()), (ten, twenty, thirty, forty, 5));
        assert_eq!(Ratio::of(&a, &b), Ratio { of_medians: 2.0, quartiles: (2.0, 2.0) });
        assert_eq!(Timing::of(&a[..1]).median, thirty);
    }
}
