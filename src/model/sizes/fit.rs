//! The search for lengths that fit: inference is asked, and where it finds a contradiction, other lengths are tried for
//! the sizes that meet there.
//!
//! Lengths are taken from the numbers at that place (a channel count that the weights have, a window's extent, a factor
//! of a reshape), then from a list of plausible ones, for all axes at once and for each alone. A candidate is better the
//! further inference gets. The number of steps is bounded, so what fits nowhere is given up.

use super::{FedInput, Lengths, Start, atoms};
use crate::facts::Facts;
use crate::infer;
use crate::ir::{Atom, Dim, Model, NodeId, ValueId};
use crate::ops::{self, Site};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Lengths that models ask for: of sequences, of images, of sound.
const PLAUSIBLE: [i64; 44] = [
    8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 299, 320, 336, 384, 448, 480, 512, 518, 576, 640,
    768, 896, 1024, 1280, 1536, 2048, 3072, 4096, 6144, 8192, 12_288, 16_000, 16_384, 24_000, 32_768, 48_000, 65_536,
    131_072, 262_144, 480_000,
];

/// No input has more elements than this.
const ELEMENTS: i64 = 1 << 24;

/// How many nodes inference may visit in all.
const VISITS: usize = 400_000;

/// No number at a place is longer than this as a length.
const LONGEST: i64 = 1 << 20;

type Sizes = BTreeMap<Atom, i64>;

/// Lengths to put in the place of others.
type Changes<'a> = Vec<(&'a Atom, i64)>;

pub(super) struct Search<'a> {
    model: &'a Model,
    inputs: &'a [FedInput],
    given: &'a Sizes,
    start: Start,
    /// Sizes that begin an input.
    first: BTreeSet<Atom>,
    /// What is known with open sizes.
    open: Facts,
    /// Nodes that contradict the model as it is.
    ignored: HashSet<NodeId>,
    visits: Cell<usize>,
}

/// Where inference stopped.
struct Stop {
    /// How many nodes it had passed.
    passed: usize,
    node: NodeId,
    what: String,
    facts: Facts,
}

