//! Gaussians over the elements of a value.

use super::gauss;
use crate::axes::Var;
use crate::ops::Interval;
use crate::parallel;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The share of what neighbouring positions have in common. Chosen among a few by the accuracy of pruned fixtures on
/// their test images, so figures for these are a little too good.
pub(super) const COMMON: f64 = 0.7;
/// Sums over more products than these are only looked at as if all positions were one.
const WORK: usize = 40_000_000_000;
/// How many rows of a covariance are made at a time.
const ROWS: usize = 256;

/// Which unit of which leaves an element belongs to.
pub(super) type Element = Vec<(Var, u32)>;

/// A Gaussian over the elements of a value, all other axes aside.
#[derive(Clone)]
pub(super) struct Spread {
    pub elements: Vec<Element>,
    /// Empty in an outline, which knows elements alone; so is the covariance.
    pub mean: Vec<f64>,
    pub covariance: Arc<Mat<f64>>,
}

impl Spread {
    /// Elements without numbers.
    pub(super) fn outline(elements: Vec<Element>) -> Spread {
        Spread { elements, mean: vec![], covariance: Arc::new(Mat::new()) }
    }

    /// Independent numbers of mean zero and variance one.
    pub(super) fn white(elements: &[Element]) -> Spread {
        let elements: Vec<Element> = elements.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let n = elements.len();
        Spread { elements, mean: vec![0.0; n], covariance: Arc::new(Mat::identity(n, n)) }
    }

    fn is_outline(&self) -> bool {
        self.mean.len() < self.elements.len()
    }

    /// Finds the element that a finer one is a part of.
    pub(super) fn finder(&self) -> impl Fn(&Element) -> Option<usize> + use<> {
        let leaves: BTreeSet<Var> = self.elements.iter().flatten().map(|(leaf, _)| *leaf).collect();
        let places: HashMap<Element, usize> =
            self.elements.iter().cloned().enumerate().map(|(i, e)| (sorted(e), i)).collect();
        move |element| {
            let part = element.iter().filter(|(leaf, _)| leaves.contains(leaf)).copied().collect();
            places.get(&sorted(part)).copied()
        }
    }

    /// The part that has any of these leaves. Nothing, where they alone do not tell its elements apart (a shuffle of
    /// parts that are alike).
    pub(super) fn within(&self, leaves: &BTreeSet<Var>) -> Spread {
        let part = |e: &Element| e.iter().filter(|(leaf, _)| leaves.contains(leaf)).copied().collect::<Element>();
        let parts: Vec<Element> = self.elements.iter().map(part).collect();
        let mut at: Vec<usize> = (0..parts.len()).filter(|&i| !parts[i].is_empty()).collect();
        let distinct: BTreeSet<&Element> = at.iter().map(|&i| &parts[i]).collect();
        if distinct.len() < at.len() {
            at.clear();
        }
        if at.len() == parts.len() {
            return Spread { elements: parts, ..self.clone() };
        }
        let elements = at.iter().map(|&i| parts[i].clone()).collect();
        if self.is_outline() {
            return Spread::outline(elements);
        }
        let covariance = Mat::from_fn(at.len(), at.len(), |i, j| self.covariance[(at[i], at[j])]);
        Spread { elements, mean: at.iter().map(|&i| self.mean[i]).collect(), covariance: Arc::new(covariance) }
    }

    /// Adds the elements of another spread; both are independent. Where they can't be told apart nothing is left.
    pub(super) fn extend(&mut self, other: &Spread) {
        let (mine, theirs) = (self.finder(), other.finder());
        let twice =
            other.elements.iter().any(|e| mine(e).is_some()) || self.elements.iter().any(|e| theirs(e).is_some());
        if twice {
            *self = Spread::white(&[]);
            return;
        }
        let (n, outline) = (self.elements.len(), self.is_outline());
        self.elements.extend(other.elements.iter().cloned());
        if outline || other.is_outline() {
            return;
        }
        let (m, old) = (self.elements.len(), self.covariance.clone());
        self.mean.extend(&other.mean);
        self.covariance = Arc::new(Mat::from_fn(m, m, |i, j| match (i < n, j < n) {
            (true, true) => old[(i, j)],
            (false, false) => other.covariance[(i - n, j - n)],
            _ => 0.0,
        }));
    }

