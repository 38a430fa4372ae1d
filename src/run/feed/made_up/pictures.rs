//! Pictures of things that cover one another: dead leaves.
//!
//! Discs of random size, place and colour fall upon one another until nothing is left bare. There are `r^-3` as many of
//! radius `r`, which makes the picture look alike at all scales, and gives it the edges, the flat places and the
//! spectrum of photographs. Some discs have a pattern of stripes or fade from one side to the other, colours of the channels
//! belong together, contrast and brightness differ from picture to picture, and there is a little noise.
//!
//! Sources: Lee, Mumford and Huang, Occlusion Models for Natural Images, 2001; Baradad et al., Learning to See by Looking
//! at Noise, 2021.

use super::between;
use crate::feed::{normal, uniform};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// The smallest radius, as a share of the longer side; of the smallest in the finest and in the coarsest picture.
const SMALLEST: (f64, f64) = (0.02, 0.06);
/// The largest radius.
const LARGEST: f64 = 0.6;
/// No more discs fall than these; what is bare then stays as it was.
const MOST: usize = 1 << 14;
/// How much colours of a disc differ from its brightness.
const COLOUR: f64 = 0.15;
const NOISE: f64 = 0.03;

/// A picture in numbers from 0 to 1, in the order of a shape of which these axes are not the batch.
pub(super) fn image(shape: &[usize], axes: &[usize], channels: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let sides: Vec<usize> = axes.iter().filter(|&&axis| axis != channels).map(|&axis| shape[axis]).collect();
    let (count, height, width) = (shape[channels], sides[0], sides[1]);
    let mut canvas = Canvas::new(count, height, width);
    let longer = height.max(width) as f64;
    let smallest = (longer * between(rng, SMALLEST.0, SMALLEST.1)).max(1.0);
    let largest = (longer * LARGEST).max(smallest + 1.0);
    for _ in 0..MOST {
        if canvas.bare == 0 {
            break;
        }
        // The inverse of a distribution with density r^-3.
        let radius = between(rng, largest.powi(-2), smallest.powi(-2)).sqrt().recip();
        let disc = Disc::new(count, (height as f64, width as f64), radius, rng);
        canvas.drop(&disc);
    }
    canvas.pixels.iter_mut().for_each(|x| *x = (*x + NOISE * normal(rng)).clamp(0.0, 1.0));
    // Channels come last in some layouts.
    if axes.first() == Some(&channels) {
        return canvas.pixels;
    }
    let plane = height * width;
    (0..plane * count).map(|at| canvas.pixels[at % count * plane + at / count]).collect()
}

/// Pixels, channel by channel, and which of them are still bare.
struct Canvas {
    size: (usize, usize),
    pixels: Vec<f64>,
    covered: Vec<bool>,
    bare: usize,
}

struct Disc {
    centre: (f64, f64),
    radius: f64,
    colours: Vec<f64>,
    /// A pattern: its direction, and how strong it is.
    direction: (f64, f64),
    strength: f64,
    /// Stripes of this frequency from this phase on; a disc without fades.
    stripes: Option<(f64, f64)>,
}

impl Disc {
    fn new(channels: usize, (height, width): (f64, f64), radius: f64, rng: &mut ChaCha8Rng) -> Disc {
        let mut place = |side: f64| between(rng, -radius, side + radius);
        let centre = (place(height), place(width));
        let grey = uniform(rng);
        let colours = (0..channels).map(|_| (grey + COLOUR * normal(rng)).clamp(0.0, 1.0)).collect();
        let turn = between(rng, 0.0, TAU);
        // A third are plain, a third have stripes, a third fade.
        let pattern = (3.0 * uniform(rng)) as usize;
        let strength = if pattern == 0 { 0.0 } else { between(rng, 0.05, 0.3) };
        let longest = (2.0 / height.max(width)).ln();
        let frequency = TAU * between(rng, longest.min(-2.0), 0.25f64.ln()).exp();
        let phase = between(rng, 0.0, TAU);
        let stripes = (pattern == 1).then_some((frequency, phase));
        Disc { centre, radius, colours, direction: (turn.sin(), turn.cos()), strength, stripes }
    }

    /// What a disc adds to its colours there.
    fn pattern(&self, y: f64, x: f64) -> f64 {
        let along = y * self.direction.0 + x * self.direction.1;
        self.strength
            * match self.stripes {
                Some((frequency, phase)) => (frequency * along + phase).sin(),
                None => along / self.radius,
            }
    }
}

impl Canvas {
    fn new(channels: usize, height: usize, width: usize) -> Canvas {
        let plane = height * width;
        Canvas { size: (height, width), pixels: vec![0.5; channels * plane], covered: vec![false; plane], bare: plane }
    }

    /// A disc beneath all that lie there already.
    fn drop(&mut self, disc: &Disc) {
        let (height, width) = self.size;
        let reach = |centre: f64, side: usize| {
            let end = |at: f64| at.clamp(0.0, side as f64) as usize;
            end((centre - disc.radius).ceil())..end((centre + disc.radius).floor() + 1.0)
        };
        for row in reach(disc.centre.0, height) {
            for column in reach(disc.centre.1, width) {
                let at = row * width + column;
                let (y, x) = (row as f64 - disc.centre.0, column as f64 - disc.centre.1);
                if self.covered[at] || y * y + x * x > disc.radius * disc.radius {
                    continue;
                }
                self.covered[at] = true;
                self.bare -= 1;
                let pattern = disc.pattern(y, x);
                for (channel, colour) in disc.colours.iter().enumerate() {
                    self.pixels[channel * height * width + at] = colour + pattern;
                }
            }
        }
    }
}
