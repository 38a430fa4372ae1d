//! What integers the inputs of a model may hold, so that a run finds what they point at.
//!
//! Rules say which operands are indices, and into how many units. What an input's numbers become on the way there is
//! followed as an interval, and the widest range is taken for the input with which no index leaves its axis. Integers that
//! point at nothing, and are compared with something, are lengths, switches or masks.

use super::FedInput;
use crate::facts::{Element, Fact, Facts};
use crate::ir::{DType, Model, Node, NodeId, Tensor, ValueId};
use crate::ops::{self, Interval, Rule, Site};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an input is made of where there are no samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Numbers from the standard normal distribution.
    Normal,
    /// This number throughout.
    Just(i64),
    /// Integers from one to the other, both included.
    Between(i64, i64),
}

impl Values {
    /// The integers of tokens, of which the first are special.
    pub const TOKENS: Values = Values::Between(3, 99);

    /// What an input is made of of which nothing but its declaration is known.
    pub fn of(name: &str, dtype: DType) -> Values {
        match dtype {
            _ if dtype == DType::Bool || name.to_lowercase().contains("mask") => Values::Just(1),
            _ if dtype.is_float() => Values::Normal,
            _ => Values::TOKENS,
        }
    }

    fn interval(self) -> Interval {
        match self {
            Values::Normal => Interval::ANY,
            Values::Just(n) => Interval::point(n as f64),
            Values::Between(low, high) => Interval::new(low as f64, high as f64),
        }
    }

    /// The integers from 0 or, where there are enough, from 3 up to this one.
    fn up_to(high: i64) -> Values {
        if high >= 6 { Values::Between(3, high) } else { Values::Between(0, high.max(0)) }
    }
}

/// What each input is made of. `facts` are those of inputs of fixed sizes.
pub(crate) fn values(model: &Model, facts: &Facts, inputs: &[FedInput]) -> BTreeMap<String, Values> {
    let mut flow = Flow::new(model, facts);
    let mut chosen: BTreeMap<String, Values> =
        inputs.iter().map(|i| (i.name.clone(), Values::of(&i.name, i.dtype))).collect();
    let integers: Vec<&FedInput> = inputs.iter().filter(|i| !i.dtype.is_float() && i.dtype != DType::Bool).collect();
    for &input in &integers {
        let known = chosen[&input.name];
        chosen.insert(input.name.clone(), flow.alone(input, known));
    }
    let zeros = integers.iter().map(|i| (i.name.clone(), Values::Just(0))).collect();
    if !flow.leaves(&integers, &zeros) {
        flow.narrow(&integers, &mut chosen);
    }
    chosen
}

/// The last unit that the numbers of an input may point at, where all up to that one may; `None` where they point at
/// nothing.
pub(crate) fn last_index(model: &Model, facts: &Facts, input: &FedInput) -> Option<i64> {
    let mut flow = Flow::new(model, facts);
    let last = flow.follow(&[(input.node, Interval::ZERO)]).shortest? - 1;
    let met = flow.follow(&[(input.node, Interval::new(0.0, last.max(0) as f64))]);
    (!met.beyond).then_some(last)
}

/// How numbers of inputs go through a model.
struct Flow<'a> {
    model: &'a Model,
    facts: &'a Facts,
    constants: HashMap<NodeId, Interval>,
    values: HashMap<ValueId, Interval>,
    /// Values that depend on an input that is followed.
    reached: HashSet<ValueId>,
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    /// The shortest axis that is pointed into.
    shortest: Option<i64>,
    /// Whether an index is beyond its axis, and one of which nothing is known.
    beyond: bool,
    unknown: bool,
    /// The greatest number that it is compared with, and whether that is one of a range.
    compared: Option<(f64, bool)>,
    /// The largest number that anything becomes.
    largest: f64,
}

