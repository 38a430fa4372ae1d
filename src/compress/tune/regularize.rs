//! Penalties that make a training free what can then be pruned.
//!
//! `group-lasso` (Wen et al., Learning Structured Sparsity in Deep Neural Networks, 2016, arXiv 1608.03665) adds
//! `λ Σ √n ‖w‖₂` over the units of all groups that can be cut, where `w` are the `n` weights of a unit in all constants
//! that its group reaches. `l1` adds `λ Σ |w|` over matrices and kernels, and `bn-l1` over the scales of normalizations
//! by statistics (Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017, arXiv
//! 1708.06519). None has a derivative at zero, which is where weights are to go. So each is a proximal step behind the
//! optimizer's: weights are drawn straight towards zero by the learning rate times λ, and end there exactly.

use super::variables::Variable;
use super::{Options, TuneError};
use crate::analysis;
use crate::analysis::Analysis;
use crate::axes::{Group, Member};
use crate::facts::Facts;
use crate::ir::{Constant, Model, NodeId, Origin};
use crate::ops::{self, Site};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// A penalty with its strength λ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    pub on: Penalized,
    pub strength: f64,
}

/// What is drawn towards zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalized {
    /// Units, each as a whole.
    Groups,
    /// Single weights of matrices and kernels.
    Weights,
    /// Scales of normalizations by statistics.
    Scales,
}

const NAMES: [(&str, Penalized); 3] =
    [("group-lasso", Penalized::Groups), ("l1", Penalized::Weights), ("bn-l1", Penalized::Scales)];

/// The penalties of a training, made ready for its variables.
#[derive(Default)]
pub(super) struct Regularizer(Vec<(f64, Reach)>);

/// What a penalty reaches.
enum Reach {
    Groups(Vec<Units>),
    /// All elements of these variables, by their position.
    Elements(Vec<usize>),
}

/// The units of a group among the variables.
struct Units {
    /// For each unit how many elements it has.
    counts: Vec<usize>,
    places: Vec<Place>,
}

/// An axis of a variable that a group is part of.
#[derive(PartialEq)]
struct Place {
    /// The variable's position.
    variable: usize,
    /// How many elements lie behind one another for an index of the axis.
    inner: usize,
    /// The unit of each index.
    units: Vec<Option<u32>>,
}

impl Regularizer {
    /// What the options ask for, for these variables of a model.
    pub(super) fn new(
        model: &Model,
        facts: &Facts,
        variables: &[Variable],
        options: &Options,
    ) -> Result<Regularizer, TuneError> {
        let mut all = vec![];
        for penalty in &options.penalties {
            let matrices = || (0..variables.len()).filter(|&v| !variables[v].is_vector).collect();
            let reach = match penalty.on {
                Penalized::Groups => Reach::Groups(groups(model, variables)?),
                Penalized::Weights => Reach::Elements(matrices()),
                Penalized::Scales => Reach::Elements(scales(model, facts, variables)),
            };
            if reach.is_empty() {
                return Err(TuneError::NothingToPenalize(penalty.on));
            }
            all.push((penalty.strength, reach));
        }
        Ok(Regularizer(all))
    }

    /// What the penalties come to for the variables' values.
    pub(super) fn cost(&self, values: &[Vec<f32>]) -> f64 {
        let cost = |(strength, reach): &(f64, Reach)| {
            let sum: f64 = match reach {
                Reach::Elements(of) => of.iter().flat_map(|&v| &values[v]).map(|w| f64::from(w.abs())).sum(),
                Reach::Groups(groups) => groups.iter().map(|units| units.norm(|v| &values[v])).sum(),
            };
            strength * sum
        };
        self.0.iter().map(cost).sum()
    }

    /// Draws the variables' values towards zero, at a learning rate.
    pub(super) fn shrink(&self, variables: &mut [Variable], rate: f64) {
        for (strength, reach) in &self.0 {
            let by = rate * strength;
            match reach {
                Reach::Elements(of) => {
                    for &variable in of {
                        let draw = |w: &mut f32| *w = w.signum() * (w.abs() - by as f32).max(0.0);
                        variables[variable].values.iter_mut().for_each(draw);
                    }
                }
                // Groups that share weights take their steps one after the other.
                Reach::Groups(groups) => groups.iter().for_each(|units| units.shrink(variables, by)),
            }
        }
    }
}

impl Reach {
    fn is_empty(&self) -> bool {
        match self {
            Reach::Groups(groups) => groups.is_empty(),
            Reach::Elements(variables) => variables.is_empty(),
        }
    }
}