    /// Adds numbers to the means.
    pub(super) fn shift(&mut self, by: impl Fn(&Element) -> f64) {
        self.mean.iter_mut().zip(&self.elements).for_each(|(mean, element)| *mean += by(element));
    }

    /// The same with means and variances that are known.
    pub(super) fn become_known(&mut self, of: impl Fn(&Element) -> Option<(f64, f64)>) {
        let n = self.mean.len();
        let mut scale = vec![1.0; n];
        for (i, scale) in scale.iter_mut().enumerate() {
            let Some((mean, variance)) = of(&self.elements[i]) else { continue };
            let guessed = self.covariance[(i, i)];
            self.mean[i] = mean;
            *scale = if guessed > 0.0 { (variance.max(0.0) / guessed).sqrt() } else { 0.0 };
        }
        let covariance = Arc::make_mut(&mut self.covariance);
        for (j, by) in scale.iter().enumerate() {
            covariance.col_mut(j).iter_mut().zip(&scale).for_each(|(c, s)| *c *= s * by);
        }
    }

    /// What sums of products make of it, one matrix `[places, elements]` for each tap.
    pub(super) fn through(&self, taps: &[Mat<f64>], places: Vec<Element>) -> Spread {
        let (n, d) = (places.len(), self.mean.len());
        let mut whole = Mat::<f64>::zeros(n, d);
        taps.iter().for_each(|tap| whole += tap);
        let mut shares = vec![(&whole, 1.0)];
        if taps.len() > 1 && taps.len() * n * d * (n + d) <= WORK {
            shares[0].1 = COMMON;
            shares.extend(taps.iter().map(|tap| (tap, 1.0 - COMMON)));
        }
        // Block by block of rows, up to the diagonal: so it does not matter how many threads there are.
        let blocks: Vec<usize> = (0..n).step_by(ROWS).collect();
        let rows = parallel::side_by_side(&blocks, |&start| {
            let rows = ROWS.min(n - start);
            let mut block = Mat::zeros(rows, start + rows);
            let mut half = Mat::zeros(rows, d);
            for &(tap, share) in &shares {
                let mine = tap.as_ref().subrows(start, rows);
                matmul(half.as_mut(), Accum::Replace, mine, self.covariance.as_ref(), share, Par::Seq);
                let upto = tap.as_ref().subrows(0, start + rows);
                matmul(block.as_mut(), Accum::Add, half.as_ref(), upto.transpose(), 1.0, Par::Seq);
            }
            block
        });
        let mut covariance = Mat::zeros(n, n);
        for (start, block) in blocks.into_iter().zip(rows) {
            for j in 0..block.ncols() {
                let to = covariance.col_mut(j).subrows_mut(start, block.nrows());
                to.iter_mut().zip(block.col(j).iter()).for_each(|(c, found)| *c = *found);
            }
        }
        gauss::mirror(&mut covariance);
        let mut mean = vec![0.0; n];
        for (j, by) in self.mean.iter().enumerate() {
            mean.iter_mut().zip(whole.col(j).iter()).for_each(|(mean, w)| *mean += w * by);
        }
        Spread { elements: places, mean, covariance: Arc::new(covariance) }
    }

    /// What a function makes of each element. Where it can't be computed, the element stays as it is.
    pub(super) fn map<F: FnMut(f64) -> Option<f64>>(&mut self, function: impl Fn(&Element) -> F) {
        let series = |i: usize| {
            let f = std::cell::RefCell::new(function(&self.elements[i]));
            let at = |x: f64| (f.borrow_mut())(x).unwrap_or(x);
            gauss::series(at, self.mean[i], self.covariance[(i, i)].max(0.0).sqrt())
        };
        let series: Vec<gauss::Series> = (0..self.mean.len()).map(series).collect();
        self.mean = series.iter().map(|s| s.terms[0]).collect();
        gauss::covariance(&series, Arc::make_mut(&mut self.covariance));
    }

