//! Statistics without samples: what the weights imply that contractions read.
//!
//! Inputs are taken to be white noise, and every value to be Gaussian, with a mean and a covariance over the units of
//! its axes. These go forward through the graph: through sums by their weights, through functions of single elements by
//! their Hermite series ([`super::gauss`]). A batch normalization knows the true mean and variance of what it reads, so
//! only correlations are guessed there. What nothing is known of is white noise again. Positions are alike and, but for a
//! share of what neighbours have in common, independent.
//!
//! Sources: Cho and Saul, Kernel Methods for Deep Learning, 2009; Wang et al., Model Folding, 2025 (arXiv 2502.10216),
//! for statistics of BatchNormalization in data-free merging.
//!
//! Without samples, `src/compress/stats/implied.rs` derives moments from the weights: inputs are white noise, and means and
//! covariances over units go forward through the graph, through sums by the law `sum`, through functions of one element by
//! their Hermite series (the law `bounds`, asked at points, computes them), and a batch normalization corrects means and
//! variances (the law `statistics`). The criterion `fold` is `obs` on these, and the repair's first round works on them. Where
//! a value's units can't be told apart by leaves (a shuffle of parts that are alike), or an operator between has no law, they
//! begin anew; then `lamp` is the default, and nothing is refitted. Where no normalization says how large values are (it was
//! folded into weights), guesses mislead a choice more than a repair: `lamp` chooses, and the repair works on them (`letters_resnet`
//! at 75 % of its MACs: 86.2 % right by `fold`, 80.8 by `lamp` alone, 93.8 by both; `digits_vgg` at 35 %: 79.0, 97.6, 75.6).

use super::gauss;
use super::{Measured, Moments, Stats};
use crate::analysis::Analysis;
use crate::axes::Var;
use crate::contraction::{Contraction, View};
use crate::ir::{Graph, Node, NodeId, Tensor, ValueId};
use crate::lossless::Surroundings;
use crate::ops::{Interval, Rule, Site, Sum};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::collections::{BTreeSet, HashMap};

/// The share of what neighbouring positions have in common. Chosen among a few by the accuracy of pruned fixtures on
/// their test images, so figures for these are a little too good.
const COMMON: f64 = 0.7;
/// How much of a unit's variance is taken to be its own, beside what is derived: no guess is certain.
const OWN: f64 = 0.1;
/// Sums over more products than these are only looked at as if all positions were one.
const WORK: usize = 40_000_000_000;

/// Which unit of which leaves an element belongs to.
type Element = Vec<(Var, u32)>;

/// A Gaussian over the elements of a value, all other axes aside.
#[derive(Clone)]
struct Spread {
    elements: Vec<Element>,
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

/// What the weights imply of a model.
pub struct Implied {
    /// The contractions with moments that follow from the weights, without any samples.
    pub measured: Measured,
    /// What they rest on.
    pub footing: Footing,
}

/// What statistics without samples rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// They could not be followed to all contractions: guesses begin anew on the way, and fit to the others badly.
    Broken,
    /// They could be followed, but nothing says how large values are.
    Guessed,
    /// They could be followed, and normalizations say on the way how large values are.
    Normalized,
}

impl Implied {
    /// What the weights imply of all contractions of a model.
    pub fn new(analysis: &Analysis) -> Implied {
        let contractions = Contraction::all(analysis);
        let around = Surroundings::new(analysis);
        let mut flow = Flow { around: &around, spreads: HashMap::new(), lost: BTreeSet::new(), normalized: false };
        for node in around.graph().topological() {
            if let Node::Call(_) = around.graph().node(node)
                && !around.is_inside(node)
            {
                around.site(node, |site, rule| flow.call(node, site, rule));
            }
        }
        let mut stats = Stats::default();
        for c in &contractions {
            let moments = flow.moments(c);
            stats.set(c, moments);
        }
        let footing = match (contractions.iter().any(|c| flow.lost.contains(&c.data)), flow.normalized) {
            (true, _) => Footing::Broken,
            (false, false) => Footing::Guessed,
            (false, true) => Footing::Normalized,
        };
        Implied { measured: Measured { contractions, stats, few: vec![] }, footing }
    }
}