impl Units {
    /// The squared norm of each unit. What a unit reaches on two axes of one constant counts twice.
    fn squares<'v>(&self, values: impl Fn(usize) -> &'v [f32]) -> Vec<f64> {
        let mut squares = vec![0.0; self.counts.len()];
        for place in &self.places {
            for (unit, run) in place.runs(values(place.variable)) {
                squares[unit] += run.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>();
            }
        }
        squares
    }

    /// `Σ √n ‖w‖`.
    fn norm<'v>(&self, values: impl Fn(usize) -> &'v Vec<f32>) -> f64 {
        let squares = self.squares(|v| values(v).as_slice());
        squares.iter().zip(&self.counts).map(|(s, &n)| (s * n as f64).sqrt()).sum()
    }

    /// Makes the norm of each unit smaller by `by · √n`.
    fn shrink(&self, variables: &mut [Variable], by: f64) {
        let squares = self.squares(|v| &variables[v].values);
        let left = |(square, &count): (&f64, &usize)| match square.sqrt() {
            0.0 => 0.0,
            norm => (1.0 - by * (count as f64).sqrt() / norm).max(0.0) as f32,
        };
        let left: Vec<f32> = squares.iter().zip(&self.counts).map(left).collect();
        for place in &self.places {
            let indices = place.units.iter().copied().cycle();
            for (unit, run) in indices.zip(variables[place.variable].values.chunks_exact_mut(place.inner)) {
                if let Some(unit) = unit {
                    run.iter_mut().for_each(|w| *w *= left[unit as usize]);
                }
            }
        }
    }
}

impl Place {
    /// The runs of elements that belong to units.
    fn runs<'v>(&'v self, values: &'v [f32]) -> impl Iterator<Item = (usize, &'v [f32])> {
        let indices = self.units.iter().copied().cycle();
        indices.zip(values.chunks_exact(self.inner)).filter_map(|(unit, run)| Some((unit? as usize, run)))
    }
}

/// The groups that can be cut, as the variables have them. The analysis is that of the prepared model, where shared
/// constants are many; the origin of each says which variable it is a copy of.
fn groups(model: &Model, variables: &[Variable]) -> Result<Vec<Units>, TuneError> {
    let mut named = model.clone();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for node in named.graph.constants() {
        let Some(constant) = named.graph.constant_mut(node) else { continue };
        constant.origin = Origin::File(constant.name.clone());
        let position = variables.iter().position(|v| v.node == node);
        positions.extend(position.map(|p| (constant.name.clone(), p)));
    }
    let analysis = analysis::prepare(&named).map_err(Box::new)?;
    let units = |group: &Group| {
        let mut places: Vec<Place> = vec![];
        for member in &group.members {
            // Copies of one constant that are cut alike are one.
            let place = place(&analysis, group, member, &positions, variables);
            places.extend(place.filter(|p| !places.contains(p)));
        }
        let mut counts = vec![0; group.size];
        for place in &places {
            place.runs(&variables[place.variable].values).for_each(|(unit, run)| counts[unit] += run.len());
        }
        Units { counts, places }
    };
    Ok(analysis.groups.free().map(units).filter(|u| !u.places.is_empty()).collect())
}

/// Where a member of a group lies among the variables.
fn place(
    analysis: &Analysis,
    group: &Group,
    member: &Member,
    positions: &HashMap<String, usize>,
    variables: &[Variable],
) -> Option<Place> {
    let (source, axis) = source(analysis.model.graph.constant(member.constant.node)?, member.axis)?;
    let variable = *positions.get(source)?;
    let &var = analysis.axes.of(member.constant)?.get(member.axis)?;
    let (units, shape) = (analysis.axes.units_of(var, group.leaf), &variables[variable].tensor.shape);
    let inner: usize = shape.get(axis + 1..)?.iter().product();
    (shape[axis] == units.len() && inner > 0).then_some(Place { variable, inner, units })
}

/// The constant of the trained model that this one was made of, and the axis there.
fn source(constant: &Constant, axis: usize) -> Option<(&str, usize)> {
    match &constant.origin {
        Origin::Computed(traces) => traces.iter().find(|t| t.axis == axis).map(|t| (t.source.as_str(), t.source_axis)),
        _ => constant.source().map(|name| (name, axis)),
    }
}

/// The variables that normalizations by statistics multiply with.
fn scales(model: &Model, facts: &Facts, variables: &[Variable]) -> Vec<usize> {
    let mut found: HashSet<NodeId> = HashSet::new();
    for node in model.graph.calls() {
        let Some(call) = model.graph.call(node) else { continue };
        let unknowns = crate::facts::Unknowns::of_questions();
        let site = Site::new(model, &model.graph, node, call, facts, &unknowns);
        if (ops::rule_of(model, call).operands.statistics)(&site).is_some() {
            let slots = ops::factors(model, facts, node).into_iter();
            found.extend(slots.filter_map(|slot| model.graph.operand(node, slot.into())).map(|v| v.node));
        }
    }
    (0..variables.len()).filter(|&v| found.contains(&variables[v].node)).collect()
}

impl fmt::Display for Penalized {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = NAMES.iter().find(|n| n.1 == *self).map_or("", |n| n.0);
        f.write_str(name)
    }
}

impl FromStr for Penalty {
    type Err = String;

