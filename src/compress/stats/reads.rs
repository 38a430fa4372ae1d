//! What a contraction reads, by statistics that the weights imply. Its moments are made where somebody asks for them.

use super::gauss::mirror;
use super::moments::Moments;
use super::spread::{COMMON, Element, Spread};
use crate::axes::Var;
use crate::files::mapped::{self, Spill};
use bytes::Bytes;
use faer::Mat;
use std::collections::{BTreeSet, HashMap};

/// How much of a unit's variance is taken to be its own, beside what is derived: no guess is certain.
const OWN: f64 = 0.1;

/// The statistics of a contraction's view.
pub(super) struct Reads {
    /// Which element of the spread each of the view's is a part of.
    at: Vec<Option<usize>>,
    mean: Vec<f64>,
    covariance: Packed,
    /// What is said of elements that nothing is known of.
    variance: f64,
    /// By elements, what else there is to tell them apart; `None` where there is nothing.
    apart: Option<Apart>,
}

/// Elements of one unit at several positions.
struct Apart {
    /// Which leaves the spread tells apart at an element.
    told: Vec<usize>,
    /// For each of these, what is left of each element.
    rest: Vec<Vec<usize>>,
    /// Whether an element is part of one of the spread's.
    finer: Vec<bool>,
}

impl Reads {
    /// What these elements are, of which the spread tells.
    pub(super) fn new(elements: &[Element], spread: &Spread, covariance: Packed) -> Reads {
        let at: Vec<Option<usize>> = elements.iter().map(spread.finder()).collect();
        // What nothing is known of is like the rest.
        let n = spread.mean.len().max(1) as f64;
        let usual = spread.mean.iter().sum::<f64>() / n;
        let variance = (0..spread.mean.len()).map(|d| spread.covariance[(d, d)]).sum::<f64>() / n;
        let mean = at.iter().map(|d| d.map_or(usual, |d| spread.mean[d])).collect();
        let apart = Apart::new(elements, &at, spread);
        Reads { at, mean, covariance, variance, apart }
    }

    /// The covariance.
    pub(super) fn covariance(&self) -> Mat<f64> {
        let (n, mut known) = (self.at.len(), self.covariance.unpacked());
        if self.apart.is_none() && known.nrows() == n && self.at.iter().enumerate().all(|(i, at)| *at == Some(i)) {
            (0..n).for_each(|i| known[(i, i)] += OWN * known[(i, i)]);
            return known;
        }
        let mut out = Mat::zeros(n, n);
        for j in 0..n {
            let from = self.at[j].map(|b| known.col(b));
            for (i, c) in out.col_mut(j).iter_mut().enumerate() {
                *c = match (from, self.at[i]) {
                    (Some(from), Some(a)) => {
                        let common = self.apart.as_ref().map_or(1.0, |apart| apart.common(i, j));
                        common * from[a] + if i == j { OWN * from[a] } else { 0.0 }
                    }
                    _ if i == j => self.variance,
                    _ => 0.0,
                };
            }
        }
        out
    }

    /// First and second moments, as of one sample.
    pub(super) fn moments(&self) -> Moments {
        let mut product = self.covariance();
        for (j, mean) in self.mean.iter().enumerate() {
            product.col_mut(j).iter_mut().zip(&self.mean).for_each(|(p, m)| *p += m * mean);
        }
        Moments { count: 1.0, sum: (self.mean.clone(), self.mean.clone()), product }
    }
}

/// The lower triangle of a covariance, in a temporary file if it is large: only what is looked at takes memory.
#[derive(Clone)]
pub(super) struct Packed(usize, Bytes);

impl Packed {
    pub(super) fn new(covariance: &Mat<f64>, spill: &Spill) -> Packed {
        let n = covariance.ncols();
        let mut data = Vec::with_capacity(n * (n + 1) / 2 * size_of::<f64>());
        for j in 0..n {
            covariance.col(j).iter().skip(j).for_each(|c| data.extend(c.to_le_bytes()));
        }
        Packed(n, spill.keep(data))
    }

    fn unpacked(&self) -> Mat<f64> {
        let Packed(n, data) = self;
        let mut out = Mat::zeros(*n, *n);
        let mut numbers = data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b));
        for j in 0..*n {
            out.col_mut(j).iter_mut().skip(j).zip(&mut numbers).for_each(|(c, number)| *c = number);
        }
        mapped::release(data);
        mirror(&mut out);
        out
    }
}

impl Apart {
    fn new(elements: &[Element], at: &[Option<usize>], spread: &Spread) -> Option<Apart> {
        let first = spread.elements.first().map_or(0, Vec::len);
        let finer: Vec<bool> = elements.iter().map(|e| e.len() > first).collect();
        if !finer.contains(&true) {
            return None;
        }
        let mut kinds: HashMap<BTreeSet<Var>, usize> = HashMap::new();
        let (mut told, mut rest) = (vec![], vec![]);
        for place in at {
            let here = spread.elements.get(place.unwrap_or(0)).into_iter().flatten();
            let leaves: BTreeSet<Var> = here.map(|(leaf, _)| *leaf).collect();
            let new = kinds.len();
            told.push(*kinds.entry(leaves.clone()).or_insert_with(|| {
                rest.push(numbered(elements, &leaves));
                new
            }));
        }
        Some(Apart { told, rest, finer })
    }

    /// How much of a covariance two elements have. Elements of one unit at two positions have less in common.
    fn common(&self, i: usize, j: usize) -> f64 {
        let rest = &self.rest[self.told[i]];
        if i != j && self.finer[i] && rest[i] != rest[j] { COMMON } else { 1.0 }
    }
}

/// A number for what each element is beside these leaves: equal ones have the same.
fn numbered(elements: &[Element], leaves: &BTreeSet<Var>) -> Vec<usize> {
    let mut numbers: HashMap<Element, usize> = HashMap::new();
    let rest = |e: &Element| -> Element { e.iter().filter(|(leaf, _)| !leaves.contains(leaf)).copied().collect() };
    let number = |e: &Element| {
        let new = numbers.len();
        *numbers.entry(rest(e)).or_insert(new)
    };
    elements.iter().map(number).collect()
}