struct Flow<'a> {
    around: &'a Surroundings<'a>,
    spreads: HashMap<ValueId, Spread>,
    /// Values that are made of such with a spread, and have none.
    lost: BTreeSet<ValueId>,
    /// Whether a normalization said how large a value is.
    normalized: bool,
}

impl Flow<'_> {
    fn graph(&self) -> &Graph {
        self.around.graph()
    }

    fn call(&mut self, node: NodeId, site: &Site, rule: &Rule) {
        let results: Vec<ValueId> = self.graph().results(node).collect();
        if !site.result(0).dtype.is_some_and(|d| d.is_float()) {
            return;
        }
        let spread = match (rule.operands.sum)(site) {
            Some(sum) => self.product(node, site, sum),
            None => self.mapped(node, site, rule),
        };
        let known = |v: &ValueId| self.spreads.contains_key(v) || self.lost.contains(v);
        self.normalized |= spread.is_some() && (rule.operands.statistics)(site).is_some();
        let derived = self.graph().operands(node).iter().flatten().any(known);
        for value in results {
            let here = spread.as_ref().map(|s| s.within(&self.leaves_of(value)));
            match here.filter(|s| !s.elements.is_empty()) {
                Some(here) => _ = self.spreads.insert(value, here),
                None if derived => _ = self.lost.insert(value),
                None => {}
            }
        }
    }

    fn leaves_of(&self, value: ValueId) -> BTreeSet<Var> {
        let axes = self.around.axes();
        axes.of(value).into_iter().flatten().flat_map(|&v| axes.solver().leaves(v)).collect()
    }

    /// The elements of an axis.
    fn elements(&self, var: Var) -> Option<Vec<Element>> {
        let axes = self.around.axes();
        let mut elements = vec![vec![]; axes.solver().size(var).size()?];
        let mut leaves = axes.solver().leaves(var);
        leaves.sort_unstable();
        leaves.dedup();
        for leaf in leaves {
            for (element, unit) in elements.iter_mut().zip(axes.units_of(var, leaf)) {
                element.extend(unit.map(|unit| (leaf, unit)));
            }
        }
        Some(elements)
    }

    /// What a sum of products with a constant makes of what it reads.
    fn product(&self, node: NodeId, site: &Site, sum: Sum) -> Option<Spread> {
        let factors = self.around.factors(node, site, sum)?;
        let axes = self.around.axes();
        let tensor = self.around.weight(factors.weight)?;
        let numbers = self.around.numbers(&tensor)?;
        let shape = &tensor.shape;
        let mut places: Vec<Element> = vec![vec![]];
        for &axis in &factors.shared {
            let along = self.elements(axes.of(factors.weight)?[axis])?;
            places = places.iter().flat_map(|p| along.iter().map(move |e| [&p[..], e].concat())).collect();
        }
        let place =
            |flat: usize| factors.shared.iter().fold(0, |at, &axis| at * shape[axis] + index(shape, axis, flat));
        // What each weight is multiplied with: an element of what is read.
        let read: Vec<Element> = match factors.contraction {
            Some(c) => {
                let view = self.elements(c.view.var)?;
                let mut read = vec![0; numbers.len()];
                for row in c.rows(shape, c.depth()) {
                    (0..c.depth()).for_each(|l| read[row.start + l * row.step] = row.group * c.depth() + l);
                }
                read.into_iter().map(|e| view[e].clone()).collect()
            }
            None => (0..numbers.len()).map(|flat| places[place(flat)].clone()).collect(),
        };
        let data = self.spreads.get(&factors.data).cloned().unwrap_or_else(|| Spread::white(&read));
        let find = data.finder();
        // Weights that meet the same element elsewhere: other taps, other positions.
        let mut turns: HashMap<(usize, usize), usize> = HashMap::new();
        let mut taps: Vec<Mat<f64>> = vec![];
        for (flat, &w) in numbers.iter().enumerate() {
            let (at, Some(d)) = (place(flat), find(&read[flat])) else { continue };
            let turn = turns.entry((at, d)).or_default();
            if taps.len() <= *turn {
                taps.push(Mat::zeros(places.len(), data.mean.len()));
            }
            taps[*turn][(at, d)] = w * sum.factor;
            *turn += 1;
        }
        let mut spread = data.through(&taps, places);
        if let Some((slot, factor)) = sum.addend
            && let Some(value) = self.graph().operand(node, usize::from(slot))
        {
            for (mean, element) in spread.mean.iter_mut().zip(&spread.elements) {
                *mean += factor * self.constant(value, element).unwrap_or(0.0);
            }
        }
        Some(spread)
    }

    /// What a function of elements makes of them; what is only moved about, or not understood, stays what it is.
    fn mapped(&self, node: NodeId, site: &Site, rule: &Rule) -> Option<Spread> {
        let operands: Vec<Option<ValueId>> = self.graph().operands(node).into_iter().take(site.arity()).collect();
        let spreads: Vec<Option<Spread>> =
            operands.iter().map(|v| v.and_then(|v| self.spreads.get(&v).cloned())).collect();
        let known: Vec<usize> = (0..spreads.len()).filter(|&slot| spreads[slot].is_some()).collect();
        let &[first, ref others @ ..] = &known[..] else { return None };
        let mut spread = spreads[first].clone()?;
        if rule.values.data_movement {
            others.iter().for_each(|&slot| spread.extend(spreads[slot].as_ref()));
            return Some(spread);
        }
        if let Some((mean, variance)) = (rule.operands.statistics)(site) {
            let at = |slot: u16, e: &Element| self.constant(operands.get(usize::from(slot)).copied()??, e);
            spread.become_known(|e| Some((at(mean, e)?, at(variance, e)?)));
        }
        let constants = |e: &Element| -> Vec<Interval> {
            let constant =
                |v: &Option<ValueId>| v.and_then(|v| self.constant(v, e)).map_or(Interval::ANY, Interval::point);
            operands.iter().map(constant).collect()
        };
        let value = |at: &[Interval]| (rule.values.bounds)(site, at).and_then(Interval::single);
        if others.is_empty() {
            return Some(spread.mapped(|e| {
                let mut at = constants(e);
                move |x: f64| {
                    at[first] = Interval::point(x);
                    value(&at)
                }
            }));
        }
        Some(spread.joined(first, &known, &spreads, constants, value))
    }

    /// The number of a constant at an element.
    fn constant(&self, value: ValueId, element: &Element) -> Option<f64> {
        let tensor: &Tensor = self.graph().tensor(value)?;
        let count = tensor.count();
        if count == 1 {
            return tensor.to_f64().ok()?.first().copied();
        }
        let axis = tensor.shape.iter().position(|&n| n == count)?;
        let along = self.elements(*self.around.axes().of(value)?.get(axis)?)?;
        let at = along.iter().position(|e| !e.is_empty() && e.iter().all(|part| element.contains(part)))?;
        tensor.to_f64().ok()?.get(at).copied()
    }

    /// Moments of what a contraction reads.
    fn moments(&self, c: &Contraction) -> Moments {
        let View { var, length, .. } = c.view;
        let elements = self.elements(var).unwrap_or_else(|| vec![vec![]; length]);
        let white;
        let spread = match self.spreads.get(&c.data) {
            Some(known) => known,
            None => {
                white = Spread::white(&elements);
                &white
            }
        };
        let find = spread.finder();
        let at: Vec<Option<usize>> = elements.iter().map(find).collect();
        // What nothing is known of is like the rest.
        let n = spread.mean.len().max(1) as f64;
        let usual = spread.mean.iter().sum::<f64>() / n;
        let variance = (0..spread.mean.len()).map(|d| spread.covariance[(d, d)]).sum::<f64>() / n;
        let mean: Vec<f64> = at.iter().map(|d| d.map_or(usual, |d| spread.mean[d])).collect();
        let common = |i: usize, j: usize| {
            // Elements of one unit at two positions have less in common.
            let elsewhere = i != j && elements[i].len() > spread.elements.first().map_or(0, Vec::len);
            if elsewhere && !beside(&elements[i], &elements[j], &spread.elements[at[i].unwrap_or(0)]) {
                COMMON
            } else {
                1.0
            }
        };
        let covariance = |i: usize, j: usize| match (at[i], at[j]) {
            (Some(a), Some(b)) => {
                common(i, j) * spread.covariance[(a, b)] + if i == j { OWN * spread.covariance[(a, a)] } else { 0.0 }
            }
            _ if i == j => variance,
            _ => 0.0,
        };
        let product = Mat::from_fn(length, length, |i, j| covariance(i, j) + mean[i] * mean[j]);
        Moments { count: 1.0, sum: (mean.clone(), mean), product }
    }
}

