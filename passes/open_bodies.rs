//! `open-bodies` puts the bodies of If, Loop and Scan into the graph around them.
//!
//! ```text
//! y = If<then_branch = t () => (a) {             a = MatMul(x, w)
//!     a = MatMul(x, w)                           b = Relu(x)
//! }, else_branch = e () => (b) {        →        y = secateur.body.If<then_branch = …, else_branch = …>(c, a, b)
//!     b = Relu(x)
//! }>(c)
//! ```
//!
//! So all analyses and passes see one graph. The nodes remember which body they are from (`Graph::region`), and
//! `close-bodies` puts them back. In between, boundaries say how the axes outside and inside hang together, and what
//! one iteration hands to the next ([`crate::ops::body`]). Exact, once the bodies are closed again; a model with open
//! bodies is not written.
//!
//! What an iteration hands to the next is inferred by assuming that it has the type that it begins with. Where the body
//! returns another length, the length is taken to change, and everything is inferred anew, until the assumption holds.
//!
//! A call stays closed if its bodies do not fit it, or if the report could not say of a captured constant where it is
//! used.

use super::assume;
use super::bodies::{Names, bring_in, can_come_in, declare, hand_over_captures};
use super::fold_if::FoldIf;
use super::inline_functions::InlineFunctions;
use super::{Change, Context, Pass, PassError};
use crate::facts::Facts;
use crate::infer;
use crate::ir::{Attribute, BODY_DOMAIN, Call, Graph, Model, Node, NodeId, Use, ValueId};
use crate::ops::body::{self, AXES, BodyLayout, CHANGING, ENTER, REGIONS, STATES};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) struct OpenBodies;

impl Pass for OpenBodies {
    fn name(&self) -> &'static str {
        "open-bodies"
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let mut waiting = model.graph.calls();
        if !waiting.iter().any(|&n| openable(model, n).is_some()) {
            return Ok(Change(0));
        }
        waiting.reverse();
        let (mut names, mut opened) = (Names::of(model), 0);
        let mut regions = 1 + model.graph.nodes().into_iter().map(|n| model.graph.region(n)).max().unwrap_or(0);
        while let Some(node) = waiting.pop() {
            if let Some(layout) = openable(model, node) {
                let came = open(&mut model.graph, node, layout, &mut names, &mut regions);
                waiting.extend(came.into_iter().rev());
                opened += 1;
            }
        }
        settle(model);
        assume::assume(model);
        Ok(Change(opened))
    }
}

/// The model with all that it computes in its main graph, as far as that can be: functions, conditions and bodies.
pub fn opened(model: &Model) -> Cow<'_, Model> {
    let has_graphs = |n: NodeId| model.graph.call(n).is_some_and(|c| c.graphs().next().is_some());
    if model.functions.is_empty() && !model.graph.calls().into_iter().any(has_graphs) {
        return Cow::Borrowed(model);
    }
    let (mut whole, mut context) = (model.clone(), Context::default());
    let passes: [&dyn Pass; 3] = [&InlineFunctions, &FoldIf, &OpenBodies];
    // What fails leaves a call as it is.
    passes.into_iter().for_each(|pass| _ = pass.run(&mut whole, &mut context));
    Cow::Owned(whole)
}

fn openable(model: &Model, node: NodeId) -> Option<BodyLayout> {
    let call = model.graph.call(node).filter(|c| !model.is_local(c) && c.graphs().next().is_some())?;
    let layout = body::layout(call, model.opset(""))?;
    // What enters and what each body returns are operands then.
    let operands = usize::from(call.arity) + call.graphs().map(|g| g.outputs().len()).sum::<usize>();
    u16::try_from(operands).ok()?;
    can_come_in(&model.graph, node).then_some(layout)
}

/// Opens all bodies of a call; returns the calls in them.
fn open(graph: &mut Graph, node: NodeId, layout: BodyLayout, names: &mut Names, regions: &mut u32) -> Vec<NodeId> {
    hand_over_captures(graph, node);
    let count = graph.call(node).map_or(0, |c| c.graphs().count());
    graph.call(node).into_iter().for_each(|c| names.release(c));
    let first = *regions;
    let enter = layout.enters.then(|| add_enter(graph, node, layout, names));
    let inputs: Vec<ValueId> = enter.into_iter().flat_map(|n| graph.results(n)).collect();
    let listed = graph.call(node).map_or(0, |c| usize::from(c.arity));
    let mut operands = match enter {
        Some(_) => inputs.iter().copied().map(Some).collect(),
        None => (0..listed).map(|slot| graph.operand(node, slot)).collect::<Vec<_>>(),
    };
    let mut came = vec![];
    for which in 0..count {
        let (nodes, returned) = bring_in(graph, node, which, &inputs, names);
        nodes.iter().for_each(|&n| graph.set_region(n, *regions));
        came.extend(nodes.into_iter().filter(|&n| graph.call(n).is_some()));
        operands.extend(returned);
        *regions += 1;
    }
    let numbers = (first..*regions).map(i64::from).collect();
    become_boundary(graph, node, operands, numbers);
    came
}