    fn from_str(text: &str) -> Result<Penalty, String> {
        let names = NAMES.map(|n| n.0).join(", ");
        let (name, strength) = text.split_once('=').ok_or("it takes NAME=STRENGTH, such as group-lasso=0.001")?;
        let on = NAMES.iter().find(|n| n.0 == name).ok_or_else(|| format!("`{name}` is none of {names}"))?.1;
        let strength = strength.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
        Ok(Penalty { on, strength: strength.ok_or("the strength has to be a number above 0")? })
    }
}

#[cfg(all(test, feature = "gradients", feature = "tract"))]
mod tests {
    use super::*;
    use crate::feed::{self, Samples};
    use crate::ir;
    use crate::oracle::Setup;
    use crate::plan::{self, Budget};
    use crate::score::Formula;
    use crate::tune::{Keeping, Optimizer, Running, Schedule, Teacher, Tuned, tune};
    use crate::verify::input_specs;

    /// Of six units the last three weigh more than the others, and nothing comes of them.
    const NET: &str = "g (f32[N,4] x) => (f32[N,3] y) {
        f32[6,4] w = {0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 1.4, 0.0, 0.0, 1.4,
            0.0, 1.4, 1.4, 0.0, 1.4, 0.0, 1.4, 0.0}
        f32[6] s = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0}
        f32[6] b = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1}
        f32[6] m = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0}
        f32[6] v = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0}
        f32[6,3] u = {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}
        h = Gemm<transB=1>(x, w)
        n = BatchNormalization(h, s, b, m, v)
        r = Relu(n)
        y = MatMul(r, u)
    }";

    fn trained(penalty: &str, steps: usize) -> Result<Tuned, TuneError> {
        let model = ir::parse(NET, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        let specs = input_specs(&model).unwrap();
        let samples = Samples::open("random:40", &specs, &feed::Options::default()).unwrap();
        let teacher = Teacher::new(&model, None, vec![], Setup::default()).unwrap();
        let options = Options {
            steps: Some(steps),
            batch: 36,
            optimizer: Optimizer::SGD,
            rate: 0.05,
            decay: 0.0,
            schedule: Schedule::Constant,
            running: Running::Keep,
            penalties: vec![penalty.parse().unwrap()],
            ..Options::default()
        };
        tune(&model, Some(&teacher), &samples, &options, &Keeping::default(), &|_| {})
    }

    fn numbers(model: &Model, name: &str) -> Vec<f64> {
        let nodes = model.graph.constants();
        let node = nodes.into_iter().find(|&n| model.graph.label(n) == name).unwrap();
        model.graph.constant(node).unwrap().tensor.to_f64().unwrap()
    }

    #[test]
    fn a_group_lasso_frees_units_that_do_nothing_and_l2_takes_them() {
        let cut = |model: &Model| {
            let l2 = "l2".parse::<Formula>().unwrap();
            let options = plan::Options { lossless: None, ..plan::Options::new(Budget::ratio(0.5), l2) };
            plan::choose(&analysis::prepare(model).unwrap(), &options).unwrap().cuts[0].remove.clone()
        };
        let model = ir::parse(NET, &|_| None).unwrap();
        assert_ne!(cut(&model), [3, 4, 5]);
        let tuned = trained("group-lasso=0.03", 700).unwrap();
        let norms: Vec<f64> = numbers(&tuned.model, "w").chunks(4).map(|r| r.iter().map(|w| w * w).sum()).collect();
        assert!(norms[3..].iter().all(|n| n * 100.0 < norms[..3].iter().copied().fold(9.0, f64::min)), "{norms:?}");
        assert_eq!(cut(&tuned.model), [3, 4, 5]);
    }

    #[test]
    fn scales_and_weights_are_drawn_to_zero_each_alone() {
        let scales = numbers(&trained("bn-l1=0.1", 30).unwrap().model, "s");
        assert!(scales[3..].iter().all(|s| *s < 0.9), "{scales:?}");
        let weights = numbers(&trained("l1=0.1", 30).unwrap().model, "w");
        assert!(weights[3 * 4] < 1.3 && weights[1] == 0.0, "{weights:?}");
        let scaleless = NET.replace("BatchNormalization(h, s, b, m, v)", "Relu(h)");
        let model = ir::parse(&scaleless, &|_| None).unwrap();
        let options = Options { penalties: vec!["bn-l1=1".parse().unwrap()], ..Options::default() };
        let none = Regularizer::new(&model, &crate::infer::infer(&model), &[], &options);
        assert!(matches!(none, Err(TuneError::NothingToPenalize(Penalized::Scales))));
    }

    #[test]
    fn penalties_are_read() {
        let read = |text: &str| text.parse::<Penalty>();
        assert_eq!(read("bn-l1=0.5"), Ok(Penalty { on: Penalized::Scales, strength: 0.5 }));
        assert!(["l1", "l1=0", "l1=x", "l3=1"].iter().all(|text| read(text).is_err()));
    }
}