/// Whether two elements differ in nothing but what a spread tells apart.
fn beside(a: &Element, b: &Element, told: &Element) -> bool {
    let rest = |e: &Element| -> Vec<(Var, u32)> {
        e.iter().filter(|(leaf, _)| !told.iter().any(|(l, _)| l == leaf)).copied().collect()
    };
    rest(a) == rest(b)
}

impl Spread {
    /// Independent numbers of mean zero and variance one.
    fn white(elements: &[Element]) -> Spread {
        let elements: Vec<Element> = elements.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let n = elements.len();
        Spread { elements, mean: vec![0.0; n], covariance: Mat::identity(n, n) }
    }

    /// Finds the element that a finer one is a part of.
    fn finder(&self) -> impl Fn(&Element) -> Option<usize> + use<> {
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
    fn within(&self, leaves: &BTreeSet<Var>) -> Spread {
        let part = |e: &Element| e.iter().filter(|(leaf, _)| leaves.contains(leaf)).copied().collect::<Element>();
        let parts: Vec<Element> = self.elements.iter().map(part).collect();
        let mut at: Vec<usize> = (0..parts.len()).filter(|&i| !parts[i].is_empty()).collect();
        let distinct: BTreeSet<&Element> = at.iter().map(|&i| &parts[i]).collect();
        if distinct.len() < at.len() {
            at.clear();
        }
        Spread {
            elements: at.iter().map(|&i| parts[i].clone()).collect(),
            mean: at.iter().map(|&i| self.mean[i]).collect(),
            covariance: Mat::from_fn(at.len(), at.len(), |i, j| self.covariance[(at[i], at[j])]),
        }
    }

    /// Adds the elements of another spread; both are independent. Where they can't be told apart nothing is left.
    fn extend(&mut self, other: Option<&Spread>) {
        let Some(other) = other else { return };
        let (mine, theirs) = (self.finder(), other.finder());
        let twice =
            other.elements.iter().any(|e| mine(e).is_some()) || self.elements.iter().any(|e| theirs(e).is_some());
        if twice {
            *self = Spread::white(&[]);
            return;
        }
        let new: Vec<usize> = (0..other.mean.len()).collect();
        let (n, old) = (self.mean.len(), self.covariance.clone());
        self.elements.extend(new.iter().map(|&i| other.elements[i].clone()));
        self.mean.extend(new.iter().map(|&i| other.mean[i]));
        let m = n + new.len();
        self.covariance = Mat::from_fn(m, m, |i, j| match (i < n, j < n) {
            (true, true) => old[(i, j)],
            (false, false) => other.covariance[(new[i - n], new[j - n])],
            _ => 0.0,
        });
    }

    /// The same with means and variances that are known.
    fn become_known(&mut self, of: impl Fn(&Element) -> Option<(f64, f64)>) {
        let n = self.mean.len();
        let mut scale = vec![1.0; n];
        for (i, scale) in scale.iter_mut().enumerate() {
            let Some((mean, variance)) = of(&self.elements[i]) else { continue };
            let guessed = self.covariance[(i, i)];
            self.mean[i] = mean;
            *scale = if guessed > 0.0 { (variance.max(0.0) / guessed).sqrt() } else { 0.0 };
        }
        self.covariance = Mat::from_fn(n, n, |i, j| scale[i] * scale[j] * self.covariance[(i, j)]);
    }

    /// What sums of products make of it, one matrix `[places, elements]` for each tap.
    fn through(&self, taps: &[Mat<f64>], places: Vec<Element>) -> Spread {
        let (n, d) = (places.len(), self.mean.len());
        let mut whole = Mat::<f64>::zeros(n, d);
        taps.iter().for_each(|tap| whole += tap);
        let mut covariance = Mat::zeros(n, n);
        let mut add = |tap: &Mat<f64>, share: f64| {
            let mut half = Mat::zeros(n, d);
            matmul(half.as_mut(), Accum::Replace, tap.as_ref(), self.covariance.as_ref(), share, Par::Seq);
            matmul(covariance.as_mut(), Accum::Add, half.as_ref(), tap.transpose(), 1.0, Par::Seq);
        };
        if taps.len() * n * d * (n + d) > WORK || taps.len() == 1 {
            add(&whole, 1.0);
        } else {
            add(&whole, COMMON);
            taps.iter().for_each(|tap| add(tap, 1.0 - COMMON));
        }
        let mean = (0..n).map(|i| (0..d).map(|j| whole[(i, j)] * self.mean[j]).sum()).collect();
        Spread { elements: places, mean, covariance }
    }

    /// What a function makes of each element. Where it can't be computed, the element stays as it is.
    fn mapped<F: FnMut(f64) -> Option<f64>>(&self, function: impl Fn(&Element) -> F) -> Spread {
        let series = |i: usize| {
            let f = std::cell::RefCell::new(function(&self.elements[i]));
            let at = |x: f64| (f.borrow_mut())(x).unwrap_or(x);
            gauss::series(at, self.mean[i], self.covariance[(i, i)].max(0.0).sqrt())
        };
        let series: Vec<gauss::Series> = (0..self.mean.len()).map(series).collect();
        Spread {
            elements: self.elements.clone(),
            mean: series.iter().map(|s| s.terms[0]).collect(),
            covariance: gauss::covariance(&series, &self.covariance),
        }
    }

    /// What a function of several spreads makes of them, taken as a line around their means.
    fn joined(
        &self,
        first: usize,
        known: &[usize],
        spreads: &[Option<Spread>],
        constants: impl Fn(&Element) -> Vec<Interval>,
        value: impl Fn(&[Interval]) -> Option<f64>,
    ) -> Spread {
        let n = self.mean.len();
        let finders: Vec<_> = known.iter().map(|&slot| spreads[slot].as_ref().map(Spread::finder)).collect();
        let place = |k: usize, i: usize| finders[k].as_ref().and_then(|find| find(&self.elements[i]));
        let mut mean = self.mean.clone();
        let mut slopes = vec![vec![0.0; n]; known.len()];
        for i in 0..n {
            let mut at = constants(&self.elements[i]);
            for (k, &slot) in known.iter().enumerate() {
                let center = spreads[slot].as_ref().zip(place(k, i)).map_or(0.0, |(s, e)| s.mean[e]);
                at[slot] = Interval::point(if slot == first { self.mean[i] } else { center });
            }
            let Some(middle) = value(&at) else {
                slopes[0][i] = 1.0;
                continue;
            };
            mean[i] = middle;
            for (k, &slot) in known.iter().enumerate() {
                let mut moved = at.clone();
                let step = 1e-3;
                moved[slot] = at[slot] + Interval::point(step);
                slopes[k][i] = value(&moved).map_or(0.0, |x| (x - middle) / step);
            }
        }
        let covariance = |i: usize, j: usize| {
            let term = |(k, &slot): (usize, &usize)| {
                let of = if slot == first { Some(self) } else { spreads[slot].as_ref() }?;
                let (a, b) = if slot == first { (i, j) } else { (place(k, i)?, place(k, j)?) };
                Some(slopes[k][i] * slopes[k][j] * of.covariance[(a, b)])
            };
            known.iter().enumerate().filter_map(term).sum::<f64>()
        };
        Spread { elements: self.elements.clone(), covariance: Mat::from_fn(n, n, covariance), mean }
    }
}

fn sorted(mut element: Element) -> Element {
    element.sort_unstable();
    element
}

/// The index along an axis of an element of a tensor.
fn index(shape: &[usize], axis: usize, flat: usize) -> usize {
    let behind: usize = shape[axis + 1..].iter().product();
    flat / behind % shape[axis]
}