/// Adds the call that makes a body's inputs from the operands of the call that has the body.
fn add_enter(graph: &mut Graph, node: NodeId, layout: BodyLayout, names: &mut Names) -> NodeId {
    let Some(call) = graph.call(node) else { return node };
    let infos: Vec<_> = call.graphs().flat_map(|g| g.inputs().into_iter().map(move |n| (g, n))).collect();
    let mut infos: Vec<_> = infos
        .into_iter()
        .filter_map(|(g, n)| match g.node(n) {
            Node::Input(input) => Some(input.info.clone()),
            _ => None,
        })
        .collect();
    for info in &mut infos {
        info.name = names.fresh(&info.name);
    }
    let mut enter = Call::new(ENTER);
    enter.domain = BODY_DOMAIN.to_owned();
    enter.arity = call.arity;
    enter.results = infos.iter().map(|i| i.name.clone()).collect();
    enter.attributes = layout.attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let operands: Vec<Option<ValueId>> = graph.operands(node).into_iter().take(call.arity.into()).collect();
    let enter = graph.add_before(node, Node::Call(Box::new(enter)));
    for (slot, value) in operands.into_iter().enumerate() {
        if let Some(value) = value {
            graph.connect(value, Use { node: enter, slot: slot as u16 });
        }
    }
    declare(graph, infos.into_iter());
    enter
}

/// Makes the call the end of its bodies: of these, only the interface is left in it.
fn become_boundary(graph: &mut Graph, node: NodeId, operands: Vec<Option<ValueId>>, regions: Vec<i64>) {
    for slot in (0..graph.operands(node).len()).rev() {
        graph.disconnect(Use { node, slot: slot as u16 });
    }
    if let Some(call) = graph.call_mut(node) {
        call.domain = BODY_DOMAIN.to_owned();
        call.arity = operands.len() as u16;
        call.attributes.values_mut().flat_map(|a| a.graphs_mut()).for_each(|g| *g = interface(g));
        call.attributes.insert(REGIONS.to_owned(), Attribute::Ints(regions));
    }
    for (slot, value) in operands.into_iter().enumerate() {
        if let Some(value) = value {
            graph.connect(value, Use { node, slot: slot as u16 });
        }
    }
}

/// A graph that has the inputs and outputs of a body and nothing else: what it returns comes from inputs of its own.
fn interface(body: &Graph) -> Graph {
    let mut shell = Graph::default();
    (shell.name, shell.extra) = (body.name.clone(), body.extra.clone());
    for node in body.inputs() {
        shell.add(body.node(node).clone());
    }
    for (k, node) in body.outputs().into_iter().enumerate() {
        let Node::Output(output) = body.node(node) else { continue };
        let mut info = output.info.clone();
        info.name = format!("{k} {}", info.name);
        let input = crate::ir::Input { info: info.clone(), captured: false, default: None };
        let value = ValueId { node: shell.add(Node::Input(input)), port: 0 };
        shell.add_output(value, info);
    }
    shell
}

/// Rounds after which a carried value that still changes is said to be of any shape.
const ROUNDS: usize = 8;

/// Finds out which lengths of carried values change from one iteration to the next.
fn settle(model: &mut Model) {
    for round in 0.. {
        let facts = infer::infer(model);
        let carried = body::carried(&model.graph);
        let mut stable = true;
        for (before, after) in carried {
            let mut changes = changing(&facts, before, after);
            if round >= ROUNDS && !changes.is_empty() {
                changes = vec![-1];
            }
            stable &= !add_changes(&mut model.graph, before, &changes);
        }
        if stable {
            return;
        }
    }
}

/// The axes whose length an iteration may change; -1 where that can't be said by axis.
fn changing(facts: &Facts, before: ValueId, after: ValueId) -> Vec<i64> {
    match (facts.shape(before), facts.shape(after)) {
        (None, _) => vec![],
        (Some(b), Some(a)) if a.len() == b.len() => {
            (0..a.len() as i64).filter(|&i| a[i as usize] != b[i as usize]).collect()
        }
        _ => vec![-1],
    }
}