impl<'a> Flow<'a> {
    fn new(model: &'a Model, facts: &'a Facts) -> Flow<'a> {
        let constants = model.graph.constants().into_iter();
        let constants = constants.filter_map(|n| Some((n, of_tensor(&model.graph.constant(n)?.tensor)))).collect();
        Flow { model, facts, constants, values: HashMap::new(), reached: HashSet::new() }
    }

    /// What an input is made of if the others hold zeros.
    fn alone(&mut self, input: &FedInput, known: Values) -> Values {
        let mut meet = |v: Values| self.follow(&[(input.node, v.interval())]);
        let met = meet(known);
        let Some(shortest) = met.shortest else {
            return if matches!(known, Values::Just(_)) {
                known
            } else {
                unindexed(&met, &meet(Values::Just(1)), input)
            };
        };
        let fits = |met: &Met| !met.beyond;
        if fits(&met) && !met.unknown {
            return known;
        }
        if matches!(known, Values::Just(_)) {
            return if fits(&met) { known } else { Values::Just(0) };
        }
        if met.unknown {
            // Something on the way has no bounds: the indices are taken to be the numbers themselves.
            return Values::up_to((shortest - 1).clamp(0, 99));
        }
        let (mut low, mut high) = (0, 99);
        while low < high {
            let middle = (low + high + 1) / 2;
            let met = meet(Values::Between(0, middle));
            (low, high) = if fits(&met) { (middle, high) } else { (low, middle - 1) };
        }
        Values::up_to(low)
    }

    /// Halves the ranges until no index leaves its axis that several inputs add up to. There is none for zeros.
    fn narrow(&mut self, inputs: &[&FedInput], chosen: &mut BTreeMap<String, Values>) {
        while self.leaves(inputs, chosen) {
            for input in inputs {
                let halved = match chosen[&input.name] {
                    Values::Between(_, high) => Values::up_to(high / 2),
                    Values::Just(n) => Values::Just(n / 2),
                    Values::Normal => Values::Normal,
                };
                chosen.insert(input.name.clone(), halved);
            }
        }
    }

    /// Whether an index leaves its axis when all inputs are made of what is chosen.
    fn leaves(&mut self, inputs: &[&FedInput], chosen: &BTreeMap<String, Values>) -> bool {
        let all: Vec<(NodeId, Interval)> = inputs.iter().map(|i| (i.node, chosen[&i.name].interval())).collect();
        self.follow(&all).beyond
    }

    /// Follows the numbers of some inputs; all others are unknown, but for integers, which are zero.
    fn follow(&mut self, inputs: &[(NodeId, Interval)]) -> Met {
        self.values.clear();
        self.reached.clear();
        let (mut met, unknowns) = (Met::default(), crate::facts::Unknowns::of_questions());
        let graph = &self.model.graph;
        for node in graph.topological() {
            let value = ValueId { node, port: 0 };
            match graph.node(node) {
                Node::Input(i) => {
                    let followed = inputs.iter().find(|(n, _)| *n == node).map(|(_, range)| *range);
                    let is_float = i.info.ty.tensor().is_none_or(|t| t.dtype.is_float());
                    let other = if is_float { Interval::ANY } else { Interval::ZERO };
                    self.values.insert(value, followed.unwrap_or(other));
                    self.reached.extend(followed.map(|_| value));
                }
                Node::Constant(_) => _ = self.values.insert(value, self.constants[&node]),
                Node::Call(call) => {
                    let site = Site::new(self.model, graph, node, call, self.facts, &unknowns);
                    self.call(node, &site, ops::rule_of(self.model, call), &mut met);
                }
                Node::Output(_) => {}
            }
        }
        met
    }

    fn call(&mut self, node: NodeId, site: &Site, rule: &Rule, met: &mut Met) {
        let graph = &self.model.graph;
        let operands: Vec<Option<ValueId>> = graph.operands(node).into_iter().take(site.arity()).collect();
        if !operands.iter().flatten().any(|v| self.reached.contains(v)) {
            for value in graph.results(node) {
                let fact = self.facts.get(value);
                self.values
                    .insert(value, of_content(fact).unwrap_or_else(|| self.bounded(site, rule, &operands, fact)));
            }
            return;
        }
        for (slot, size) in (rule.operands.indices)(site) {
            let Some(value) = operands.get(slot).copied().flatten().filter(|v| self.reached.contains(v)) else {
                continue;
            };
            let Some(size) = size.fixed() else { continue };
            let index = self.of(value);
            met.shortest = Some(met.shortest.map_or(size, |s: i64| s.min(size)));
            met.unknown |= !(index.lo.is_finite() && index.hi.is_finite());
            met.beyond |=
                index.hi.is_finite() && index.hi > (size - 1) as f64 || index.lo.is_finite() && index.lo < -size as f64;
        }
        self.compare(site, &operands, met);
        // What is looked up depends on the indices, but its numbers are others.
        let looked_up: HashSet<usize> = (rule.operands.indices)(site).into_iter().map(|(slot, _)| slot).collect();
        let followed = |slot: usize, v: &ValueId| self.reached.contains(v) && !looked_up.contains(&slot);
        let goes_on = operands.iter().enumerate().any(|(slot, v)| v.as_ref().is_some_and(|v| followed(slot, v)));
        for value in graph.results(node) {
            let fact = self.facts.get(value);
            let known = of_content(fact);
            let range = known.unwrap_or_else(|| self.bounded(site, rule, &operands, fact));
            self.values.insert(value, range);
            // What is known before the run does not depend on any number.
            if goes_on && known.is_none() {
                self.reached.insert(value);
                let largest = range.lo.abs().max(range.hi.abs());
                met.largest = if largest.is_finite() { met.largest.max(largest) } else { met.largest };
            }
        }
    }

    /// Notes what a followed number is compared with: two numbers that make a truth value.
    fn compare(&self, site: &Site, operands: &[Option<ValueId>], met: &mut Met) {
        let is_bool = |dtype: Option<DType>| dtype == Some(DType::Bool);
        let [Some(a), Some(b)] = *operands else { return };
        if !is_bool(site.result(0).dtype) || is_bool(site.dtype(0)) {
            return;
        }
        for (value, other) in [(a, b), (b, a)] {
            let range = self.of(other);
            if self.reached.contains(&value) && !self.reached.contains(&other) && range.hi.is_finite() {
                let (number, is_range) = met.compared.unwrap_or((f64::NEG_INFINITY, false));
                met.compared = Some((number.max(range.hi), is_range || range.hi - range.lo > 1.0));
            }
        }
    }

    fn of(&self, value: ValueId) -> Interval {
        self.values.get(&value).copied().unwrap_or(Interval::ANY)
    }

    /// The numbers of a result, by the law of bounds, or because it is made of numbers of its operands.
    fn bounded(&self, site: &Site, rule: &Rule, operands: &[Option<ValueId>], fact: &Fact) -> Interval {
        if fact.dtype == Some(DType::Bool) {
            return Interval::new(0.0, 1.0);
        }
        let at: Vec<Interval> = operands.iter().map(|v| v.map_or(Interval::ANY, |v| self.of(v))).collect();
        if rule.values.data_movement {
            let moved = data(site, rule).into_iter().map(|slot| at[slot]);
            return moved.fold(Interval::NONE, Interval::hull);
        }
        (rule.values.bounds)(site, &at).unwrap_or(Interval::ANY)
    }
}

