//! Sums of a constant's numbers times intervals: one sum for every place along some axes of the constant.
//!
//! Numbers are looked at where they lie, and only until they change nothing more: once a sum can be any number, it stays
//! that. Where data have no bounds, that is so after a few of them.

use crate::ir::{DType, Tensor};
use crate::ops::Interval;

/// How indices along an axis of the constant lead to a place and to a factor.
pub(super) struct Step {
    pub length: usize,
    /// How far apart places are along the axis; `None` where all indices belong to one sum.
    pub place: Option<usize>,
    /// So many indices at a time have a factor in common, and how far apart factors are then; all have where it is `None`.
    pub factor: Option<(usize, usize)>,
}

/// The sums, by place. `None` for what holds no floats. There is a factor at least as far as the steps lead.
pub(super) fn sums(tensor: &Tensor, steps: Vec<Step>, places: usize, factors: &[Interval]) -> Option<Vec<Interval>> {
    let raw = tensor.raw().ok()?;
    macro_rules! sums {
        ($read:expr) => {{
            let numbers = raw.as_chunks().0;
            Walk::new(steps, places, factors, |flat: usize| $read(numbers[flat])).run()
        }};
    }
    let sums = match tensor.dtype {
        DType::F32 => sums!(|b| f64::from(f32::from_le_bytes(b))),
        DType::F64 => sums!(f64::from_le_bytes),
        DType::F16 => sums!(|b| half::f16::from_le_bytes(b).to_f64()),
        DType::BF16 => sums!(|b| half::bf16::from_le_bytes(b).to_f64()),
        _ => return None,
    };
    tensor.release();
    Some(sums)
}

struct Walk<'a, F> {
    steps: Vec<Step>,
    /// From which axis on no other place is reached.
    settled: usize,
    factors: &'a [Interval],
    number: F,
    sums: Vec<Interval>,
    /// How many sums are no interval of all numbers yet.
    open: usize,
}

impl<'a, F: Fn(usize) -> f64> Walk<'a, F> {
    fn new(mut steps: Vec<Step>, places: usize, factors: &'a [Interval], number: F) -> Walk<'a, F> {
        // So the recursion is no deeper than a tensor's size has digits.
        steps.retain(|step| step.length != 1);
        let settled = steps.iter().rposition(|s| s.place.is_some()).map_or(0, |last| last + 1);
        Walk { steps, settled, factors, number, sums: vec![Interval::ZERO; places], open: places }
    }

    fn run(mut self) -> Vec<Interval> {
        if self.steps.iter().all(|s| s.length > 0) {
            self.walk(0, 0, 0, 0);
        }
        self.sums
    }

    fn walk(&mut self, axis: usize, flat: usize, place: usize, factor: usize) {
        if self.open == 0 || axis >= self.settled && self.sums[place] == Interval::ANY {
            return;
        }
        let Some(&Step { length, place: apart, factor: shared }) = self.steps.get(axis) else {
            return self.add(flat, place, factor);
        };
        for index in 0..length {
            let place = place + apart.map_or(0, |apart| index * apart);
            let factor = factor + shared.map_or(0, |(some, apart)| index / some * apart);
            self.walk(axis + 1, flat * length + index, place, factor);
        }
    }

    fn add(&mut self, flat: usize, place: usize, factor: usize) {
        let (w, x, sum) = ((self.number)(flat), self.factors[factor], &mut self.sums[place]);
        if *sum == Interval::ANY || w == 0.0 {
            return;
        }
        // As products of intervals are, with one that is a point.
        let times = |end: f64| if end == 0.0 { 0.0 } else { w * end };
        *sum = match w.is_finite() {
            true if w > 0.0 => Interval::new(sum.lo + times(x.lo), sum.hi + times(x.hi)),
            true => Interval::new(sum.lo + times(x.hi), sum.hi + times(x.lo)),
            false => *sum + Interval::point(w) * x,
        };
        self.open -= usize::from(*sum == Interval::ANY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_intervals(
            numbers in prop::collection::vec(prop_oneof![Just(0.0f32), -2.0f32..2.0, Just(f32::INFINITY)], 24),
            ends in prop::collection::vec((prop_oneof![Just(0.0), Just(f64::NEG_INFINITY), -3.0..0.0],
                prop_oneof![Just(0.0), Just(f64::INFINITY), 0.0..3.0]), 4),
        ) {
            let factors: Vec<Interval> = ends.iter().map(|&(lo, hi)| Interval::new(lo, hi)).collect();
            let tensor = Tensor::from_f32(vec![4, 1, 2, 3], &numbers);
            // Two groups of two places with two factors each, and three taps.
            let steps = vec![
                Step { length: 4, place: Some(1), factor: Some((2, 2)) },
                Step { length: 1, place: None, factor: None },
                Step { length: 2, place: None, factor: Some((1, 1)) },
                Step { length: 3, place: None, factor: None },
            ];
            let mut wanted = vec![Interval::ZERO; 4];
            for (flat, &w) in numbers.iter().enumerate() {
                let (place, factor) = (flat / 6, flat / 12 * 2 + flat / 3 % 2);
                wanted[place] = wanted[place] + Interval::point(f64::from(w)) * factors[factor];
            }
            prop_assert_eq!(sums(&tensor, steps, 4, &factors).unwrap(), wanted);
        }
    }
}
