//! Type inference: element type, shape and, for shape arithmetic, content of every value.
//!
//! Exporters compute shapes at run time (`Shape → Gather → Div → Concat → Reshape`). Inference evaluates these small
//! integer tensors with symbolic dimensions: their [`Content`](crate::facts::Content) is known although the batch stays open. What an
//! operator does to types stands in its rule ([`crate::ops`]); here is only the walk over the graph.

use crate::facts::{Contradiction, FLOAT_LIMIT, Fact, Facts, MOST_AXES, Unknowns};
use crate::ir::{DType, Dim, Graph, Model, Node, NodeId, Tensor, TensorType, Type};
use crate::ops::{self, Site};
use std::collections::HashMap;

/// Infers the facts of the main graph's values.
pub fn infer(model: &Model) -> Facts {
    infer_graph(model, &model.graph, &HashMap::new())
}

/// Infers the facts of a graph's values, given those of the values that it captures, by name.
pub(crate) fn infer_graph(model: &Model, graph: &Graph, outer: &HashMap<String, Fact>) -> Facts {
    walk(model, graph, outer, &HashMap::new(), &mut |_, _| true)
}

/// Infers the facts of the main graph's values, where inputs have these shapes in place of those that they declare.
/// `go_on` hears of each node with the facts so far, and ends the walk by `false`.
pub(crate) fn infer_sized(
    model: &Model,
    shapes: &HashMap<NodeId, Vec<Dim>>,
    go_on: &mut dyn FnMut(NodeId, &Facts) -> bool,
) -> Facts {
    walk(model, &model.graph, &HashMap::new(), shapes, go_on)
}

/// How many elements are evaluated in all: small files can ask for large tables, again and again.
const ALL_CONTENT: usize = 1 << 22;

fn walk(
    model: &Model,
    graph: &Graph,
    outer: &HashMap<String, Fact>,
    shapes: &HashMap<NodeId, Vec<Dim>>,
    go_on: &mut dyn FnMut(NodeId, &Facts) -> bool,
) -> Facts {
    let mut facts = Facts::default();
    let unknowns = Unknowns::of_inference();
    let declared = declared_types(graph);
    let (mut room, mut tables) = (ALL_CONTENT, Tables::new());
    for node in graph.topological() {
        let inferred = match graph.node(node) {
            Node::Input(i) if i.captured => vec![outer.get(&i.info.name).cloned().unwrap_or_default()],
            Node::Input(i) => {
                let declared = || i.info.ty.tensor().and_then(|t| t.shape.clone());
                vec![Fact::maybe(None, shapes.get(&node).cloned().or_else(declared))]
            }
            Node::Constant(c) => vec![of_constant(&c.tensor, &mut tables)],
            Node::Output(_) => continue,
            Node::Call(call) => {
                let site = Site::new(model, graph, node, call, &facts, &unknowns);
                let inferred = (ops::rule_of(model, call).infer)(&site);
                match inferred.and_then(|found| found.iter().try_for_each(possible).map(|()| found)) {
                    Ok(found) => found,
                    Err(what) => {
                        facts.contradictions.push(Contradiction { node, what });
                        vec![]
                    }
                }
            }
        };
        let mut inferred = inferred.into_iter();
        for value in graph.results(node) {
            let mut fact = inferred.next().unwrap_or_default();
            if let Some(ty) = declared.get(graph.value_name(value)) {
                refine(&mut fact, ty, &unknowns);
            }
            if possible(&fact).is_err() {
                // The file declares what no run has.
                fact = Fact { shape: None, content: None, ..fact };
            }
            if let (Some(content), Node::Call(_)) = (&fact.content, graph.node(node)) {
                match room.checked_sub(content.0.len()) {
                    Some(rest) => room = rest,
                    None => fact.content = None,
                }
            }
            facts.set(value, fact);
        }
        if !go_on(node, &facts) {
            break;
        }
    }
    facts
}

/// What is known of constants, by where their data lies: a constant with thousands of uses is split into as many.
type Tables = HashMap<(*const u8, DType, Vec<usize>), Fact>;

fn of_constant(tensor: &Tensor, known: &mut Tables) -> Fact {
    match tensor.raw() {
        Ok(data) if tensor.count() > FLOAT_LIMIT => {
            let key = (data.as_ptr(), tensor.dtype, tensor.shape.clone());
            known.entry(key).or_insert_with(|| Fact::of_tensor(tensor)).clone()
        }
        _ => Fact::of_tensor(tensor),
    }
}

/// Where a tensor has no elements, the product of its other lengths is no larger than this: no data vouches for them.
const MOST_OF_NONE: i64 = 1 << 20;

/// Says what is wrong with a shape that no tensor of a run has, so that rules may count on axes that are few, and on
/// lengths that are not negative and whose product is a number.
fn possible(fact: &Fact) -> Result<(), String> {
    let shape = fact.shape.as_deref().unwrap_or_default();
    if shape.len() > MOST_AXES {
        return Err(format!("a tensor of {} axes (at most {MOST_AXES} are followed)", shape.len()));
    }
    let mut elements = 1i64;
    for length in shape.iter().filter_map(Dim::fixed).filter(|&n| n != 0) {
        if length < 0 {
            return Err(format!("a dimension of {length}"));
        }
        elements = elements.checked_mul(length).ok_or("a tensor of more elements than can be counted")?;
    }
    if elements > MOST_OF_NONE && shape.contains(&Dim::Fixed(0)) {
        return Err("a tensor of long axes and no elements".into());
    }
    Ok(())
}

