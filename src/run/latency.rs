//! How long a model runs, alone or against another one.
//!
//! Machines have moods. So two models are timed in turns, A B B A, and their ratio is taken turn by turn: what slows
//! both down cancels. Every figure comes with its spread, and the ratio with a confidence interval: that of the sign
//! test for a median, which asks nothing of how times are distributed (M. Hollander, D. A. Wolfe, "Nonparametric
//! Statistical Methods", on the interval by Thompson and Savur).

mod milliseconds;

pub(crate) use milliseconds::LatencyMs;
pub(crate) use milliseconds::latency_in_ms;

use crate::feed::Feed;
use crate::oracle::{OracleError, Ran, Runner};
use std::time::{Duration, Instant};

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
    /// The median of the ratios of the single turns.
    pub median: f64,
    /// The first and the third quartile of these ratios.
    pub quartiles: (f64, f64),
    /// Where their median lies, were there turns without end.
    pub interval: (f64, f64),
    /// How sure the interval is: 0.95 or more, less where there are under six turns.
    pub confidence: f64,
}

/// How sure an interval is to be.
const CONFIDENCE: f64 = 0.95;

/// Times of one model or two.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// What ran the models, and on how many threads.
    pub ran: Ran,
    pub threads: usize,
    pub first: Timing,
    pub second: Option<(Timing, Ratio)>,
}

/// How much is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Turns that do not count, before the first that does.
    pub warm_up: usize,
    /// Turns that count, at most; at least one is taken.
    pub repeats: usize,
    /// No turn is begun that would end later, as far as the last one tells; the first one is taken in any case.
    pub budget: Duration,
}

/// The share of a time budget that goes into warming up, at most.
const WARM_UP: u32 = 4;

/// Times a model, in turns with a second one. `done` is told of each turn.
pub(crate) fn measure(
    first: &Runner,
    second: Option<&Runner>,
    feed: &Feed,
    effort: Effort,
    done: &dyn Fn(),
) -> Result<Latency, OracleError> {
    let mut turns = Turns::new(first, second, feed);
    turns.take_within(effort, done)?;
    Ok(turns.latency())
}

/// How narrow [`settle`] wants the interval of a ratio, as a share of the ratio; and how long it takes at most.
const NARROW: f64 = 0.03;
const PATIENCE: Duration = Duration::from_secs(4);

/// The same for two models, with more turns than `repeats` where the ratio needs them: on a busy machine, or for models
/// that are through in no time.
pub(crate) fn settle(
    first: &Runner,
    second: &Runner,
    feed: &Feed,
    warm_up: usize,
    repeats: usize,
) -> Result<Ratio, OracleError> {
    let mut turns = Turns::new(first, Some(second), feed);
    let end = Instant::now() + PATIENCE;
    turns.take_within(Effort { warm_up, repeats, budget: PATIENCE }, &|| {})?;
    loop {
        let ratio = Ratio::of(&turns.times.0, &turns.times.1);
        let narrow = ratio.confidence >= CONFIDENCE && ratio.interval.1 - ratio.interval.0 <= NARROW * ratio.median;
        if narrow || turns.take(repeats.max(1), Some(end), &|| {})? == 0 {
            return Ok(ratio);
        }
    }
}

/// Times that were taken so far.
struct Turns<'a> {
    first: &'a Runner,
    second: Option<&'a Runner>,
    feed: &'a Feed,
    times: (Vec<Duration>, Vec<Duration>),
    /// How long the last turn took.
    last: Duration,
}

