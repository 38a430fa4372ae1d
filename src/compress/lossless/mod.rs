//! Lossless removal: units that can go because the model computes the same without them.
//!
//! A unit is *idle* if every sum over its label multiplies it by zero: it is zero itself, whatever the input, or nothing
//! reads it. A *constant* unit is the same number for every input, and what it adds to a sum is added to a bias instead.
//! A *twin* is a multiple of another unit that stays, whose weights take it over. All three are proved, by bounds
//! (`bounds.rs`) and by classes of like units (`alike.rs`); no operator is asked for its name. What is merged is a matter of
//! the model and of the units that stay, so a plan need not say it.
//!
//! # How
//!
//! `src/compress/lossless/` looks at every sum over a group's label and asks what each unit is to it. Two analyses go forward through
//! the graph. *Bounds* (`bounds.rs`) say between which numbers each unit of each value lies, for inputs within the declared
//! ranges: sums by their weights (the rules' law `sum`), the rest by the law `bounds`. A unit that is `[0, 0]`, or that only
//! zeros multiply, adds nothing; one that is a single number goes into a bias, where every element of the result is a sum
//! over all weights (no border). *Classes* (`alike.rs`) say which units are multiples of each other: slices of constants are
//! compared, equal operands make equal results along any unmarked label (the third law), and factors pass where an operator
//! is homogeneous (the law `homogeneity`). A twin's weights are added to those of the unit that stays; so are those of a constant
//! to another's, even under padding.
//!
//! Constants are read twice at most, where they lie: one pass says of each slice between which numbers it lies, and its
//! largest number with the mean beside that (`slices.rs`). Multiples agree in these, so they serve as a hash: only slices
//! that agree are compared number by number. Sums are bounded only until they can be any number (`sums.rs`), which without
//! bounded data is soon. What was found is kept with the analysis: the plan and the cut look for it once.
//!
//! What is merged is a matter of the model and of the keep-sets. So a plan only says that there is merging, and what is
//! known of the inputs; `apply` proves it anew on the model at hand. The proofs hold of every cut of the model too, since
//! bounds of what a sum reads include zero. The reference of a cut keeps the merged units as they are in the file: for
//! `--lossless` it is the file itself. Nothing inside a loop's body is merged, and no constant goes into the bias of a padded
//! convolution.

mod alike;
mod bounds;
mod constants;
mod ranges;
mod sites;
mod slices;
mod sums;
mod surroundings;

pub(crate) use ranges::RangeError;
pub use ranges::Ranges;
use sites::{Part, Place};
pub(crate) use surroundings::Surroundings;

use crate::analysis::Analysis;
use crate::axes::{self, Group, GroupId, KeepSets, Kept};
use crate::ir::NodeId;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is known of the units of all groups that can be cut exactly.
pub(crate) struct Lossless {
    groups: BTreeMap<GroupId, Units>,
}

/// What a group's units are to the sums over its label.
struct Units {
    places: Vec<Place>,
    size: usize,
    floor: usize,
}

/// Why a unit can go without loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    /// It is zero for every input.
    Dead,
    /// Whatever it is, it is multiplied by zero.
    Unread,
    /// It is the same number for every input: these, one for each place where it is read.
    Constant { values: Vec<f64> },
    /// It is this unit times these factors, one for each place where it is read.
    Twin { of: usize, factors: Vec<f64> },
}

/// A unit that went without loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Free {
    pub unit: usize,
    #[serde(flatten)]
    pub proof: Proof,
}

/// A group's units that went without loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    pub group: String,
    #[serde(rename = "where")]
    pub places: Vec<String>,
    /// The calls that read the units: factors and values are in their order.
    pub readers: Vec<String>,
    pub units: Vec<Free>,
}

/// What can go of an analyzed model, for inputs within these ranges. It is looked for once.
pub(crate) fn find(analysis: &Analysis, ranges: &Ranges) -> Arc<Lossless> {
    analysis.derived(ranges, || look(analysis, ranges))
}

fn look(analysis: &Analysis, ranges: &Ranges) -> Lossless {
    let around = Surroundings::new(analysis);
    let constants = constants::Constants::of(&around);
    let known = (bounds::Bounds::of(&around, &constants, ranges), alike::Alike::of(&around, &constants));
    let places = sites::places(&around, &known.0, &known.1);
    let mut groups = BTreeMap::new();
    for group in around.groups() {
        let places = places.get(&group.leaf).cloned().unwrap_or_default();
        groups.insert(group.id, Units { places, size: group.size, floor: group.floor.max(1) });
    }
    Lossless { groups }
}

impl Lossless {
    /// The units of a group that can go together; at least one stays.
    pub(crate) fn redundant(&self, group: &Group) -> Vec<usize> {
        let Some(units) = self.groups.get(&group.id) else { return vec![] };
        let mut stays: HashMap<Vec<Option<u32>>, usize> = HashMap::new();
        let goes = |unit: &usize| match units.alone(*unit) {
            Some(_) => true,
            None => units.key(*unit).is_some_and(|key| *stays.entry(key).or_insert(*unit) != *unit),
        };
        let mut gone: Vec<usize> = (0..units.size).filter(goes).collect();
        gone.truncate(units.size - units.floor.min(units.size));
        gone
    }

