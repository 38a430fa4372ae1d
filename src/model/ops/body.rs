//! Bodies of If, Loop and Scan, once they are open: their nodes stand in the graph of the call, between two boundaries.
//!
//! ```text
//! h, s = Loop<body = b (i, c, h_in) => (c_out, h_out, x) {…}>(n, c, h_0)
//!
//! i, c_in, h_in = secateur.body.Enter(n, c, h_0)
//! …                                                                     # the body's nodes
//! h, s = secateur.body.Loop<body = …>(i, c_in, h_in, c_out, h_out, x)   # the body's interface is all that is left in it
//! ```
//!
//! `Enter` makes what a body gets: for Loop and Scan its inputs. A branch of an If gets nothing. The call itself keeps
//! its name and its results; its operands are what enters (for If: the condition) and then what each body returns. The
//! rules here say what the axes of all these have to do with each other: what is carried from one iteration to the next
//! has the same axes before, between and after; what is scanned loses an axis inside; what branches return is the same.
//!
//! # Why, and what follows
//!
//! The solver, groups, exactness, surgery, costs and passes know one graph. Rather than teach all of them about graphs in
//! graphs, the bodies are *opened*: their nodes come into the graph of the call, and go back when everything is done. In
//! between, a call with bodies is a boundary (or two), with rules like other operators (`src/model/ops/body.rs`)
//!
//! - **Axes.** What is carried has the same axes before, between and after: `h_0 ≡ h ≡ h_1 ≡ h_n`. What is scanned or
//!   stacked has one axis more outside, which is pinned. What two branches return is the same. Captures are plain wires.
//! - **Types.** A carried value is assumed to keep the type that it begins with. Where inference finds that the body returns
//!   another length, this length is said to change, and inference starts again; each round makes some length unknown, so it
//!   ends. Contents are never carried over. Named sizes in a body's declarations are not believed: they may be another size
//!   in each iteration.
//! - **Exactness.** The proof is by induction over iterations: dropping and zeroing agree after each node, so they do after
//!   each iteration. Only zeros need care. A carried value is zero at a unit if it is so at first and the body leaves it so.
//!   That is assumed, followed through the graph, and taken back where the body says otherwise, until nothing is taken back
//!   (`zeros` in `src/model/axes/exact.rs`).
//! - **Going back.** A node returns to its body unless it is used further out as well; then it goes as far out as all its
//!   uses are. That can only be what a pass made of things from outside (a shape, a merged constant): the inputs of a body
//!   are used inside alone, which is checked. Nodes are never moved out of a branch without need: what the condition
//!   guards may fail when it is computed in vain.
//! - **Provenance.** A constant in a body is told by its name; where several graphs have constants of that name, the way
//!   there comes first (`if_1.then_branch/w`). Positions in `uses` are those in the graph that has the constant, and a
//!   captured constant is used by the outermost call that captures it, at a slot behind its operands. A vector that a body
//!   uses in several places is divided when the body is opened; a matrix stays one.
//!
//! A call stays closed, and opaque, if its bodies do not fit it, if they have what no node stands for (defaults of inputs,
//! quantization annotations), or if it captures a constant and the report could not say where.
//!
//! **Which branch runs.** `fold-if` takes an If out whose condition is known, closed or open. Where the branches differ in
//! rank and nobody knows the condition (an axis is squeezed if it turns out to have length 1), `passes/assume.rs` tries both:
//! if one makes a call that runs in any case contradict its operands, the types are those of the other. The If stays.
//!
//! Costs count a body once, however often it runs, and of an If's branches the dearer (`cost/branches.rs`); prices of units
//! are those of all branches, so that each is cut until the dearest meets a budget.

