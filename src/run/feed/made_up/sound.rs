//! Sound: waveforms, and pictures of sound.
//!
//! A waveform is noise whose power falls with the frequency, as that of most sounds does, with tones and their harmonics
//! that begin and fade. A picture of sound, or a sequence of features, is noise of such a spectrum along both axes, with
//! ridges along time. All have mean 0 and variance 1.
//!
//! Sources: Voss and Clarke, 1/f Noise in Music and Speech, 1975; Baradad et al., Learning to See by Looking at Noise,
//! 2021.

use super::{between, uniform};
use crate::feed::normal;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// How many tones a waveform has at least and at most.
const TONES: (f64, f64) = (2.0, 8.0);
const HARMONICS: usize = 6;
/// How loud tones are beside the noise.
const LOUD: f64 = 1.5;

/// Waveforms along the longest axis, one for each element of the others.
pub(super) fn waves(shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (axis, &length) = shape.iter().enumerate().max_by_key(|&(at, &n)| (n, at)).unwrap_or((0, &1));
    let others: usize = shape.iter().product::<usize>() / length.max(1);
    let inner: usize = shape[(axis + 1).min(shape.len())..].iter().product();
    let mut numbers = vec![0.0; others * length];
    for other in 0..others {
        for (at, x) in wave(length, rng).into_iter().enumerate() {
            numbers[other / inner * inner * length + at * inner + other % inner] = x;
        }
    }
    numbers
}

fn wave(length: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut wave = smooth(length, rng);
    let tones = between(rng, TONES.0, TONES.1) as usize;
    for _ in 0..tones {
        let period = between(rng, 8f64.ln(), 400f64.ln()).exp();
        let start = (uniform(rng) * length as f64) as usize;
        let fade = between(rng, 0.02, 0.5) * length as f64;
        let phase = between(rng, 0.0, TAU);
        for (since, x) in wave[start..].iter_mut().enumerate() {
            let since = since as f64;
            let sum = |k: usize| ((k + 1) as f64 * TAU * since / period + phase).sin() / (k + 1) as f64;
            *x += LOUD * (-since / fade).exp() * (0..HARMONICS).map(sum).sum::<f64>();
        }
    }
    standard(&mut wave);
    wave
}

/// Maps over the last two axes, one for each element of the others.
pub(super) fn maps(shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (width, rest) = shape.split_last().map_or((1, shape), |(&n, rest)| (n, rest));
    let (height, rest) = rest.split_last().map_or((1, rest), |(&n, rest)| (n, rest));
    let one = |_| map(height, width, rng);
    (0..rest.iter().product::<usize>()).flat_map(one).collect()
}

fn map(height: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut map = vec![0.0; height * width];
    // Grids of all sizes, each as strong as the others.
    let mut step = 1;
    while step == 1 || step < height.max(width) {
        let (rows, columns) = (height.div_ceil(step) + 1, width.div_ceil(step) + 1);
        let grid: Vec<f64> = (0..rows * columns).map(|_| normal(rng)).collect();
        for (at, x) in map.iter_mut().enumerate() {
            let [(y, v), (c, u)] = [at / width, at % width].map(|n| (n / step, (n % step) as f64 / step as f64));
            let row = |y: usize| (1.0 - u) * grid[y * columns + c] + u * grid[y * columns + c + 1];
            *x += (1.0 - v) * row(y) + v * row(y + 1);
        }
        step *= 2;
    }
    // Ridges along time, which is the longer axis.
    for _ in 0..between(rng, 1.0, 4.0) as usize {
        let across = height.min(width);
        let (place, strength) = ((uniform(rng) * across as f64) as usize, between(rng, 0.5, 2.0));
        for along in (uniform(rng) * height.max(width) as f64) as usize..height.max(width) {
            let at = if height <= width { place * width + along } else { along * width + place };
            map[at] += strength;
        }
    }
    standard(&mut map);
    map
}

/// Noise of a spectrum near 1/f: steps of all lengths, one upon another.
fn smooth(length: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut noise = vec![0.0; length];
    let mut step = 1;
    while step == 1 || step < length {
        let points: Vec<f64> = (0..length.div_ceil(step) + 1).map(|_| normal(rng)).collect();
        for (at, x) in noise.iter_mut().enumerate() {
            let (point, share) = (at / step, (at % step) as f64 / step as f64);
            *x += (1.0 - share) * points[point] + share * points[point + 1];
        }
        step *= 2;
    }
    noise
}

/// Gives numbers the mean 0 and the variance 1.
fn standard(numbers: &mut [f64]) {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt().max(1e-9);
    numbers.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
}
