//! A part of a model as a model of its own: from values that are given to values that are wanted.
//!
//! Only the nodes between go with it: calls with their subgraphs and what these capture, and constants. Names, operator
//! sets and local functions stay, so a value of the part is found by the name that it has in the whole.

use super::{Call, Graph, Input, Model, Node, NodeId, TensorType, Type, Use, ValueId, ValueInfo};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Why a part can't be taken out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PartError {
    #[error("the part needs the input `{0}`, which is not given")]
    NotGiven(String),
    #[error("a result of `{0}` has no name, so it can't be an output")]
    Unnamed(String),
}

impl Model {
    /// What computes some values from others: those given become inputs of these types, as far as they are needed,
    /// those wanted become outputs, both in the order of the lists.
    pub fn part(&self, given: &[(ValueId, TensorType)], wanted: &[ValueId]) -> Result<Model, PartError> {
        let known: HashMap<ValueId, &TensorType> = given.iter().map(|(v, ty)| (*v, ty)).collect();
        let Between { nodes, entering } = self.graph.between(&|v| known.contains_key(&v), wanted);
        let missing = nodes.iter().find_map(|&n| match self.graph.node(n) {
            Node::Input(input) if input.default.is_none() || input.captured => Some(input.info.name.clone()),
            _ => None,
        });
        if let Some(name) = missing {
            return Err(PartError::NotGiven(name));
        }
        let (mut graph, copies) = self.graph.part(nodes.iter().copied());
        graph.name = self.graph.name.clone();
        hide(&mut graph, &copies, &entering);
        let mut at: HashMap<ValueId, ValueId> = HashMap::new();
        for (value, ty) in given.iter().filter(|(v, _)| entering.contains(v)) {
            if at.contains_key(value) {
                continue;
            }
            let info = ValueInfo::new(self.graph.value_name(*value), Type::Tensor(ty.clone()));
            let node = graph.add(Node::Input(Input { info, captured: false, default: None }));
            at.insert(*value, ValueId { node, port: 0 });
        }
        for (&node, &copy) in nodes.iter().filter_map(|n| copies.get_key_value(n)) {
            for (slot, value) in self.graph.operands(node).into_iter().enumerate() {
                if let Some(&input) = value.and_then(|v| at.get(&v)) {
                    graph.connect(input, Use { node: copy, slot: slot as u16 });
                }
            }
        }
        let mut seen = HashSet::new();
        for &value in wanted.iter().filter(|v| seen.insert(**v)) {
            let name = self.graph.value_name(value).to_owned();
            if name.is_empty() {
                return Err(PartError::Unnamed(self.graph.label(value.node).to_owned()));
            }
            let inner = at.get(&value).copied().or_else(|| Some(ValueId { node: *copies.get(&value.node)?, ..value }));
            let ty = known.get(&value).map_or(Type::Other, |ty| Type::Tensor((*ty).clone()));
            inner.into_iter().for_each(|v| _ = graph.add_output(v, ValueInfo::new(name.clone(), ty.clone())));
        }
        let names: HashSet<&str> =
            copies.values().flat_map(|&n| graph.results(n)).map(|v| graph.value_name(v)).collect();
        let declared = self.graph.value_info.iter().filter(|info| names.contains(info.name.as_str()));
        graph.value_info = declared.cloned().collect();
        let (ir_version, opsets, functions) = (self.ir_version, self.opsets.clone(), self.functions.clone());
        Ok(Model { ir_version, opsets, functions, graph, ..Model::default() })
    }
}

/// What lies between values that are at hand and values that are wanted.
pub struct Between {
    /// The nodes that have to be run, with constants and inputs that are not at hand.
    pub nodes: BTreeSet<NodeId>,
    /// The values at hand that they read, or that are wanted themselves.
    pub entering: BTreeSet<ValueId>,
}

impl Graph {
    /// What has to be run for these values, and what of those at hand that takes.
    pub fn between(&self, at_hand: &dyn Fn(ValueId) -> bool, wanted: &[ValueId]) -> Between {
        let mut cut = Between { nodes: BTreeSet::new(), entering: BTreeSet::new() };
        let mut waiting = wanted.to_vec();
        while let Some(value) = waiting.pop() {
            if at_hand(value) {
                cut.entering.insert(value);
            } else if cut.nodes.insert(value.node) {
                waiting.extend(self.operands(value.node).into_iter().flatten());
            }
        }
        cut
    }
}