use super::shared::dims;
use super::{AxisRule, Rule, Site, ZeroLaws, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{Attribute, BODY_DOMAIN, Call, DType, Dim, Graph, NodeId, ValueId};
use std::ops::Range;

/// The operator that makes what a body gets.
pub const ENTER: &str = "Enter";

/// Attributes of boundaries: of `Enter`, how many values are carried, and where slices are taken; and which axes of
/// which carried values change their length, as pairs (all axes where the second is -1). Of the call, the numbers of
/// its bodies' regions, and which of its branches runs wherever the model runs at all.
pub const STATES: &str = "states";
pub const AXES: &str = "axes";
pub const CHANGING: &str = "changing";
pub const REGIONS: &str = "regions";
pub const ASSUMED: &str = "assumed";

pub const RULES: &[(&str, Rule)] = &[
    ("secateur.body.Enter", Rule { infer: infer_enter, axes: enter_axes, zeros: PASSED, ..Rule::OPAQUE }),
    ("secateur.body.If", Rule { infer: infer_if, axes: if_axes, zeros: PASSED, ..Rule::OPAQUE }),
    ("secateur.body.Loop", Rule { infer: infer_loop, axes: loop_axes, zeros: PASSED, ..Rule::OPAQUE }),
    ("secateur.body.Scan", Rule { infer: infer_loop, axes: loop_axes, zeros: PASSED, ..Rule::OPAQUE }),
];

/// Each result is one operand, or two that are the same; what other operands are does not touch it.
const PASSED: ZeroLaws = ZeroLaws { results: zero::all, absorbing: zero::any, ..ZeroLaws::OPAQUE };

const WHY: &str = "it is counted, scanned or not the same in each iteration or branch";

/// What a call hands to its bodies and gets from them.
pub struct BodyLayout {
    /// Whether the call's operands enter as the body's inputs; otherwise it is a choice between bodies.
    pub enters: bool,
    /// The attributes of `Enter`.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// The layout of a call whose bodies can be opened.
pub fn layout(call: &Call, opset: i64) -> Option<BodyLayout> {
    let graphs: Vec<&Graph> = call.graphs().collect();
    let counts = |g: &Graph| (g.inputs().len(), g.outputs().len());
    let (arity, results) = (usize::from(call.arity), call.results.len());
    if !call.domain.is_empty() {
        return None;
    }
    let states = match (call.op.as_str(), &graphs[..]) {
        ("If", [a, b]) => {
            let fits = counts(a) == (0, results) && counts(b) == (0, results) && arity == 1;
            return fits.then_some(BodyLayout { enters: false, attributes: vec![] });
        }
        ("Loop", [body]) => {
            let states = arity.checked_sub(2)?;
            let (inputs, outputs) = counts(body);
            (inputs == arity && outputs > states && (states..outputs).contains(&results)).then_some(states)?
        }
        ("Scan", [body]) if opset >= 9 => {
            let states = arity.checked_sub(usize::try_from(call.int("num_scan_inputs", -1)).ok()?)?;
            let (inputs, outputs) = counts(body);
            (inputs == arity && (states..=outputs).contains(&results)).then_some(states)?
        }
        _ => return None,
    };
    let mut attributes = vec![(STATES, Attribute::Int(states as i64))];
    if call.op == "Scan" {
        let axes = call.ints("scan_input_axes").map_or_else(|| vec![0; arity - states], <[i64]>::to_vec);
        attributes.push((AXES, Attribute::Ints(axes)));
    }
    Some(BodyLayout { enters: true, attributes })
}

/// Whether the call stands for the edge of a body that was opened.
pub fn is_boundary(call: &Call) -> bool {
    call.domain == BODY_DOMAIN
}

/// Whether the call is one with open bodies.
pub fn is_open(call: &Call) -> bool {
    call.domain == BODY_DOMAIN && call.op != ENTER
}

/// Whether only one of an open call's bodies runs.
pub fn is_choice(call: &Call) -> bool {
    is_open(call) && call.op == "If"
}

/// The numbers of an open call's bodies ([`Graph::region`]), in the order of its subgraphs.
pub fn regions(call: &Call) -> Vec<u32> {
    let numbers = call.ints(REGIONS).unwrap_or_default();
    numbers.iter().filter_map(|&r| u32::try_from(r).ok()).collect()
}

/// How many of an open call's operands enter, before those that its bodies return.
pub fn entering(call: &Call) -> usize {
    usize::from(call.arity).saturating_sub(call.graphs().map(|g| g.outputs().len()).sum())
}

/// The call whose open body gets its values from this one.
pub fn owner(graph: &Graph, enter: NodeId) -> Option<NodeId> {
    graph.call(enter).filter(|c| c.domain == BODY_DOMAIN && c.op == ENTER)?;
    let uses = graph.results(enter).flat_map(|v| graph.uses(v)).map(|u| u.node);
    uses.filter(|&n| graph.call(n).is_some_and(is_open)).find(|&n| {
        let entering = graph.call(n).map_or(0, entering);
        graph.operands(n).into_iter().take(entering).flatten().any(|v| v.node == enter)
    })
}

/// The values that loops carry: as an iteration finds them, and as it leaves them.
pub fn carried(graph: &Graph) -> Vec<(ValueId, ValueId)> {
    let calls = graph.calls().into_iter().filter(|&n| graph.call(n).is_some_and(|c| is_open(c) && c.op != "If"));
    calls.flat_map(|n| carried_by(graph, n)).collect()
}

fn carried_by(graph: &Graph, node: NodeId) -> Vec<(ValueId, ValueId)> {
    let (Some(call), operands) = (graph.call(node), graph.operands(node)) else { return vec![] };
    let (first, between, states) = state_slots(call);
    let at = |slot: usize| operands.get(slot).copied().flatten();
    (0..states).filter_map(|k| Some((at(first + k)?, at(between + k)?))).collect()
}

/// Of an open loop: the slots at which the carried values begin, as they enter and as they are returned, and how many.
fn state_slots(call: &Call) -> (usize, usize, usize) {
    let entering = entering(call);
    match call.op.as_str() {
        "Loop" => (2, entering + 1, entering.saturating_sub(2)),
        _ => {
            let slices = usize::try_from(call.int("num_scan_inputs", 0)).unwrap_or(0);
            (0, entering, entering.saturating_sub(slices))
        }
    }
}

/// The axes at which an open loop's results are stacked, after the carried ones.
fn stacking(call: &Call, states: usize) -> Vec<i64> {
    let count = call.results.len().saturating_sub(states);
    let given = call.ints("scan_output_axes").filter(|_| call.op == "Scan");
    given.filter(|axes| axes.len() >= count).map_or_else(|| vec![0; count], <[i64]>::to_vec)
}

/// Of `Enter`: how many operands come before the carried ones, and how many carried ones there are.
fn entry(call: &Call) -> (usize, usize) {
    let states = usize::try_from(call.int(STATES, 0)).unwrap_or(0);
    (if call.has(AXES) { 0 } else { 2 }, states)
}

fn infer_enter(site: &Site) -> Result<Vec<Fact>, String> {
    let (before, states) = entry(site.call);
    let mut facts = if before > 0 {
        vec![Fact::maybe(Some(DType::I64), None), Fact::maybe(Some(DType::Bool), None)]
    } else {
        vec![]
    };
    let changing: Vec<&[i64]> = site.call.ints(CHANGING).unwrap_or_default().chunks(2).collect();
    for k in 0..states {
        let changes = |axis: i64| changing.contains(&&[k as i64, axis][..]);
        let shape = site.shape(before + k).filter(|_| !changes(-1));
        let dim = |(axis, d): (usize, &Dim)| if changes(axis as i64) { site.unknown() } else { d.clone() };
        let shape = shape.map(|s| s.iter().enumerate().map(dim).collect());
        facts.push(Fact::maybe(site.dtype(before + k), shape));
    }
    for (slot, &axis) in (before + states..).zip(site.call.ints(AXES).unwrap_or_default()) {
        let mut shape = site.shape(slot).map(<[Dim]>::to_vec);
        if let Some(shape) = &mut shape {
            if shape.is_empty() {
                return Err("a scalar can't be scanned".into());
            }
            shape.remove(normalize_axis(axis, shape.len())?);
        }
        facts.push(Fact::maybe(site.dtype(slot), shape));
    }
    Ok(facts)
}

fn enter_axes(site: &Site) -> Option<AxisRule> {
    let (before, states) = entry(site.call);
    let (mut left, mut right) = (vec!["_*".to_owned(); before], vec!["_*".to_owned(); before]);
    for k in before..before + states {
        let row = row(&format!("s{k}"), &[site.shape(k), site.result_shape(k)]);
        left.push(row.clone());
        right.push(row);
    }
    for (slot, &axis) in (before + states..).zip(site.call.ints(AXES).unwrap_or_default()) {
        let (whole, slice) = scanned(&format!("s{slot}"), site.result_shape(slot), axis);
        left.push(whole);
        right.push(slice);
    }
    Some(AxisRule::new(format!("{} -> {}", left.join(", "), right.join(", "))).apart().why(WHY))
}

/// A row of labels for tensors with the same axes; a pin where they differ in length.
fn row(prefix: &str, shapes: &[Option<&[Dim]>]) -> String {
    let Some(shapes) = shapes.iter().copied().collect::<Option<Vec<&[Dim]>>>() else { return "_*".into() };
    let Some(first) = shapes.first().filter(|s| shapes.iter().all(|t| t.len() == s.len())) else { return "_*".into() };
    let same = |axis: usize| shapes.iter().all(|s| s[axis] == first[axis]);
    let label = |axis: usize| if same(axis) { format!("{prefix}_{axis}") } else { "_".into() };
    (0..first.len()).map(label).collect::<Vec<_>>().join(" ")
}

/// The rows of a tensor that is scanned or stacked along an axis, and of one of its slices.
fn scanned(prefix: &str, slice: Option<&[Dim]>, axis: i64) -> (String, String) {
    let opaque = || ("_*".to_owned(), "_*".to_owned());
    let Some(slice) = slice else { return opaque() };
    let labels: Vec<String> = (0..slice.len()).map(|axis| format!("{prefix}_{axis}")).collect();
    let Ok(axis) = normalize_axis(axis, slice.len() + 1) else { return opaque() };
    let mut whole = labels.clone();
    whole.insert(axis, "_".into());
    (whole.join(" "), labels.join(" "))
}

/// What is known of a value that is one of two.
fn common(site: &Site, a: &Fact, b: &Fact) -> Fact {
    let dtype = a.dtype.filter(|_| a.dtype == b.dtype);
    let shapes = a.shape.as_ref().zip(b.shape.as_ref()).filter(|(a, b)| a.len() == b.len());
    let dim = |(a, b): (&Dim, &Dim)| if a == b { a.clone() } else { site.unknown() };
    Fact::maybe(dtype, shapes.map(|(a, b)| a.iter().zip(b).map(dim).collect()))
}

/// Which of an If's subgraphs runs, where the condition is known.
pub fn branch(call: &Call, condition: &Fact) -> Option<usize> {
    let [Element::Bool(condition)] = condition.content.as_ref()?.0[..] else { return None };
    let wanted = if condition { "then_branch" } else { "else_branch" };
    call.attributes.iter().flat_map(|(key, a)| a.graphs().iter().map(move |_| key)).position(|key| key == wanted)
}

/// The slots of what an open call's subgraph returns.
pub fn returned(call: &Call, which: usize) -> Range<usize> {
    let outputs = |count: usize| call.graphs().take(count).map(|g| g.outputs().len()).sum::<usize>();
    let first = entering(call);
    first + outputs(which)..first + outputs(which + 1)
}

/// The slots of the branch that an open If takes, where its condition or [`ASSUMED`] says which.
fn taken(site: &Site) -> Option<Range<usize>> {
    let assumed = || usize::try_from(site.call.int(ASSUMED, -1)).ok();
    Some(returned(site.call, branch(site.call, site.fact(0)).or_else(assumed)?))
}

fn infer_if(site: &Site) -> Result<Vec<Fact>, String> {
    let count = site.call.results.len();
    if let Some(slots) = taken(site) {
        return Ok(slots.map(|slot| site.fact(slot).clone()).collect());
    }
    let merged = |i: usize| {
        let (a, b) = (site.fact(1 + i), site.fact(1 + count + i));
        let same = a.shape == b.shape && a.content == b.content;
        Fact { content: a.content.clone().filter(|_| same), ..common(site, a, b) }
    };
    Ok((0..count).map(merged).collect())
}

/// What a branch returns that does not run has nothing to do with the result.
fn if_axes(site: &Site) -> Option<AxisRule> {
    let count = site.call.results.len();
    let taken = taken(site);
    let mut left = vec!["_*".to_owned(); 1 + 2 * count];
    let mut right = vec![];
    for i in 0..count {
        let (runs, idle): (Vec<usize>, Vec<usize>) =
            [1 + i, 1 + count + i].into_iter().partition(|slot| taken.as_ref().is_none_or(|t| t.contains(slot)));
        let shapes = runs.iter().map(|&slot| site.shape(slot)).chain([site.result_shape(i)]);
        let own = row(&format!("s{i}"), &shapes.collect::<Vec<_>>());
        idle.into_iter()
            .for_each(|slot| left[slot] = dims::row(site.rank(slot).unwrap_or(0), |axis| format!("~u{slot}_{axis}")));
        runs.into_iter().for_each(|slot| left[slot].clone_from(&own));
        right.push(own);
    }
    Some(AxisRule::new(format!("{} -> {}", left.join(", "), right.join(", "))).apart().why(WHY))
}

fn infer_loop(site: &Site) -> Result<Vec<Fact>, String> {
    let (first, between, states) = state_slots(site.call);
    let mut facts: Vec<Fact> =
        (0..states).map(|k| common(site, site.fact(first + k), site.fact(between + k))).collect();
    for (slot, axis) in (between + states..).zip(stacking(site.call, states)) {
        let mut shape = site.shape(slot).map(<[Dim]>::to_vec);
        if let Some(shape) = &mut shape {
            shape.insert(normalize_axis(axis, shape.len() + 1)?, site.unknown());
        }
        facts.push(Fact::maybe(site.dtype(slot), shape));
    }
    facts.truncate(site.call.results.len());
    Ok(facts)
}

fn loop_axes(site: &Site) -> Option<AxisRule> {
    let (first, between, states) = state_slots(site.call);
    let stacking = stacking(site.call, states);
    if between + states + stacking.len() > site.arity() {
        return None;
    }
    let mut left = vec!["_*".to_owned(); site.arity()];
    let mut right = vec![];
    for k in 0..states {
        let shapes = [site.shape(first + k), site.shape(between + k), site.result_shape(k)];
        let row = row(&format!("s{k}"), &shapes);
        (left[first + k], left[between + k]) = (row.clone(), row.clone());
        right.push(row);
    }
    for (slot, axis) in (between + states..).zip(stacking) {
        let (whole, slice) = scanned(&format!("s{slot}"), site.shape(slot), axis);
        left[slot] = slice;
        right.push(whole);
    }
    Some(AxisRule::new(format!("{} -> {}", left.join(", "), right.join(", "))).apart().why(WHY))
}