/// Writes down which axes of a carried value change; whether that is news.
fn add_changes(graph: &mut Graph, state: ValueId, axes: &[i64]) -> bool {
    let Some(call) = graph.call_mut(state.node) else { return false };
    let first = if call.has(AXES) { 0 } else { call.results.len() as i64 - call.int(STATES, 0) };
    let number = i64::from(state.port) - first;
    let known: BTreeSet<(i64, i64)> =
        call.ints(CHANGING).unwrap_or_default().chunks_exact(2).map(|p| (p[0], p[1])).collect();
    let mut all = known.clone();
    all.extend(axes.iter().map(|&axis| (number, axis)));
    let list = all.iter().flat_map(|&(k, axis)| [k, axis]).collect();
    call.attributes.insert(CHANGING.to_owned(), Attribute::Ints(list));
    all != known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::Axes;
    use crate::ir;
    use crate::passes::tests::nothing_to_do;
    use crate::passes::{Pipeline, Settings};
    use crate::{axes, load};

    fn opened(text: &str) -> (Model, Facts, Axes) {
        let mut model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        "open-bodies".parse::<Pipeline>().unwrap().run(&mut model, Settings::default()).unwrap();
        let facts = infer::infer(&model);
        let axes = axes::analyze(&model, &facts);
        (model, facts, axes)
    }

    fn shape(text: &str, value: &str) -> String {
        let (model, facts, _) = opened(text);
        let shape = facts.shape(model.graph.values_by_name()[value]);
        shape.map_or("?".into(), |s| format!("{:?}", s.iter().map(|d| d.fixed()).collect::<Vec<_>>()))
    }

    /// Whether what a loop carries along `w`'s second axis may be cut, where the sum over it is an output.
    fn is_exact(start: &str, step: &str) -> bool {
        let text = format!(
            "g (f32[2,3] x) => (f32[2] y) {{
            f32[3,4] w = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
            f32[4,4] v = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
            i64 n = {{3}}
            a = MatMul(x, w)
            h0 = {start}(a)
            h1 = Loop<body = b (i, c, h) => (d, h2) {{ d = Identity(c) m = MatMul(h, v) {step} }}>(n, _, h0)
            i64[1] axes = {{1}}
            y = ReduceSum<keepdims = 0>(h1, axes)
        }}"
        );
        let (model, _, axes) = opened(&text);
        let groups = crate::axes::Groups::collect(&model.graph, &axes);
        let group = groups.all.iter().find(|g| g.size == 4).expect("the carried axis");
        assert!(group.is_free(), "{:?}", group.pins);
        group.is_exact()
    }

    #[test]
    fn carried_zeros_have_to_last() {
        assert!(is_exact("Relu", "h2 = Add(h, m)"));
        assert!(is_exact("Relu", "h2 = Tanh(m)"));
        assert!(!is_exact("Sigmoid", "h2 = Add(h, m)"));
        assert!(!is_exact("Sigmoid", "h2 = Tanh(m)"), "there may be no iteration at all");
        assert!(!is_exact("Relu", "h2 = Sigmoid(m)"));
        assert!(!is_exact("Relu", "t = Exp(h) h2 = Add(t, m)"));
    }

    #[test]
    fn lengths_that_change_are_not_known() {
        let grow = |step: &str| {
            format!(
                "g (f32[2,3] x, i64 n) => (f32[..] y) {{
            y = Loop<body = b (i, c, h) => (d, h2) {{ d = Identity(c) {step} }}>(n, _, x)
        }}"
            )
        };
        assert_eq!(shape(&grow("h2 = Relu(h)"), "y"), "[Some(2), Some(3)]");
        assert_eq!(shape(&grow("h2 = Concat<axis = 0>(h, x)"), "y"), "[None, Some(3)]");
        assert_eq!(shape(&grow("h2 = Transpose(h)"), "y"), "[None, None]");
        assert_eq!(shape(&grow("i64[1] a = {0} h2 = Unsqueeze(h, a)"), "y"), "?");
    }

    #[test]
    fn what_is_opened_closes_as_it_was() {
        for name in ["branches", "loop", "scan", "if_capture"] {
            let mut model = load::load(format!("fixtures/odd/{name}.onnx").as_ref()).unwrap();
            let before = ir::print(&model);
            let pipeline: Pipeline = "open-bodies,close-bodies,merge-constants".parse().unwrap();
            let report = pipeline.run(&mut model, Settings::default()).unwrap();
            assert!(report.change().happened());
            assert_similar(&before, &ir::print(&model), name);
        }
    }

    /// Counts of operators are the same, in all graphs; names may differ.
    fn assert_similar(before: &str, after: &str, name: &str) {
        let count = |text: &str, op: &str| text.matches(op).count();
        for op in [" = Conv", " = If", " = Loop", " = Scan", " = MatMul", " = Add", "captured "] {
            assert_eq!(count(before, op), count(after, op), "{name}: {op}\n{before}\n{after}");
        }
    }

    #[test]
    fn a_branch_goes_out_and_back() {
        let text = "g (bool c, f32[1,2] x) => (f32[1,2] y) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            y = If<
                then_branch = t () => (a) { f32[2] b = {1.0, 2.0} m = MatMul(x, w) a = Add(m, b) },
                else_branch = e () => (a) { f32[2] b = {3.0, 4.0} m = MatMul(x, w) a = Mul(m, b) }
            >(c)
        }";
        let (mut model, _, _) = opened(text);
        insta::assert_snapshot!(ir::print(&model), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool[] c, f32[1,2] x) => (f32[1,2] y) {
          f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
          f32[2] b = {1.0, 2.0}
          m = MatMul(x, w)
          a = Add(m, b)
          f32[2] b_0 = {3.0, 4.0}
          m_0 = MatMul(x, w)
          a_0 = Mul(m_0, b_0)
          y = secateur.body.If<
            then_branch=t ("0 a") => ("0 a") {
            },
            else_branch=e ("0 a") => ("0 a") {
            },
            regions=[1,2]
          >(c, a, a_0)
        }
        "#);
        "close-bodies".parse::<Pipeline>().unwrap().run(&mut model, Settings::default()).unwrap();
        insta::assert_snapshot!(ir::print(&model), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool[] c, f32[1,2] x) => (f32[1,2] y) {
          f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
          y = If<
            then_branch=t (captured x, captured w) => (a) {
              f32[2] b = {1.0, 2.0}
              m = MatMul(x, w)
              a = Add(m, b)
            },
            else_branch=e (captured x, captured w) => (a_0) {
              f32[2] b_0 = {3.0, 4.0}
              m_0 = MatMul(x, w)
              a_0 = Mul(m_0, b_0)
            }
          >(c)
        }
        "#);
    }

    /// An If that squeezes an axis or not, in front of a call that takes two axes.
    fn squeezed(rest: &str) -> String {
        format!(
            "g (f32[n,3,k] x) => (f32[..] y) {{
            i64 two = {{2}}  i64 one = {{1}}  i64[1] axis = {{2}}
            s = Shape(x)
            d = Gather(s, two)
            c = Equal(d, one)
            z = If<then_branch = t () => (a) {{ a = Squeeze(x, axis) }}, else_branch = e () => (b) {{ b = Relu(x) }}>(c)
            {rest}
        }}"
        )
    }

    #[test]
    fn what_follows_decides_a_rank() {
        let weight = "f32[3,4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}";
        assert_eq!(shape(&squeezed(&format!("{weight} y = Gemm(z, w)")), "y"), "[None, Some(4)]");
        assert_eq!(shape(&squeezed("y = Relu(z)"), "y"), "?", "both branches can run");
        // It may never run itself.
        let guarded = "f32[3,4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
            y = If<then_branch = t () => (p) { p = Gemm(z, w) }, else_branch = e () => (q) { q = Relu(z) }>(c)";
        assert_eq!(shape(&squeezed(guarded), "z"), "?");
    }

    #[test]
    fn more_results_than_a_call_can_have_operands_stay_closed() {
        let body = |name: &str| {
            let calls: String = (0..33_000).map(|k| format!("{name}{k} = Relu(x)\n")).collect();
            let results: Vec<String> = (0..33_000).map(|k| format!("{name}{k}")).collect();
            format!("{name} () => ({}) {{ {calls} }}", results.join(", "))
        };
        let results: Vec<String> = (0..33_000).map(|k| format!("r{k}")).collect();
        let call = format!("If<then_branch = {}, else_branch = {}>(c)", body("t"), body("e"));
        let text = format!("g (bool c, f32[2] x) => (f32[2] y) {{ {} = {call} y = Relu(r32999) }}", results.join(", "));
        let mut model = ir::parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        let pipeline: Pipeline = "open-bodies".parse().unwrap();
        assert!(!pipeline.run(&mut model, Settings::default()).unwrap().change().happened());
    }

    #[test]
    fn what_does_not_fit_stays_closed() {
        nothing_to_do(
            "open-bodies",
            "g (bool c, f32[2] x) => (f32[2] y, f32[2] z) {
                y, z = If<then_branch = t () => (a) { a = Relu(x) }, else_branch = e () => (b) { b = Neg(x) }>(c)
            }",
        );
    }
}