fn declared_types(graph: &Graph) -> HashMap<&str, &TensorType> {
    let mut types: HashMap<&str, &TensorType> = HashMap::new();
    let infos = graph.value_info.iter().chain(graph.nodes().into_iter().filter_map(|n| match graph.node(n) {
        Node::Input(i) => Some(&i.info),
        Node::Output(o) => Some(&o.info),
        _ => None,
    }));
    for info in infos {
        if let Type::Tensor(t) = &info.ty {
            types.insert(&info.name, t);
        }
    }
    types
}

/// Fills what inference left open from the declared type. Inferred numbers and symbols win: declarations go stale.
fn refine(fact: &mut Fact, declared: &TensorType, unknowns: &Unknowns) {
    fact.dtype = fact.dtype.or(Some(declared.dtype));
    let Some(shape) = &declared.shape else { return };
    let fresh = |d: &Dim| if d.has_unknown() { unknowns.fresh() } else { d.clone() };
    match &mut fact.shape {
        None => fact.shape = Some(shape.iter().map(fresh).collect()),
        Some(inferred) if inferred.len() == shape.len() => {
            for (mine, theirs) in inferred.iter_mut().zip(shape) {
                if mine.has_unknown() && !theirs.has_unknown() {
                    *mine = theirs.clone();
                }
            }
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of the value `y`, and what contradicts itself.
    fn found(lines: &str) -> (Option<Vec<Dim>>, Vec<String>) {
        let text = format!("<ir_version: 10, opset_import: [\"\" : 20]>\n{lines}");
        let model = crate::ir::parse(&text, &|_| None).unwrap();
        let facts = infer(&model);
        let shape = facts.shape(model.graph.values_by_name()["y"]).map(<[Dim]>::to_vec);
        (shape, facts.contradictions.into_iter().map(|c| c.what).collect())
    }

    #[test]
    fn what_is_evaluated_is_bounded() {
        let known = |lines: &str| {
            let text = format!("<ir_version: 10, opset_import: [\"\" : 20]>\n{lines}");
            let model = crate::ir::parse(&text, &|_| None).unwrap();
            infer(&model).get(model.graph.values_by_name()["y"]).content.is_some()
        };
        let sum = |operands: usize| {
            let all = vec!["t"; operands].join(", ");
            let fill = "i64[1] n = {1024} t = ConstantOfShape<value=i64[1] {1}>(n)";
            known(&format!("g () => (i64[1024] y) {{ {fill} y = Sum({all}) }}"))
        };
        assert_eq!((sum(8), sum(9)), (true, false));
        let powers = |times: usize| {
            let fill = "i64[1] n = {500} s = Shape(x) e = Expand(s, n)";
            let lines: String = (0..times).map(|i| format!(" e{} = Mul(e{}, e)", i + 1, i)).collect();
            known(&format!("g (f32[a] x) => (i64[500] y) {{ {fill} e0 = Identity(e) {lines} y = Identity(e{times}) }}"))
        };
        assert_eq!((powers(1), powers(20)), (true, false));
    }

    #[test]
    fn no_tensor_of_a_run_is_like_that() {
        let ones = |count: usize| vec!["1"; count].join(",");
        let expand = |shape: &str, count: usize| {
            let fill = format!("i64[1] s = {{{count}}} t = ConstantOfShape<value=i64[1] {{1}}>(s)");
            found(&format!("g (f32[{shape}] x) => (f32[..] y) {{ {fill} y = Expand(x, t) }}"))
        };
        let many = MOST_AXES + 1;
        assert_eq!(expand("3", MOST_AXES).0.map(|s| s.len()), Some(MOST_AXES));
        assert_eq!(expand("3", many), (None, vec![format!("a tensor of {many} axes (at most 64 are followed)")]));
        // What is declared is no contradiction of an operator.
        assert_eq!(found(&format!("g (f32[{}] x) => (f32[..] y) {{ y = Relu(x) }}", ones(many))), (None, vec![]));
        let resize = |sizes: &str| {
            let resize = "y = Resize(x, _, _, s)";
            found(&format!("g (f32[1,4] x) => (f32[..] y) {{ i64[2] s = {{{sizes}}} {resize} }}"))
        };
        assert_eq!(resize("1,-9223372036854775808"), (None, vec!["a dimension of -9223372036854775808".into()]));
        let most = format!("{0},{0}", i64::MAX);
        assert_eq!(resize(&most), (None, vec!["a tensor of more elements than can be counted".into()]));
        assert_eq!(resize("0,9").0, Some(vec![Dim::Fixed(0), Dim::Fixed(9)]));
        assert_eq!(resize("0,1000000000000"), (None, vec!["a tensor of long axes and no elements".into()]));
    }
}