    /// What a function of several spreads makes of them, taken as a line around their means. This one is the first of them;
    /// each comes with its slot.
    pub(super) fn join(
        &mut self,
        spreads: &[(usize, &Spread)],
        constants: impl Fn(&Element) -> Vec<Interval>,
        value: impl Fn(&[Interval]) -> Option<f64>,
    ) {
        let n = self.mean.len();
        let places = |(k, (_, spread)): (usize, &(usize, &Spread))| -> Vec<Option<usize>> {
            let find = spread.finder();
            self.elements.iter().enumerate().map(|(i, e)| if k == 0 { Some(i) } else { find(e) }).collect()
        };
        let places: Vec<Vec<Option<usize>>> = spreads.iter().enumerate().map(places).collect();
        let (mut mean, mut slopes) = (self.mean.clone(), vec![vec![0.0; n]; spreads.len()]);
        for i in 0..n {
            let mut at = constants(&self.elements[i]);
            for (k, (slot, spread)) in spreads.iter().enumerate() {
                let means = if k == 0 { &self.mean } else { &spread.mean };
                at[*slot] = Interval::point(places[k][i].map_or(0.0, |e| means[e]));
            }
            let Some(middle) = value(&at) else {
                slopes[0][i] = 1.0;
                continue;
            };
            mean[i] = middle;
            for (k, (slot, _)) in spreads.iter().enumerate() {
                let mut moved = at.clone();
                let step = 1e-3;
                moved[*slot] = at[*slot] + Interval::point(step);
                slopes[k][i] = value(&moved).map_or(0.0, |x| (x - middle) / step);
            }
        }
        let mut covariance = Mat::<f64>::zeros(n, n);
        for (k, (_, spread)) in spreads.iter().enumerate() {
            let (slope, place) = (&slopes[k], &places[k]);
            let known = if k == 0 { &self.covariance } else { &spread.covariance };
            for j in 0..n {
                let Some(b) = place[j] else { continue };
                let from = known.col(b);
                for (i, c) in covariance.col_mut(j).iter_mut().enumerate() {
                    *c += place[i].map_or(0.0, |a| slope[i] * slope[j] * from[a]);
                }
            }
        }
        (self.mean, self.covariance) = (mean, Arc::new(covariance));
    }
}

/// The numbers of a constant, by elements of the only axis that is longer than one.
pub(super) enum Numbers {
    One(f64),
    /// By which leaves elements have, where the first of each stands.
    Along(BTreeMap<BTreeSet<Var>, HashMap<Element, usize>>, Vec<f64>),
    Unknown,
}

impl Numbers {
    /// Numbers along an axis with these elements.
    pub(super) fn along(elements: &[Element], numbers: Vec<f64>) -> Numbers {
        let mut places: BTreeMap<BTreeSet<Var>, HashMap<Element, usize>> = BTreeMap::new();
        for (at, element) in elements.iter().enumerate().filter(|(_, e)| !e.is_empty()) {
            let leaves = element.iter().map(|(leaf, _)| *leaf).collect();
            places.entry(leaves).or_default().entry(sorted(element.clone())).or_insert(at);
        }
        Numbers::Along(places, numbers)
    }

    /// The number for an element, or for what it is a part of.
    pub(super) fn at(&self, element: &Element) -> Option<f64> {
        match self {
            Numbers::Unknown => None,
            Numbers::One(number) => Some(*number),
            Numbers::Along(places, numbers) => {
                let part = |leaves: &BTreeSet<Var>| -> Element {
                    sorted(element.iter().filter(|(leaf, _)| leaves.contains(leaf)).copied().collect())
                };
                let at = places.iter().filter_map(|(leaves, places)| places.get(&part(leaves))).min()?;
                numbers.get(*at).copied()
            }
        }
    }
}

pub(super) fn sorted(mut element: Element) -> Element {
    element.sort_unstable();
    element
}
