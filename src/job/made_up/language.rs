//! Texts that a language model writes itself.
//!
//! Where an output holds logits over the tokens that the model reads, and no position looks at later ones, samples are
//! drawn from the model at temperature 1. Token by token that would take as many runs as a text is long. Instead each
//! position has one random number that never changes; all tokens are drawn anew at once from what stands before them, again
//! and again. After `k` rounds the first `k` tokens are what drawing one by one would have made of the same
//! numbers, and those behind are nearly that: their context is text of the model's own, too.
//!
//! Sources: Song et al., Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving, 2021, for the
//! rounds; Liu et al., LLM-QAT, 2023, for calibrating by texts of the model's own.

use super::{Maker, WORK};
use crate::feed::made_up::Frame;
use crate::feed::{self, Feed, InputSpec, Kind};
use crate::ir::Tensor;
use crate::job::Error;
use crate::verify::{Role, Series};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Fewer rounds are of no use.
const FEWEST: u64 = 4;
/// What they may cost altogether, in logits that are looked at.
const LOOKED_AT: u64 = 1 << 32;

/// What became of texts.
pub(super) enum Text {
    /// The model wrote them, for the input of this number.
    Spoken(Vec<Feed>, usize),
    /// They are as they were.
    Drawn(Vec<Feed>),
}

/// Lets the model write the texts anew, where it can.
pub(super) fn spoken(maker: &Maker, specs: &[InputSpec], frame: &Frame, feeds: Vec<Feed>) -> Result<Text, Error> {
    let texts: Vec<usize> = (0..specs.len()).filter(|&at| matches!(specs[at].kind, Kind::Tokens { .. })).collect();
    let &[at] = &texts[..] else { return Ok(Text::Drawn(feeds)) };
    let Kind::Tokens { last } = specs[at].kind else { return Ok(Text::Drawn(feeds)) };
    let name = &specs[at].name;
    let mut writer = Writer { series: Series::new(maker.reader.setup, maker.model, Role::Alone), name, last };
    let Some(first) = feeds.first() else { return Ok(Text::Drawn(feeds)) };
    let Some(looked_at) = writer.looks_back(first) else { return Ok(Text::Drawn(feeds)) };
    let each = looked_at.saturating_mul(feeds.len() as u64).max(1);
    // As many as make all of it what drawing one by one would, if that is affordable.
    let length = first.get(name).and_then(|t| t.shape.last().copied()).unwrap_or(1) as u64;
    let affordable = WORK / maker.macs().saturating_mul((feeds.len() * frame.portion()) as u64).max(1);
    let rounds = length.min(affordable).min(LOOKED_AT / each);
    if rounds < FEWEST {
        return Ok(Text::Drawn(feeds));
    }
    let drawn = feeds.clone();
    let mut feeds = feeds;
    for _ in 0..rounds {
        maker.reader.monitor.check()?;
        match writer.round(&feeds, maker.seed) {
            Some(next) => feeds = next,
            None => return Ok(Text::Drawn(drawn)),
        }
    }
    Ok(Text::Spoken(feeds, at))
}

struct Writer<'a> {
    series: Series<'a>,
    name: &'a str,
    /// The last token that there is.
    last: i64,
}

impl Writer<'_> {
    /// How many logits a feed makes, where the model says for each position what comes next and looks at none that is
    /// later.
    fn looks_back(&mut self, feed: &Feed) -> Option<u64> {
        let tokens = feed.get(self.name)?;
        let length = tokens.shape.last().copied().filter(|&n| n >= 2 && tokens.shape.len() == 2)?;
        let mut numbers = tokens.to_i64()?;
        let end = &mut numbers[length - 1];
        *end = if *end == self.last { self.last - 1 } else { self.last };
        let changed = with(feed, self.name, &numbers)?;
        let outputs = self.series.run(&[feed.clone(), changed]).ok()?;
        let at = outputs[0].iter().position(|(_, t)| self.suits(t, &tokens.shape))?;
        let [before, after] = [0, 1].map(|k: usize| outputs[k][at].1.to_f64());
        let (before, after) = (before.ok()?, after.ok()?);
        let classes = before.len() / tokens.count();
        let earlier = (length - 1) * classes;
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 * (1.0 + a.abs());
        let same = before[..earlier].iter().zip(&after[..earlier]).all(near);
        let changes = !before[earlier..length * classes].iter().zip(&after[earlier..length * classes]).all(near);
        (same && changes).then_some(before.len() as u64)
    }

    fn suits(&self, output: &Tensor, tokens: &[usize]) -> bool {
        let [rows, length, classes] = output.shape[..] else { return false };
        output.dtype.is_float() && [rows, length] == *tokens && classes as i64 > self.last
    }

    /// All tokens but the first are drawn from what the model makes of those before them.
    fn round(&mut self, feeds: &[Feed], seed: u64) -> Option<Vec<Feed>> {
        let outputs = self.series.run(feeds).ok()?;
        let next = |(number, (feed, outputs)): (usize, (&Feed, &crate::oracle::Outputs))| {
            let tokens = feed.get(self.name)?;
            let logits = outputs.iter().find(|(_, t)| self.suits(t, &tokens.shape))?.1.to_f64().ok()?;
            let (mut numbers, length) = (tokens.to_i64()?, *tokens.shape.last()?);
            let classes = logits.len() / numbers.len();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(u64::MAX - number as u64);
            let uniform: Vec<f64> = numbers.iter().map(|_| feed::uniform(&mut rng)).collect();
            for at in (0..numbers.len()).filter(|at| at % length != 0) {
                let row = &logits[(at - 1) * classes..at * classes][..=self.last as usize];
                numbers[at] = draw(row, uniform[at])?;
            }
            with(feed, self.name, &numbers)
        };
        feeds.iter().zip(&outputs).enumerate().map(next).collect()
    }
}

/// The feed with other tokens.
fn with(feed: &Feed, name: &str, tokens: &[i64]) -> Option<Feed> {
    feed.with(name, &tokens.iter().map(|&t| t as f64).collect::<Vec<_>>())
}

/// The class at which the probabilities of a softmax add up to a number from 0 to 1; `None` where there are none.
fn draw(logits: &[f64], uniform: f64) -> Option<i64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return None;
    }
    let total: f64 = logits.iter().map(|x| (x - most).exp()).sum();
    let mut left = uniform * total;
    let class = logits.iter().position(|x| {
        left -= (x - most).exp();
        left < 0.0
    });
    Some(class.unwrap_or(logits.len() - 1) as i64)
}
