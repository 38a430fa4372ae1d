use super::super::{Attribute, Call, DType, Graph, Model, Node, Payload, Tensor, Use, ValueId, parse, verify};

fn read(text: &str) -> Model {
    parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn complaints(model: &Model) -> String {
    verify(model).iter().map(|v| v.to_string()).collect::<Vec<_>>().join("\n")
}

/// The first result of the node with this label.
fn value(graph: &Graph, name: &str) -> ValueId {
    graph.values_by_name()[name]
}

fn slot(graph: &Graph, result: &str, slot: u16) -> Use {
    Use { node: value(graph, result).node, slot }
}

const NET: &str = "m (x) => (y) { f32[2] w = {1, 2} a = Mul(x, w) y = Relu(a) }";

#[test]
fn a_sound_model_has_no_violations() {
    let text = "m (x, c) => (y) { f32[2] w = {1, 2} f32[9] s @sparse(00) _, a = Mul(x, _, w)
        y = If<then_branch=t () => (r) { r = Neg(a) }, else_branch=e () => (r) { r = Abs(a) }>(c) }";
    assert_eq!(complaints(&read(text)), "");
}

#[test]
fn a_wire_begins_at_a_result() {
    let mut model = read(NET);
    let mut from = value(&model.graph, "a");
    from.port = 3;
    model.graph.connect(from, slot(&model.graph, "y", 0));
    insta::assert_snapshot!(complaints(&model), @"
    operand 0 is result 3 of `a`, which has 1
      y = Relu(<no result 3 of a>)
               ^~~~~~~~~~~~~~~~~~
    ");
}

#[test]
fn a_wire_ends_at_a_slot() {
    let mut model = read(NET);
    let x = value(&model.graph, "x");
    model.graph.connect(x, slot(&model.graph, "y", 1));
    model.graph.connect(x, slot(&model.graph, "w", 0));
    insta::assert_snapshot!(complaints(&model), @"
    a value is connected to slot 0, but there are 0
      f32[2] w = {1.0, 2.0}
    a value is connected to slot 1, but there are 1
      y = Relu(a | x)
                   ^
    ");
}

#[test]
fn a_slot_holds_one_wire() {
    let mut model = read(NET);
    let x = value(&model.graph, "x");
    let to = slot(&model.graph, "a", 1);
    model.graph.connect_too(x, to);
    insta::assert_snapshot!(complaints(&model), @"
    slot 1 holds more than one value
      a = Mul(x, w)
                 ^
    ");
}

#[test]
fn outputs_and_captures_are_connected() {
    let model = read("m (x, c) => (y, z = _) { y = If<then_branch=t (captured k = _) => (k) {}>(c) }");
    insta::assert_snapshot!(complaints(&model), @"
    a subgraph captures `k`, but no value is connected for it
      y = If<then_branch=t {...}>(c)
    an output without a value
      => (z = _)
    ");
}

#[test]
fn nothing_depends_on_itself() {
    let model = read("m (x) => (d) { a = Add(x, b) b = Relu(a) c = Neg(b) d = Neg(c) }");
    insta::assert_snapshot!(complaints(&model), @"
    operand 1 is on a cycle: it depends on this call's result
      a = Add(x, b)
                 ^
    operand 0 is on a cycle: it depends on this call's result
      b = Relu(a)
               ^
    ");
}

#[test]
fn values_have_names_of_their_own() {
    let mut model = read("m (x, _) => (y) { %0 = Neg(x) a = Abs(%0) b, _ = Split(a) y = Add(a, b) }");
    let b = value(&model.graph, "b").node;
    model.graph.call_mut(b).expect("a call").results[0] = "a".into();
    insta::assert_snapshot!(complaints(&model), @"
    result 0 has no name
      _
    result 0 has no name
      %0 = Neg(x)
    another value is called `a` too
      %1, _ = Split(a)
    ");
}

#[test]
fn outputs_have_names_of_their_own() {
    // The same value twice is none of them: exporters write it, and runtimes take it.
    let model = read("m (x, z) => (x, x, x = z, _ = x) {}");
    insta::assert_snapshot!(complaints(&model), @"
    another output is called `x` too
      => (x = z)
    an output without a name
      => (_ = x)
    ");
}

#[test]
fn data_fits_type_and_shape() {
    let mut model = read("m (f32[2] d = {1, 2}) => () { f32[2] w = {1, 2} string[1] s = {\"\"} Op<t=i64[1] {1}>() }");
    let bad = |dtype| Tensor { dtype, ..Tensor::from_f32(vec![1], &[0.0]) };
    let graph = &mut model.graph;
    let Node::Input(input) = graph.node_mut(graph.inputs()[0]) else { panic!("an input") };
    input.default = Some(bad(DType::F64));
    let [w, s] = graph.constants()[..] else { panic!("two constants") };
    graph.constant_mut(w).expect("a constant").tensor.payload = Payload::Strings(vec![]);
    graph.constant_mut(s).expect("a constant").tensor.payload = Payload::Strings(vec![]);
    let call = graph.call_mut(graph.calls()[0]).expect("a call");
    call.attributes["t"] = Attribute::Tensors(vec![bad(DType::F32), bad(DType::U8), bad(DType::String)]);
    let whats: Vec<String> = verify(&model).into_iter().map(|v| v.what).collect();
    insta::assert_snapshot!(whats.join("\n"), @"
    the default: f64[1] needs 8 bytes of data but has 4
    the constant: strings in a tensor of f32
    the constant: string[1] needs 1 strings but has 0
    attribute `t`: u8[1] needs 1 bytes of data but has 4
    attribute `t`: raw data in a tensor of strings
    ");
}

#[test]
fn only_subgraphs_capture() {
    let mut model = read("m (captured f32[1] x = _, c) => () {}");
    let captured = model.graph.captures()[0];
    let Node::Input(input) = model.graph.node_mut(captured) else { panic!("an input") };
    input.default = Some(Tensor::from_f32(vec![1], &[0.0]));
    insta::assert_snapshot!(complaints(&model), @"
    the main graph captures a value, but there is no graph around it
      captured f32[1] x
    a captured input has a default
      captured f32[1] x
    ");
}

#[test]
fn a_call_has_an_operator_and_a_size() {
    let mut model = Model::default();
    let results = vec![String::new(); 65_536];
    model.graph.add(Node::Call(Box::new(Call { results, ..Call::default() })));
    let whats: Vec<String> = verify(&model).into_iter().map(|v| v.what).collect();
    assert_eq!(whats, ["a call without an operator", "0 operands and 65536 results, but 65535 are the most"]);
}

#[test]
fn subgraphs_are_verified_too() {
    let model = read(
        "m (c) => (y) { y = If<then_branch=t () => (r) {
           r = Loop<body=b () => (o = _) {}>(c)
         }>(c) }",
    );
    insta::assert_snapshot!(complaints(&model), @"
    an output without a value
      in `body` of `r`, in `then_branch` of `y`
      => (o = _)
    ");
}