/// What integers are that point at nothing, by what they were met with: as tokens, and as ones.
fn unindexed(met: &Met, ones: &Met, input: &FedInput) -> Values {
    // Bytes are pictures or sound.
    if matches!(input.dtype, DType::U8 | DType::I8) {
        return Values::TOKENS;
    }
    match met.compared {
        // A length, which counts everything.
        Some((number, true)) if number < 1e9 => Values::Just(number as i64 + 1),
        // A switch, or a mask that is compared with 0.
        Some((number, false)) if number < 1e9 => Values::Just((number as i64).max(1)),
        // A mask that turns into a large number where it is none.
        _ if met.largest > 1e3 && met.largest > 1e3 * ones.largest.max(1e-9) => Values::Just(1),
        _ => Values::TOKENS,
    }
}

/// The operands that the results' numbers are from: those that have to be zero for the results to be.
fn data(site: &Site, rule: &Rule) -> Vec<usize> {
    let arity = site.arity();
    let needed = |slot: &usize| {
        site.has(*slot) && !(rule.zeros.results)(site, &(0..arity).map(|s| s != *slot).collect::<Vec<_>>())
    };
    let needed: Vec<usize> = (0..arity).filter(needed).collect();
    if needed.is_empty() { (0..arity).filter(|&s| site.has(s)).collect() } else { needed }
}

/// Numbers of constants. Large tables of floats and bytes are weights, which nobody looks up by.
fn of_tensor(tensor: &Tensor) -> Interval {
    let most = if tensor.dtype.is_float() || tensor.dtype.bits() <= 8 { 1 << 12 } else { 1 << 20 };
    if tensor.count() > most {
        return Interval::ANY;
    }
    let numbers = tensor.to_f64().unwrap_or_default();
    if numbers.is_empty() {
        return Interval::ANY;
    }
    numbers.into_iter().map(Interval::point).fold(Interval::NONE, Interval::hull)
}

/// Numbers of a value that is known before the run.
fn of_content(fact: &Fact) -> Option<Interval> {
    let number = |e: &Element| match e {
        Element::Int(d) => d.fixed().map(|n| n as f64),
        Element::Float(x) => Some(*x),
        Element::Bool(b) => Some(f64::from(u8::from(*b))),
        Element::Unknown => None,
    };
    let numbers = fact.content.as_ref()?.0.iter().map(number).collect::<Option<Vec<f64>>>()?;
    (!numbers.is_empty()).then(|| numbers.into_iter().map(Interval::point).fold(Interval::NONE, Interval::hull))
}
