//! Samples that are made up: random numbers (`random:N`), and such as look like what a model is meant for.
//!
//! What an input looks like is known from its shape and its readers ([`Kind`]). A [`Sketch`] says what is drawn for it:
//! pictures of things that cover one another (`pictures`), sound (`sound`), columns of a table, tokens. What is drawn
//! knows nothing of the task; it has the statistics that most data of the kind have in common, and that is what a
//! choice of units and a repair go by. All is seeded: sample `n` of input `i` is the same whatever else is drawn.

mod pictures;
mod random;
mod sound;

pub(super) use random::open;

use super::source::{Source, Together};
use super::{Feed, FeedError, InputSpec, Sizes, counted, joined, normal, stack, uniform};
use crate::ir::Tensor;
use crate::sizes::Kind;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How numbers become those that an input takes: numbers from 0 to 1 for pictures, and such of mean 0 and variance 1 for
/// all else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Each element of a sample times a factor, plus an offset.
    Each(Vec<f64>, Vec<f64>),
    /// All alike: what 0 becomes, and what 1 does.
    All(f64, f64),
    /// Each channel of a picture: its mean, and its standard deviation, by which it is divided.
    Channels(Vec<f64>, Vec<f64>),
}

/// What is drawn for an input.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    /// What it is to look like.
    pub kind: Kind,
    pub scale: Scale,
}

/// What is drawn for each input of a model.
pub(crate) struct Artist<'a> {
    pub inputs: &'a [InputSpec],
    pub sketches: &'a [Sketch],
    pub seed: u64,
}

/// How many samples a portion has, and how long open axes are.
pub(crate) struct Frame {
    sizes: Sizes,
    together: Together,
}

impl Frame {
    /// That of a model with these inputs.
    pub(crate) fn of(inputs: &[InputSpec]) -> Frame {
        let (sizes, together) = random::frame(inputs);
        Frame { sizes, together }
    }

    /// How many samples go into a portion.
    pub(crate) fn portion(&self) -> usize {
        self.together.portion()
    }
}

/// Samples that are held in memory, a feed for each portion.
pub(super) struct Held {
    inputs: Vec<InputSpec>,
    feeds: Vec<Feed>,
}

impl Held {
    /// The feeds as samples of a model with these inputs.
    pub(super) fn new(inputs: &[InputSpec], feeds: Vec<Feed>) -> (Held, Together) {
        (Held { inputs: inputs.to_vec(), feeds }, Frame::of(inputs).together)
    }
}

impl Source for Held {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        Ok(stack(portions.iter().map(|&p| self.feeds[p].clone()).collect(), &self.inputs))
    }
}

impl Artist<'_> {
    /// The portion of this number.
    pub(crate) fn portion(&self, frame: &Frame, number: usize) -> Result<Feed, FeedError> {
        let mut random = Feed::random_sized(self.inputs, &frame.sizes, self.seed.wrapping_add(number as u64))?;
        for (at, (input, sketch)) in self.inputs.iter().zip(self.sketches).enumerate() {
            if matches!(sketch.kind, Kind::Fixed | Kind::Unknown) {
                continue;
            }
            let shape = random.0[at].1.shape.clone();
            counted(&input.name, &shape)?;
            let tensor = self.tensor(at, input, &shape, number);
            random.0[at].1 = tensor.ok_or_else(|| FeedError::ElementType(input.name.clone(), input.dtype))?;
        }
        Ok(random)
    }

    fn tensor(&self, at: usize, input: &InputSpec, shape: &[usize], number: usize) -> Option<Tensor> {
        let batch = input.batch.min(shape.len().checked_sub(1)?);
        let (count, one) = (shape[batch], [&shape[..batch], &[1], &shape[batch + 1..]].concat());
        let draw = |k: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(((at as u64) << 32) + (number * count + k) as u64);
            let numbers = self.sketches[at].numbers(input, &one, batch, &mut rng);
            Tensor::from_f64(input.dtype, one.clone(), &numbers)
        };
        let samples = (0..count).map(draw).collect::<Option<Vec<Tensor>>>()?;
        Some(joined(&samples.iter().collect::<Vec<_>>(), batch))
    }
}