impl<'a> Turns<'a> {
    fn new(first: &'a Runner, second: Option<&'a Runner>, feed: &'a Feed) -> Turns<'a> {
        Turns { first, second, feed, times: (vec![], vec![]), last: Duration::ZERO }
    }

    /// Warms up, and takes the turns that count. Where warming up takes all the time there is, it counts.
    fn take_within(&mut self, Effort { warm_up, repeats, budget }: Effort, done: &dyn Fn()) -> Result<(), OracleError> {
        let start = Instant::now();
        if warm_up > 0 {
            self.take(1, None, done)?;
            self.take(warm_up - 1, Some(start + budget / WARM_UP), done)?;
            if start.elapsed() + self.last > budget {
                return Ok(());
            }
            self.times = (vec![], vec![]);
        }
        self.take(1, None, done)?;
        self.take(repeats.saturating_sub(1), Some(start + budget), done)?;
        Ok(())
    }

    /// Runs both models so often, as long as there is time; returns how often it was. Who goes first changes by turns:
    /// it finds other things in the caches.
    fn take(&mut self, count: usize, end: Option<Instant>, done: &dyn Fn()) -> Result<usize, OracleError> {
        for taken in 0..count {
            let begin = Instant::now();
            if end.is_some_and(|end| begin + self.last > end) {
                return Ok(taken);
            }
            let Turns { first, second, feed, times: (a, b), .. } = self;
            let turn = a.len();
            if turn % 2 == 0 {
                a.push(first.time(feed)?);
            }
            b.extend(second.map(|s| s.time(feed)).transpose()?);
            if turn % 2 == 1 {
                a.push(first.time(feed)?);
            }
            self.last = begin.elapsed();
            done();
        }
        Ok(count)
    }

    fn latency(&self) -> Latency {
        let (a, b) = &self.times;
        let second = self.second.map(|_| (Timing::of(b), Ratio::of(a, b)));
        Latency { ran: self.first.ran(), threads: self.first.threads(), first: Timing::of(a), second }
    }
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
    /// Whether there were turns enough for the interval to mean what it says.
    pub fn is_sure(&self) -> bool {
        self.confidence >= CONFIDENCE
    }

    fn of(a: &[Duration], b: &[Duration]) -> Ratio {
        // A clock may be too coarse to see a tiny model run.
        let seconds = |d: &Duration| d.as_secs_f64().max(1e-9);
        let mut turns: Vec<f64> = a.iter().zip(b).map(|(a, b)| seconds(a) / seconds(b)).collect();
        turns.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| turns[rank(turns.len(), share)];
        let (outer, confidence) = sign_interval(turns.len());
        let interval = (turns[outer], turns[turns.len() - 1 - outer]);
        Ratio { median: at(0.5), quartiles: (at(0.25), at(0.75)), interval, confidence }
    }
}

/// How many of the sorted numbers may be left out at either end, such that the median lies between the rest with the
/// confidence asked for; and how sure that is. Each of the numbers is below the median or above it as by the toss of a
/// coin.
fn sign_interval(count: usize) -> (usize, f64) {
    if count > 1000 {
        // The powers of one half vanish; the normal distribution is as good.
        let outer = (count as f64 / 2.0 - 1.96 * (count as f64).sqrt() / 2.0) as usize;
        return (outer.saturating_sub(1), CONFIDENCE);
    }
    // The probability of just `k` of `count` tosses, and of at most so many.
    let mut just = 0.5_f64.powi(count as i32);
    let (mut outer, mut below) = (0, just);
    let mut confidence = 1.0 - 2.0 * below;
    for k in 1..count.div_ceil(2) {
        just *= (count - k + 1) as f64 / k as f64;
        below += just;
        if 1.0 - 2.0 * below < CONFIDENCE {
            break;
        }
        (outer, confidence) = (k, 1.0 - 2.0 * below);
    }
    (outer, confidence.max(0.0))
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
        let ratio = Ratio::of(&a, &b);
        assert_eq!((ratio.median, ratio.quartiles, ratio.interval), (2.0, (2.0, 2.0), (2.0, 2.0)));
        assert_eq!(Timing::of(&a[..1]).median, thirty);
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // The numbers of turns, the ranks of the interval's ends and its confidence, as tables of the sign test have them.
        for (count, rank, confidence) in [(6, 1, 0.969), (10, 2, 0.979), (20, 6, 0.959), (50, 18, 0.967)] {
            let (outer, sure) = sign_interval(count);
            assert_eq!(outer + 1, rank, "{count}");
            assert!((sure - confidence).abs() < 1e-3, "{count}: {sure}");
        }
        // With so few turns, all of them are the interval.
        assert_eq!(sign_interval(5), (0, 0.9375));
        assert_eq!(sign_interval(1), (0, 0.0));
    }
}
