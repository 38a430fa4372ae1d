//! What each call cost, and what it costs now.

use crate::cost::{self, CallCost, OpenDims};
use crate::facts::Facts;
use crate::ir::{Dim, Model, NodeId, ValueId};
use serde::Serialize;
use std::collections::HashMap;

/// A call that costs something, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Its name, or that of its first result.
    pub name: String,
    pub op: String,
    pub before: CallSize,
    /// `None` if the call is gone.
    pub after: Option<CallSize>,
}

/// What a call costs, with the constants that it is the first to read.
#[derive(Clone, Debug, Serialize)]
pub struct CallSize {
    pub macs: u64,
    pub params: u64,
    /// The dimensions of its first result, open ones by name; `None` where the rank is not known.
    pub shape: Option<Vec<String>>,
}

/// What tells a call in both models: where it stood in the file, and its name.
type Key<'a> = (Option<u32>, u32, &'a str);

/// The calls that cost something, before and after, in topological order. Those that only the second model has come
/// from a rewrite of the others; they are not listed.
pub(super) fn report(before: (&Model, &Facts), after: (&Model, &Facts), open: &OpenDims) -> Vec<CallReport> {
    let at = |(model, facts): (&Model, &Facts)| open.at(model, facts);
    let mut now: HashMap<Key, CallSize> =
        cost::per_call(after.0, after.1, &at(after)).iter().map(|c| (key(after.0, c.node), size(after.1, c))).collect();
    let report = |c: &CallCost| {
        let call = before.0.graph.call(c.node).filter(|_| c.cost.macs + c.cost.params > 0)?;
        let after = now.remove(&key(before.0, c.node));
        Some(CallReport { name: call.label().to_owned(), op: call.qualified(), before: size(before.1, c), after })
    };
    cost::per_call(before.0, before.1, &at(before)).iter().filter_map(report).collect()
}

fn key(model: &Model, node: NodeId) -> Key<'_> {
    let graph = &model.graph;
    (graph.origin(node), graph.region(node), graph.call(node).map_or("", |c| c.name.as_str()))
}

fn size(facts: &Facts, CallCost { node, cost }: &CallCost) -> CallSize {
    let shape = facts.shape(ValueId { node: *node, port: 0 });
    let shape = shape.map(|s| s.iter().map(Dim::to_string).collect());
    CallSize { macs: cost.macs, params: cost.params, shape }
}
