//! Groups: the leaves that reach a constant, with all the slices that go when one of their units goes.

use super::kind;
use super::{Axes, Mark, Pin, Shape, Var};
use crate::ir::{Graph, Model, ValueId};
use crate::ops::Granularity;
use indexmap::IndexSet;
use std::collections::HashMap;
use std::fmt::Write;

/// A group's number; it prints as the label `c7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// An axis of a constant that a group reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub constant: ValueId,
    pub axis: usize,
}

/// A set of units that stay or go together in every tensor that the label touches.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: GroupId,
    pub leaf: Var,
    /// How many units there are.
    pub size: usize,
    /// How many must stay at least (a TopK takes so many, say).
    pub floor: usize,
    pub kind: Granularity,
    /// The axes of constants that the label is part of.
    pub members: Vec<Member>,
    /// Why the units must stay; empty for a group that may be cut.
    pub pins: Vec<Pin>,
    /// Why removing units changes what survives; empty for an exact group.
    pub inexact: Vec<Pin>,
}

impl Group {
    /// Whether units may go, at whatever price.
    pub fn is_free(&self) -> bool {
        self.pins.is_empty()
    }

    /// Whether units may go and the rest stays as it was.
    pub fn is_exact(&self) -> bool {
        self.pins.is_empty() && self.inexact.is_empty()
    }
}

/// All groups of a graph, pinned ones included, numbered in the order of the constants that they reach.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub all: Vec<Group>,
    by_leaf: HashMap<Var, GroupId>,
}

impl Groups {
    /// Collects the groups of a graph.
    pub fn collect(graph: &Graph, axes: &Axes) -> Groups {
        let mut groups = Groups::default();
        let told = kind::told_by_calls(graph, axes);
        for node in graph.topological().into_iter().filter(|&n| graph.constant(n).is_some()) {
            let constant = ValueId { node, port: 0 };
            for (axis, &var) in axes.of(constant).into_iter().flatten().enumerate() {
                for leaf in axes.solver.leaves(var) {
                    groups.add(axes, leaf, Member { constant, axis });
                }
            }
        }
        for group in &mut groups.all {
            let is_kernel = |m: &Member| kind::is_kernel(axes, m.constant);
            group.kind = match told.get(&group.leaf) {
                Some(&kind) => kind,
                None if !group.inexact.is_empty() => Granularity::Width,
                None if group.members.iter().any(is_kernel) => Granularity::Channel,
                None => Granularity::Neuron,
            };
        }
        groups
    }

    fn add(&mut self, axes: &Axes, leaf: Var, member: Member) {
        let Some(size) = axes.solver.size(leaf).size().filter(|&n| n > 1) else { return };
        let id = *self.by_leaf.entry(leaf).or_insert_with(|| {
            let id = GroupId(self.all.len() as u32);
            let (mut pins, mut inexact) = (vec![], vec![]);
            for mark in axes.solver.marks(leaf) {
                match *mark {
                    Mark::Pin(r) => pins.push(axes.reason(r).clone()),
                    Mark::Inexact(r) => inexact.push(axes.reason(r).clone()),
                }
            }
            pins.sort_by_key(|p| p.kind);
            let floor = axes.floor(leaf);
            self.all.push(Group { id, leaf, size, floor, kind: Granularity::Neuron, members: vec![], pins, inexact });
            id
        });
        let group = &mut self.all[id.0 as usize];
        if group.members.last() != Some(&member) {
            group.members.push(member);
        }
    }

    /// The group with this label (`c7`), if there is one.
    pub fn named(&self, label: &str) -> Option<&Group> {
        let number: usize = label.strip_prefix('c')?.parse().ok()?;
        self.all.get(number).filter(|g| g.id.to_string() == label)
    }

    /// The group with this number, which has to be one of these groups'.
    pub fn get(&self, id: GroupId) -> &Group {
        &self.all[id.0 as usize]
    }

    /// The group of a leaf; `None` for one that reaches no constant.
    pub fn of_leaf(&self, leaf: Var) -> Option<&Group> {
        self.by_leaf.get(&leaf).map(|&id| self.get(id))
    }

    /// Groups that may be cut.
    pub fn free(&self) -> impl Iterator<Item = &Group> {
        self.all.iter().filter(|g| g.is_free())
    }

    /// An axis as text: `(c1:8 c2:16)`, `c0:24+c3:40`; what can't be cut prints as its length.
    pub fn show(&self, axes: &Axes, var: Var) -> String {
        let join = |parts: &[Var], by: &str| parts.iter().map(|&p| self.show(axes, p)).collect::<Vec<_>>().join(by);
        match axes.solver.shape(var) {
            Shape::Product(p) => format!("({})", join(&p, " ")),
            Shape::Sum(p) => join(&p, "+"),
            Shape::Leaf => {
                let leaf = axes.solver.find(var);
                let mut text = String::new();
                if let Some(g) = self.of_leaf(leaf).filter(|g| g.is_free()) {
                    _ = write!(text, "{}{}:", g.id, if g.inexact.is_empty() { "" } else { "!" });
                }
                _ = write!(text, "{}", axes.solver.size(leaf));
                text
            }
        }
    }

    /// All axes of a value as text, or `None` where its rank is not known.
    pub fn show_value(&self, axes: &Axes, value: ValueId) -> Option<String> {
        let shown: Vec<String> = axes.of(value)?.iter().map(|&v| self.show(axes, v)).collect();
        Some(format!("[{}]", shown.join(", ")))
    }
}

/// Where a group is, for the reader: `conv1.weight[0]`.
pub(crate) fn places(model: &Model, group: &Group) -> Vec<String> {
    let place = |member: &Member| {
        let constant = model.graph.constant(member.constant.node)?;
        Some(format!("{}[{}]", constant.source().unwrap_or(&constant.name), member.axis))
    };
    let places: IndexSet<String> = group.members.iter().filter_map(place).collect();
    places.into_iter().collect()
}
