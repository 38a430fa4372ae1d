//! Intervals: the least and the greatest number that a tensor can hold, whatever the input.
//!
//! Arithmetic on them is that of the reals: zero times anything is zero, since no finite input makes it otherwise.

use super::Site;

/// The numbers from `lo` to `hi`, both included; infinite where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub lo: f64,
    pub hi: f64,
}

impl Interval {
    /// All numbers.
    pub const ANY: Interval = Interval { lo: f64::NEG_INFINITY, hi: f64::INFINITY };
    /// Zero alone.
    pub const ZERO: Interval = Interval { lo: 0.0, hi: 0.0 };
    /// No number: what a hull begins with.
    pub const NONE: Interval = Interval { lo: f64::INFINITY, hi: f64::NEG_INFINITY };

    /// From `lo` to `hi`; all numbers where one of them is none.
    pub fn new(lo: f64, hi: f64) -> Interval {
        if lo.is_nan() || hi.is_nan() { Interval::ANY } else { Interval { lo, hi } }
    }

    /// One number alone.
    pub fn point(x: f64) -> Interval {
        Interval::new(x, x)
    }

    /// The number, where there is but one.
    pub fn single(self) -> Option<f64> {
        (self.lo == self.hi && self.lo.is_finite()).then_some(self.lo)
    }

    /// The least interval around both.
    pub fn hull(self, other: Interval) -> Interval {
        Interval::new(self.lo.min(other.lo), self.hi.max(other.hi))
    }

    /// What is in both.
    pub fn meet(self, other: Interval) -> Interval {
        Interval::new(self.lo.max(other.lo), self.hi.min(other.hi))
    }

    /// Negated numbers.
    pub fn negated(self) -> Interval {
        Interval::new(-self.hi, -self.lo)
    }

    /// What a function that never falls makes of them.
    pub fn rising(self, f: impl Fn(f64) -> f64) -> Interval {
        Interval::new(f(self.lo), f(self.hi))
    }

    /// What a function that falls to `least` at `bottom` and never falls after it makes of them.
    pub fn dipping(self, f: impl Fn(f64) -> f64, bottom: f64) -> Interval {
        let ends = Interval::point(f(self.lo)).hull(Interval::point(f(self.hi)));
        let inside = self.lo <= bottom && bottom <= self.hi;
        if inside { ends.hull(Interval::point(f(bottom))) } else { ends }
    }
}

impl std::ops::Add for Interval {
    type Output = Interval;

    fn add(self, other: Interval) -> Interval {
        Interval::new(self.lo + other.lo, self.hi + other.hi)
    }
}

impl std::ops::Sub for Interval {
    type Output = Interval;

    fn sub(self, other: Interval) -> Interval {
        Interval::new(self.lo - other.hi, self.hi - other.lo)
    }
}

impl std::ops::Mul for Interval {
    type Output = Interval;

    fn mul(self, other: Interval) -> Interval {
        let product = |a: f64, b: f64| if a == 0.0 || b == 0.0 { 0.0 } else { a * b };
        let ends = [(self.lo, other.lo), (self.lo, other.hi), (self.hi, other.lo), (self.hi, other.hi)];
        ends.into_iter().map(|(a, b)| Interval::point(product(a, b))).fold(Interval::NONE, Interval::hull)
    }
}

/// The laws of bounds that operators share.
pub mod bounds {
    use super::{Interval, Site};

    /// Nothing is known.
    pub fn unknown(_: &Site, _: &[Interval]) -> Option<Interval> {
        None
    }

    /// The first operand's.
    pub fn first(_: &Site, at: &[Interval]) -> Option<Interval> {
        at.first().copied()
    }

    /// The first operand's, and zeros from beyond the border.
    pub fn first_or_zero(_: &Site, at: &[Interval]) -> Option<Interval> {
        at.first().map(|x| x.hull(Interval::ZERO))
    }

    /// A sum's.
    pub fn sum(_: &Site, at: &[Interval]) -> Option<Interval> {
        at.iter().copied().reduce(|a, b| a + b)
    }

    /// A product's.
    pub fn product(_: &Site, at: &[Interval]) -> Option<Interval> {
        at.iter().copied().reduce(|a, b| a * b)
    }
}