impl Sketch {
    /// What nothing is known of: numbers from the standard normal distribution.
    pub(crate) fn plain(kind: Kind) -> Sketch {
        Sketch { kind, scale: Scale::All(0.0, 1.0) }
    }

    /// One sample of a shape, as the input takes it.
    fn numbers(&self, input: &InputSpec, shape: &[usize], batch: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let count = shape.iter().product();
        let axes: Vec<usize> = (0..shape.len()).filter(|&axis| axis != batch).collect();
        let mut numbers = match self.kind {
            Kind::Image { channels } => pictures::image(shape, &axes, channels, rng),
            Kind::Wave => sound::waves(&axes.iter().map(|&a| shape[a]).collect::<Vec<_>>(), rng),
            Kind::Map => sound::maps(&axes.iter().map(|&a| shape[a]).collect::<Vec<_>>(), rng),
            Kind::Tokens { last } => return tokens(last, count, rng),
            // A state that is not quite zero: where it begins with zeros, its weights would look as if nobody read them.
            Kind::State => return (0..count).map(|_| NEARLY * normal(rng)).collect(),
            Kind::Table | Kind::Fixed | Kind::Unknown => (0..count).map(|_| normal(rng)).collect(),
        };
        self.scale.apply(&mut numbers, shape, self.kind);
        if !input.dtype.is_float() {
            let (low, high) = if input.dtype.bits() == 8 { (0.0, 255.0) } else { (f64::MIN, f64::MAX) };
            numbers.iter_mut().for_each(|x| *x = x.round().clamp(low, high));
        }
        numbers
    }
}

/// How large states are that are not quite zero.
const NEARLY: f64 = 0.1;

impl Scale {
    fn apply(&self, numbers: &mut [f64], shape: &[usize], kind: Kind) {
        match self {
            Scale::All(zero, one) => numbers.iter_mut().for_each(|x| *x = zero + (one - zero) * *x),
            Scale::Each(factors, offsets) => {
                numbers.iter_mut().zip(factors.iter().zip(offsets)).for_each(|(x, (f, o))| *x = *x * f + o);
            }
            Scale::Channels(means, deviations) => {
                let Kind::Image { channels } = kind else { return };
                let inner: usize = shape[channels + 1..].iter().product();
                for (at, x) in numbers.iter_mut().enumerate() {
                    let channel = at / inner.max(1) % shape[channels];
                    *x = (*x - means[channel % means.len()]) / deviations[channel % deviations.len()];
                }
            }
        }
    }
}

/// Tokens by Zipf's law: the `r`-th of them in an order of their own comes up `1/r` times as often as the first.
///
/// Source: Zipf, Human Behavior and the Principle of Least Effort, 1949.
fn tokens(last: i64, count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    // The first few are special, where there are enough.
    let low = if last >= 6 { 3 } else { 0 };
    let high = last.max(0);
    let span = high.abs_diff(low).saturating_add(1);
    // The inverse of ln(r) / ln(span), and a walk through all numbers that has nothing to do with their order.
    let rank = |u: f64| (((span as f64 + 1.0).ln() * u).exp() as u64).clamp(1, span) - 1;
    let stride = (1..).map(|k| span / 2 + k).find(|&s| coprime(s, span)).unwrap_or(1);
    (0..count)
        .map(|_| (low + (u128::from(rank(uniform(rng))) * u128::from(stride) % u128::from(span)) as i64) as f64)
        .collect()
}

fn coprime(mut a: u64, mut b: u64) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// A number from one up to another.
fn between(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(rng)
}

#[cfg(test)]
mod tests;