/// Gives results that are inputs of the part, and made by a node that runs in it all the same, names of their own.
fn hide(graph: &mut Graph, copies: &HashMap<NodeId, NodeId>, entering: &BTreeSet<ValueId>) {
    let twice: Vec<(NodeId, u16)> = entering.iter().filter_map(|v| Some((*copies.get(&v.node)?, v.port))).collect();
    if twice.is_empty() {
        return;
    }
    let mut taken = graph.all_names();
    for (node, port) in twice {
        let name = graph.fresh_name("unused", &mut taken);
        if let Some(Call { results, .. }) = graph.call_mut(node) {
            results[usize::from(port)] = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{DType, Dim, parse, print, verify};

    const NET: &str = "g (f32[N,4] x, f32[N,4] z) => (y, s) {
        f32[4,4] w = {1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0}
        f32[2] k = {1.0, 2.0}
        a = MatMul(x, w)
        b = Relu(a)
        p, q = Split<axis=1,num_outputs=2>(b)
        c = Mul(p, k)
        d = Add(c, q)
        s = Sub(z, b)
        e = Neg(d)
        y = Exp(e)
    }";

    fn model(text: &str) -> Model {
        parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn part(model: &Model, given: &[&str], wanted: &[&str]) -> Result<Model, PartError> {
        let named = model.graph.values_by_name();
        let ty = || TensorType::new(DType::F32, vec![Dim::Fixed(3), Dim::Fixed(2)]);
        let given: Vec<_> = given.iter().map(|name| (named[*name], ty())).collect();
        let part = model.part(&given, &wanted.iter().map(|name| named[*name]).collect::<Vec<_>>())?;
        assert!(verify(&part).is_empty(), "{}", print(&part));
        Ok(part)
    }

    #[test]
    fn only_what_lies_between_is_taken() {
        let part = part(&model(NET), &["b", "q"], &["d", "c"]).unwrap();
        insta::assert_snapshot!(print(&part), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[3,2] b, f32[3,2] q) => (d, c) {
          f32[2] k = {1.0, 2.0}
          p, unused_0 = Split<axis=1, num_outputs=2>(b)
          c = Mul(p, k)
          d = Add(c, q)
        }
        "#);
    }

    #[test]
    fn what_is_wanted_may_be_given_and_what_is_given_may_be_left() {
        let model = model(NET);
        let part = part(&model, &["b", "z", "e"], &["s", "b"]).unwrap();
        let names = |nodes: Vec<NodeId>| nodes.into_iter().map(|n| part.graph.label(n)).collect::<Vec<_>>();
        assert_eq!((names(part.graph.inputs()), names(part.graph.outputs())), (vec!["b", "z"], vec!["s", "b"]));
    }

    #[test]
    fn an_input_that_is_not_given_is_named() {
        assert_eq!(part(&model(NET), &["b"], &["s"]).unwrap_err(), PartError::NotGiven("z".into()));
    }

    #[test]
    fn captures_go_along() {
        let model = model(
            "g (bool c, f32[2] x) => (y) {
                a = Neg(x)
                r = Relu(x)
                b = If<then_branch = t () => (p) { p = Add(a, r) }, else_branch = e () => (q) { q = Neg(r) }>(c)
                y = Exp(b)
            }",
        );
        let part = part(&model, &["c", "a", "x"], &["b"]).unwrap();
        insta::assert_snapshot!(print(&part), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[3,2] c, f32[3,2] a, f32[3,2] x) => (b) {
          r = Relu(x)
          b = If<
            then_branch=t (captured a, captured r) => (p) {
              p = Add(a, r)
            },
            else_branch=e (captured r) => (q) {
              q = Neg(r)
            }
          >(c)
        }
        "#);
    }

    #[test]
    fn far_slots_are_found_in_a_part() {
        let operands = (0..9).map(|i| format!("a{i}")).collect::<Vec<_>>();
        let lines: String = operands.iter().map(|a| format!("{a} = Neg(x)\n")).collect();
        let model = model(&format!("g (f32[2] x) => (y) {{ {lines} y = Sum({}) }}", operands.join(", ")));
        let part = part(&model, &["a7"], &["y"]).unwrap_err();
        assert_eq!(part, PartError::NotGiven("x".into()));
        let part = self::part(&model, &["a7", "x"], &["y"]).unwrap();
        let sum = part.graph.values_by_name()["y"].node;
        let names = (0..9).map(|k| part.graph.value_name(part.graph.operand(sum, k).unwrap()));
        assert!(names.eq(operands.iter().map(String::as_str)));
    }
}