    /// Which of the units that a cut removes go without loss, and how.
    pub(crate) fn merged(&self, analysis: &Analysis, keep: &KeepSets) -> Merged {
        let mut free = BTreeMap::new();
        for (&id, units) in &self.groups {
            let leaf = analysis.groups.get(id).leaf;
            let Kept::Some(kept) = keep.of(&analysis.axes, leaf) else { continue };
            let mut twins: HashMap<Vec<Option<u32>>, usize> = HashMap::new();
            for &unit in kept.iter().rev() {
                units.key(unit).and_then(|key| twins.insert(key, unit));
            }
            let proof = |unit: usize| units.alone(unit).or_else(|| units.twin(unit, *twins.get(&units.key(unit)?)?));
            let gone = (0..units.size).filter(|unit| kept.binary_search(unit).is_err());
            let proved: BTreeMap<usize, Proof> = gone.filter_map(|unit| Some((unit, proof(unit)?))).collect();
            if !proved.is_empty() {
                let readers = units.places.iter().map(|p| p.node).collect();
                free.insert(id, FreeUnits { readers, proved });
            }
        }
        Merged { free }
    }
}

impl Units {
    /// Why the unit can go whatever else does.
    fn alone(&self, unit: usize) -> Option<Proof> {
        let parts = || self.places.iter().map(|p| &p.parts[unit]);
        let value = |part: &Part| match *part {
            Part::Zero | Part::Unread => Some(0.0),
            Part::Constant(x) => Some(x),
            Part::Like(_) | Part::Unknown => None,
        };
        let values: Vec<f64> = parts().map(value).collect::<Option<_>>()?;
        Some(if parts().any(|p| matches!(p, Part::Constant(_))) {
            Proof::Constant { values }
        } else if parts().all(|p| *p == Part::Unread) {
            Proof::Unread
        } else {
            Proof::Dead
        })
    }

    /// What units have in common that are multiples of each other wherever they are read.
    fn key(&self, unit: usize) -> Option<Vec<Option<u32>>> {
        let class = |place: &Place| match place.parts[unit] {
            Part::Zero | Part::Unread => Some(None),
            Part::Like(like) => Some(Some(like.class)),
            Part::Constant(_) => Some(Some(sites::CONSTANT)),
            Part::Unknown => None,
        };
        self.places.iter().map(class).collect()
    }

    /// The unit as a multiple of one with the same key.
    fn twin(&self, unit: usize, of: usize) -> Option<Proof> {
        let factor = |place: &Place| match (&place.parts[unit], &place.parts[of]) {
            (Part::Like(a), Part::Like(b)) => a.factor / b.factor,
            (Part::Constant(a), Part::Constant(b)) => a / b,
            _ => 0.0,
        };
        Some(Proof::Twin { of, factors: self.places.iter().map(factor).collect() })
    }
}

/// The units of a cut that go without loss.
#[derive(Default)]
pub struct Merged {
    free: BTreeMap<GroupId, FreeUnits>,
}

struct FreeUnits {
    readers: Vec<NodeId>,
    proved: BTreeMap<usize, Proof>,
}

impl Merged {
    /// Whether no unit goes without loss.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// What is told of it.
    pub fn certificates(&self, analysis: &Analysis) -> Vec<Certificate> {
        let graph = &analysis.model.graph;
        let certificate = |(&id, free): (&GroupId, &FreeUnits)| Certificate {
            group: id.to_string(),
            places: axes::places(&analysis.model, analysis.groups.get(id)),
            readers: free.readers.iter().map(|&n| graph.label(n).to_owned()).collect(),
            units: free.proved.iter().map(|(&unit, proof)| Free { unit, proof: proof.clone() }).collect(),
        };
        self.free.iter().map(certificate).collect()
    }

    /// The keep-sets with these units among those that stay: what a cut is worth beside them.
    pub fn with(&self, analysis: &Analysis, keep: &KeepSets) -> KeepSets {
        let mut out = KeepSets::default();
        for group in &analysis.groups.all {
            let Kept::Some(mut kept) = keep.of(&analysis.axes, group.leaf) else { continue };
            kept.extend(self.free.get(&group.id).into_iter().flat_map(|free| free.proved.keys()));
            kept.sort_unstable();
            if kept.len() < group.size {
                out.keep(group.leaf, kept);
            }
        }
        out
    }

    /// Why a unit goes without loss, and what it amounts to where this call reads it: a factor of its twin, or a number.
    pub(crate) fn at(&self, group: GroupId, unit: usize, reader: NodeId) -> Option<Stand> {
        let free = self.free.get(&group)?;
        let place = free.readers.iter().position(|&n| n == reader)?;
        Some(match free.proved.get(&unit)? {
            Proof::Dead | Proof::Unread => Stand::Number(0.0),
            Proof::Constant { values } => Stand::Number(values[place]),
            Proof::Twin { of, factors } => Stand::Unit(*of, factors[place]),
        })
    }
}

/// What stands for a unit that is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stand {
    Number(f64),
    /// Another unit, times a factor.
    Unit(usize, f64),
}

#[cfg(test)]
mod tests;