impl<'a> Search<'a> {
    pub(super) fn new(model: &'a Model, inputs: &'a [FedInput], given: &'a Sizes, start: Start) -> Search<'a> {
        let shapes = inputs.iter().map(|i| (i.node, i.shape.clone())).collect();
        let open = infer::infer_sized(model, &shapes, &mut |_, _| true);
        let ignored = open.contradictions.iter().map(|c| c.node).collect();
        let first = inputs.iter().filter_map(|i| i.shape.first()).flat_map(atoms).collect();
        Search { model, inputs, given, start, first, open, ignored, visits: Cell::new(0) }
    }

    pub(super) fn run(&self) -> Lengths {
        let mut sizes = self.begin();
        let mut at = self.attempt(&sizes);
        while let Some(stop) = &at {
            let Some((better, next)) = self.better(&sizes, stop) else { break };
            (sizes, at) = (better, next);
        }
        let trouble = at.map(|stop| (stop.node, stop.what));
        Lengths { of: sizes, given: self.given.keys().cloned().collect(), trouble }
    }

    /// Whether inference finds nothing wrong with these lengths.
    pub(super) fn fits(&self, sizes: &Sizes) -> bool {
        self.attempt(sizes).is_none()
    }

    /// The lengths to begin with.
    fn begin(&self) -> Sizes {
        let spaces = self.spaces();
        let mut sizes = self.given.clone();
        for atom in self.inputs.iter().flat_map(|i| &i.shape).flat_map(atoms) {
            let length = match () {
                () if self.first.contains(&atom) => self.start.first,
                () if spaces.contains(&atom) => self.start.space,
                () => self.start.other,
            };
            sizes.entry(atom).or_insert(length);
        }
        sizes
    }

    /// The sizes along which windows run.
    fn spaces(&self) -> BTreeSet<Atom> {
        let (graph, unknowns) = (&self.model.graph, crate::facts::Unknowns::of_questions());
        let mut spaces = BTreeSet::new();
        for node in graph.calls() {
            let Some(call) = graph.call(node) else { continue };
            let site = Site::new(self.model, graph, node, call, &self.open, &unknowns);
            for window in (ops::rule_of(self.model, call).operands.windows)(&site) {
                spaces.extend(site.dim(0, window.data).into_iter().flat_map(atoms));
            }
        }
        spaces
    }

    /// Infers with these lengths; where it stops, if it does.
    fn attempt(&self, sizes: &Sizes) -> Option<Stop> {
        let lengths = Lengths { of: sizes.clone(), ..Lengths::default() };
        let shapes = lengths.shapes(self.inputs);
        let mut passed = 0;
        let mut stopped: Option<(NodeId, String)> = None;
        let mut go_on = |node: NodeId, facts: &Facts| {
            passed += 1;
            stopped = self.contradicts(node, facts);
            stopped.is_none()
        };
        let facts = infer::infer_sized(self.model, &shapes, &mut go_on);
        self.visits.set(self.visits.get() + passed);
        stopped.map(|(node, what)| Stop { passed, node, what, facts })
    }

    /// What is wrong with a node: it contradicts its operands, or leaves nothing.
    fn contradicts(&self, node: NodeId, facts: &Facts) -> Option<(NodeId, String)> {
        if self.ignored.contains(&node) {
            return None;
        }
        if let Some(last) = facts.contradictions.last().filter(|c| c.node == node) {
            return Some((node, last.what.clone()));
        }
        self.model.graph.call(node)?;
        let is_empty = |d: &Dim| d.fixed().is_some_and(|n| n <= 0);
        let emptied = |value: ValueId| {
            let (now, open) = (facts.shape(value)?, self.open.shape(value));
            let axis = now.iter().position(is_empty)?;
            // What is empty whatever the sizes are is meant to be.
            let always = open.is_some_and(|open| open.get(axis).is_some_and(is_empty));
            (!always).then(|| (node, "nothing is left of its operands".to_owned()))
        };
        self.model.graph.results(node).find_map(emptied)
    }

    /// Lengths with which inference gets further, and where it stops then.
    fn better(&self, sizes: &Sizes, stop: &Stop) -> Option<(Sizes, Option<Stop>)> {
        let mut best: Option<(Sizes, Stop)> = None;
        for candidate in self.candidates(sizes, stop) {
            if self.visits.get() > VISITS {
                break;
            }
            match self.attempt(&candidate) {
                None => return Some((candidate, None)),
                Some(next) if next.passed > best.as_ref().map_or(stop.passed, |(_, s)| s.passed) => {
                    best = Some((candidate, next));
                }
                Some(_) => {}
            }
        }
        best.map(|(sizes, stop)| (sizes, Some(stop)))
    }

    /// Other lengths for the sizes that meet at a node, the likeliest first.
    fn candidates(&self, sizes: &Sizes, stop: &Stop) -> Vec<Sizes> {
        let (numbers, meeting) = (self.numbers(stop), self.meeting(stop.node));
        let mut out: Vec<Sizes> = vec![];
        let mut add = |changes: Changes| {
            let mut candidate = sizes.clone();
            candidate.extend(changes.into_iter().map(|(atom, n)| (atom.clone(), n)));
            if candidate != *sizes && self.is_small(&candidate) {
                out.push(candidate);
            }
        };
        let (first, inner): (Vec<&Atom>, Vec<&Atom>) = meeting.iter().partition(|a| self.first.contains(a));
        // What has to be as long as the batch.
        for atom in &inner {
            first.iter().for_each(|batch| add(vec![(atom, sizes[*batch])]));
        }
        let longer: Vec<i64> = numbers.iter().copied().filter(|&n| n > 1).collect();
        // The batch is changed last.
        for some in [inner, first] {
            let each = |to: &dyn Fn(i64) -> Vec<i64>, add: &mut dyn FnMut(Changes)| {
                for atom in &some {
                    to(sizes[*atom]).into_iter().for_each(|n| add(vec![(atom, n)]));
                }
            };
            each(&|_| longer.clone(), &mut add);
            for n in PLAUSIBLE {
                add(some.iter().map(|&atom| (atom, n)).collect());
            }
            each(&|now| longer.iter().map(|n| n.saturating_mul(now)).collect(), &mut add);
            each(&|_| PLAUSIBLE.to_vec(), &mut add);
            // Almost everything fits a length of one.
            each(&|_| vec![1], &mut add);
        }
        out
    }

    /// The lengths and small contents that operands have where inference stopped.
    fn numbers(&self, stop: &Stop) -> Vec<i64> {
        let mut numbers = BTreeSet::new();
        for value in self.model.graph.operands(stop.node).into_iter().flatten() {
            let fact = stop.facts.get(value);
            numbers.extend(fact.shape.iter().flatten().filter_map(Dim::fixed));
            let contents = fact.dims().filter(|content| content.len() <= 16);
            numbers.extend(contents.into_iter().flatten().filter_map(|d| d.fixed()).map(i64::saturating_abs));
        }
        numbers.into_iter().filter(|n| (1..=LONGEST).contains(n)).collect()
    }

    /// The open sizes of inputs that a node's operands are made of, those first that begin no input. Where that can't be
    /// told, all.
    fn meeting(&self, node: NodeId) -> Vec<Atom> {
        let free: BTreeSet<Atom> = self.inputs.iter().flat_map(|i| &i.shape).flat_map(atoms).collect();
        let free: BTreeSet<Atom> = free.into_iter().filter(|a| !self.given.contains_key(a)).collect();
        let mut there = BTreeSet::new();
        for value in self.model.graph.operands(node).into_iter().flatten() {
            let fact = self.open.get(value);
            let content = fact.dims().unwrap_or_default();
            there.extend(fact.shape.iter().flatten().chain(&content).flat_map(atoms));
        }
        let is_known = there.iter().any(|atom| free.contains(atom));
        let meeting = free.into_iter().filter(|atom| !is_known || there.contains(atom));
        let (first, inner): (Vec<Atom>, Vec<Atom>) = meeting.partition(|a| self.first.contains(a));
        [inner, first].concat()
    }

    fn is_small(&self, sizes: &Sizes) -> bool {
        let lengths: HashMap<&Atom, i64> = sizes.iter().map(|(atom, &n)| (atom, n)).collect();
        let of = |d: &Dim| d.eval(&|atom| lengths.get(atom).copied());
        let count = |i: &FedInput| i.shape.iter().try_fold(1i64, |n, d| n.checked_mul(of(d)?));
        self.inputs.iter().all(|i| count(i).is_some_and(|n| n <= ELEMENTS))
    }
}
