use super::super::{
    Attribute, Call, Constant, DType, Dim, Form, Graph, Input, Model, Node, Origin, Output, Payload, Printer, Store,
    Tensor, TensorType, Type, Use, ValueInfo, parse, print, print_line,
};
use super::ParseError;
use proptest::prelude::*;

/// Reads a text of which no tensor is at hand.
fn read(text: &str) -> Model {
    parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn error(text: &str) -> ParseError {
    parse(text, &|_| None).expect_err("the text has an error")
}

/// Asserts that a text is what its model prints as.
#[track_caller]
fn assert_same(text: &str) {
    assert_eq!(print(&read(text)), text);
}

#[test]
fn a_net_prints_as_it_was_read() {
    assert_same(
        r#"<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1], metadata_props: ["k" : "v"], functions: ["f" : "g"]>
main (f32[batch,1,8,8] input, i64[] n = {3}, f32[..] any) => (f32[batch,10] logits) <
  f32[batch,16,8,8] y,
  f32[-1+2*n,floor(1+n / 2),?7,"a-b"] z
> {
  f32[16,1,3,3] w1 #a1b2c3d4e5f60718
  f32[10,1024] w2 #0000000000000001 @external
  i64[2] target = {0, -1} @node
  f16[2] h = {1.5, nan} @typed
  f32[16] b1 #0000000000000002 @input(3)
  f32[9,9] s @sparse(0aff)
  f32[4] t = {0.0, 0.0, 1.5, 0.0} @sparse
  [/conv/Conv] y = Conv<pads=[1,1,1,1], strides=[1,1]>(input, w1, b1)
  [=] z, _ = com.microsoft.FusedConv<activation="Relu", alpha=0.01>(y, _, w2)
  logits = Reshape(z, target)
}
"#,
    );
}

#[test]
fn a_text_by_hand_prints_in_full() {
    let model = read(
        "net(x) => (y) { # a comment\n  y = Add(x, t) t=Conv( x,w )# another\n#and this\n f32[8,3,3,3] w #1 f32 eps={1} }",
    );
    insta::assert_snapshot!(print(&model), @r#"
    <ir_version: 8, opset_import: ["" : 17]>
    net (x) => (y) {
      f32[8,3,3,3] w #0000000000000001
      t = Conv(x, w)
      y = Add(x, t)
      f32[] eps = {1.0}
    }
    "#);
}

const IF: &str = "
    main (bool[] c, x) => (y) {
      h = Relu(x)
      y = If<then_branch=a () => (t) { t = Neg(h) }, else_branch=b () => (t) {
        t = If<then_branch=c () => (h) {}, else_branch=d () => (k) { k = Abs(x) }>(c)
      }>(c)
    }";

#[test]
fn a_subgraph_captures_what_it_uses() {
    let model = read(IF);
    insta::assert_snapshot!(print(&model), @r#"
    <ir_version: 8, opset_import: ["" : 17]>
    main (bool[] c, x) => (y) {
      h = Relu(x)
      y = If<
        then_branch=a (captured h) => (t) {
          t = Neg(h)
        },
        else_branch=b (captured c, captured h, captured x) => (t) {
          t = If<
            then_branch=c (captured h) => (h) {
            },
            else_branch=d (captured x) => (k) {
              k = Abs(x)
            }
          >(c)
        }
      >(c)
    }
    "#);
    assert_same(&print(&model));
    let call = model.graph.calls()[1];
    assert_eq!(print_line(&model.graph, call), "y = If<then_branch=a {...}, else_branch=b {...}>(c)");
    // One slot for the condition, one for `h` of the first branch, three for those of the second.
    assert_eq!(model.graph.operands(call).len(), 5);
}

#[test]
fn a_captured_value_may_have_another_name_outside() {
    let mut model = read("m (x, c) => (y) { h = Relu(x) y = If<then_branch=a (captured h) => (h) {}>(c) }");
    let [relu, call] = model.graph.calls()[..] else { panic!("two calls") };
    let [h] = model.graph.results(relu).collect::<Vec<_>>()[..] else { panic!("one result") };
    let x = model.graph.inputs()[0];
    model.graph.replace(h, super::super::ValueId { node: x, port: 0 });
    let text = print(&model);
    assert!(text.contains("then_branch=a (captured h = x) => (h) {"), "{text}");
    assert_same(&text);
    model.graph.disconnect(Use { node: call, slot: 1 });
    assert!(print(&model).contains("(captured h = _)"));
}

#[test]
fn omitted_and_odd_names_keep_their_places() {
    assert_same(
        r#"<ir_version: 3, opset_import: ["" : 9]>
_ (f32[2] "a b", "f32", 12, other(0a0b) seq) => (other(ff) "out put" = "a b", _) {
  _, "_", _ = Op(_, "a b", _, _)
  "π\"\\\n\u{7f}" = "odd.Op"<"k:ey"=1>("_")
  Effect(12)
  /a:b/c.d-e = "my dom"."Op"("captured")
  "captured", %0 = ai.onnx.ml.Op(%1)
  %1 = Op(%0)
}
"#,
    );
}

#[test]
fn values_that_share_a_name_are_told_apart() {
    let mut model = read("m (x) => (z) { a = Relu(x) b = Neg(a) z = Add(a, b) }");
    let neg = model.graph.calls()[1];
    model.graph.call_mut(neg).expect("a call").results[0] = "a".into();
    let text = print(&model);
    assert!(text.contains("%0 = Neg(a)\n  z = Add(a, %0)\n"), "{text}");
    assert_same(&text);
}

#[test]
fn every_kind_of_attribute_reads_back() {
    assert_same(
        r#"<ir_version: 8, opset_import: ["" : 17]>
m () => () {
  Op<a=1.0, b=-1, c="t\xff\"", d=f32[2] {1.0, -0.0} @typed, e=[1.0, inf, -inf, nan, nan(ff800001)], f=[1,-2], g=["x", ""]>()
  Op<h=[i64[] {1}, f32[99] #00000000000000ff], i=other(0aff), j=other(), k=string[2] {"a", "b"}, l=1e-10, m=3.4028235e38>()
  Op<n: ints=[], o: floats=[], p: strings=[], q: tensors=[], r: graphs=[], s=-9223372036854775808>()
  Op<
    t=0,
    u=_ () => () {
    },
    v=["1 2" (x) => (x) {
    }, g () => () {
    }]
  >()
}
"#,
    );
    let model = read("m () => () { Op<a: float=1, b: floats=[1, 2], c=[1, 2.5]>() }");
    let call = model.graph.call(model.graph.calls()[0]).expect("a call");
    assert!(matches!(call.attributes["a"], Attribute::Float(1.0)));
    assert!(matches!(&call.attributes["b"], Attribute::Floats(v) if v == &[1.0, 2.0]));
    assert!(matches!(&call.attributes["c"], Attribute::Floats(v) if v == &[1.0, 2.5]));
}

#[test]
fn constants_of_every_type_read_back() {
    assert_same(
        r#"<ir_version: 8, opset_import: ["" : 17]>
m (f32[n] d = f32[2] {1.0, 2.0}, f32[20] e #0000000000000005) => () {
  f32[3] a = {0.1, nan(ffc00000), -inf}
  f64[2] b = {0.1, nan(7ff8000000000001)}
  f16[2] c = {0.099975586, nan(fe00)}
  bf16[2] d1 = {0.100097656, nan(ffc0)}
  i8[2] e1 = {-128, 127}
  u64[1] f = {18446744073709551615}
  bool[2] g = {true, false}
  string[2] h = {"a\x80", ""}
  f32[0,4] i = {}
  c64[1] j #00000000000000ab
  f32[1] k = {1.0} @input(2, f32[batch] "k 2")
}
"#,
    );
}

#[test]
fn hashes_find_their_tensors() {
    let weights = Tensor::from_f32(vec![20], &[0.5; 20]);
    let hash = weights.hash();
    let text = format!("m () => () {{ f32[20] w #{hash:x} @typed f32[20] v #7 }}");
    let model = parse(&text, &|h| (h == hash).then(|| weights.clone())).expect("the text is right");
    let [w, v] = model.graph.constants()[..] else { panic!("two constants") };
    let w = &model.graph.constant(w).expect("a constant").tensor;
    assert!(w.same(&weights));
    assert_eq!(w.store, Store::Typed);
    assert!(matches!(model.graph.constant(v).expect("a constant").tensor.payload, Payload::Absent(7)));
    let wrong = parse("m () => () { f32[21] w #7 }", &|_| Some(weights.clone())).expect_err("another shape");
    assert_eq!(wrong.to_string(), "line 1, column 24: the tensor #0000000000000007 is f32[20], not f32[21]");
}

#[test]
fn notes_stand_behind_their_lines() {
    let model = read("m (f32[3] x) => (y) { f32[2] w #1 a, b = Split(x) y = Add(a, w) }");
    let notes = |v| match model.graph.value_name(v) {
        "a" => None,
        name => Some(format!("[{name}]")),
    };
    let printer = Printer { model: &model, notes: &notes };
    insta::assert_snapshot!(printer, @r#"
    <ir_version: 8, opset_import: ["" : 17]>
    m (
      f32[3] x   # [x]
    ) => (y) {
      f32[2] w #0000000000000001   # [w]
      a, b = Split(x)   # _, [b]
      y = Add(a, w)   # [y]
    }
    "#);
    assert_eq!(printer.line(model.graph.calls()[0]), "a, b = Split(x)   # _, [b]");
    assert_eq!(print(&read(&printer.to_string())), print(&model));
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("", "line 1, column 1: expected the name of a graph, found the end of the text"),
        ("m (x) => (y) {\n  y = Relu(z)\n}", "line 2, column 12: no value is called `z`"),
        ("m (x) => (y) { y = Relu(%1) }", "line 1, column 25: no value is called `%1`"),
        ("m (x) => () { x = Relu(x) }", "line 1, column 15: `x` is defined before"),
        ("m (x) => () { y = Relu(x", "line 1, column 25: expected `,` or `)`, found the end of the text"),
        ("m (x) => () { y = Relu<a=>(x) }", "line 1, column 26: expected the value of an attribute, found `>`"),
        ("m () => () { Op<a=[1, \"\"]>() }", "line 1, column 20: expected a list of values of one kind"),
        ("m () => () { Op<a=1, a=2>() }", "line 1, column 22: the attribute `a` is there before"),
        ("m () => () { Op<a: ints=1>() }", "line 1, column 17: the value of `a` is not of the kind ints"),
        ("m () => () { f32[n] w #1 }", "line 1, column 14: expected a type with a fixed shape, found f32[n]"),
        ("m () => () { f32[2] w = {1} }", "line 1, column 25: f32[2] doesn't have 1 elements"),
        (
            "m () => () { i8[1] w = {128} }",
            "line 1, column 25: expected an element of type i8 (or a hash instead of elements), found `128`",
        ),
        ("m () => () { f32[1] w }", "line 1, column 23: expected `{` or the hash of a tensor, found `}`"),
        ("m (\"a\\q\") => () {}", "line 1, column 6: expected an escape like `\\n`, `\\x1f` or `\\u{1f}`"),
        ("m () => () {} x", "line 1, column 15: expected the end of the text, found `x`"),
        (
            "<ir: 8> m () => () {}",
            "line 1, column 2: expected `ir_version`, `opset_import`, `metadata_props` or `functions`, found `ir:`",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(error(text).to_string(), message, "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let deep = "m () => () { Op<g=".repeat(5000);
    assert!(error(&deep).what.contains("levels of nesting"));
    let deep = format!("m (f32[{}", "floor(".repeat(5000));
    assert!(error(&deep).what.contains("levels of nesting"));
    assert!(parse("m (f32[floor(-9223372036854775808 / -1)] x) => () {}", &|_| None).is_ok());
}

/// A name, most of them plain; an empty one now and then.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z]{1,2}", 1 => "/?[a-z0-9._:/-]{0,4}", 1 => ".{0,3}", 1 => Just("f32".to_owned())]
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let dtypes: Vec<DType> = (1..=26).filter_map(DType::from_code).filter(|&d| d != DType::String).collect();
    let stores = prop::sample::select(vec![Store::Raw, Store::Typed, Store::External]);
    let typed = (prop::sample::select(dtypes), prop::collection::vec(0usize..4, 0..3), stores);
    typed.prop_flat_map(|(dtype, shape, store)| {
        let bytes = dtype.bytes(shape.iter().product());
        prop::collection::vec(any::<u8>(), bytes).prop_map(move |data| {
            let tensor = Tensor::new(dtype, shape.clone(), data).expect("as many bytes as the shape says");
            Tensor { store, ..tensor }
        })
    })
}

fn info() -> impl Strategy<Value = ValueInfo> {
    let dim = prop_oneof![
        (-9i64..99).prop_map(Dim::Fixed),
        name().prop_map(|s| Dim::symbol(&s) * Dim::Fixed(3) - Dim::symbol("n")),
        (0u64..9).prop_map(|i| Dim::unknown(i).div_floor(&Dim::Fixed(2))),
    ];
    let ty = prop_oneof![
        Just(Type::Other),
        Just(Type::Tensor(TensorType { dtype: DType::F16, shape: None })),
        prop::collection::vec(dim, 0..3).prop_map(|dims| Type::Tensor(TensorType::new(DType::I64, dims))),
    ];
    (name(), ty, prop::collection::vec(any::<u8>(), 0..2)).prop_map(|(name, ty, extra)| {
        let extra = if ty == Type::Other { extra.into() } else { Default::default() };
        ValueInfo { name, ty, extra }
    })
}

fn attribute(graph: BoxedStrategy<Graph>) -> impl Strategy<Value = Attribute> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..4).prop_map(bytes::Bytes::from);
    let float = || any::<u32>().prop_map(f32::from_bits);
    prop_oneof![
        float().prop_map(Attribute::Float),
        any::<i64>().prop_map(Attribute::Int),
        bytes().prop_map(Attribute::String),
        tensor().prop_map(Attribute::Tensor),
        graph.clone().prop_map(|g| Attribute::Graph(Box::new(g))),
        prop::collection::vec(float(), 0..3).prop_map(Attribute::Floats),
        prop::collection::vec(any::<i64>(), 0..3).prop_map(Attribute::Ints),
        prop::collection::vec(bytes(), 0..3).prop_map(Attribute::Strings),
        prop::collection::vec(tensor(), 0..3).prop_map(Attribute::Tensors),
        prop::collection::vec(graph, 0..3).prop_map(Attribute::Graphs),
        bytes().prop_map(Attribute::Other),
    ]
}

/// A node, and random numbers that say what its operands are.
fn node(graph: BoxedStrategy<Graph>) -> impl Strategy<Value = (Node, Vec<Option<usize>>)> {
    let form = prop_oneof![
        Just(Form::Initializer),
        Just(Form::Node { extra: Default::default(), original: None }),
        (0u32..9, info()).prop_map(|(position, info)| Form::InputInitializer { position, info }),
    ];
    let constant = (name(), tensor(), form)
        .prop_map(|(name, tensor, form)| Node::Constant(Constant { name, tensor, form, origin: Origin::Here }));
    let input = (info(), any::<bool>(), prop::option::of(tensor())).prop_map(|(info, captured, default)| {
        Node::Input(Input { info, captured, default: default.filter(|_| !captured) })
    });
    let attributes = prop::collection::vec((name(), attribute(graph)), 0..3);
    let call = (name(), name(), name(), attributes, prop::collection::vec(name(), 0..4), 0u16..4).prop_map(
        |(name, domain, op, attributes, results, arity)| {
            let attributes = attributes.into_iter().collect();
            Node::Call(Box::new(Call { name, domain, op, attributes, results, arity, ..Call::default() }))
        },
    );
    let node =
        prop_oneof![1 => constant, 1 => input, 3 => call, 1 => info().prop_map(|info| Node::Output(Output { info }))];
    (node, prop::collection::vec(prop::option::of(any::<usize>()), 0..7))
}

/// A graph: each operand is a result of an earlier node, or of any node at all.
fn graph() -> BoxedStrategy<Graph> {
    let empty = Just(Graph::default()).boxed();
    empty
        .prop_recursive(3, 24, 3, |inner| {
            let nodes = prop::collection::vec(node(inner.boxed()), 0..8);
            (name(), nodes, prop::collection::vec(info(), 0..2)).prop_map(|(name, nodes, value_info)| {
                let mut graph = Graph::default();
                (graph.name, graph.value_info) = (name, value_info);
                for (node, operands) in nodes {
                    let values: Vec<_> = graph.nodes().into_iter().flat_map(|n| graph.results(n)).collect();
                    let slots = match &node {
                        Node::Input(_) | Node::Constant(_) => 0,
                        Node::Output(_) => 1,
                        Node::Call(_) => operands.len(),
                    };
                    let node = graph.add(node);
                    for (slot, operand) in (0..).zip(operands).take(slots) {
                        if let Some(at) = operand.and_then(|o| o.checked_rem(values.len())) {
                            graph.connect(values[at], Use { node, slot });
                        }
                    }
                }
                graph
            })
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn print_and_parse_agree(graph in graph(), key in name(), value in name()) {
        let mut model = Model { ir_version: 8, metadata: vec![(key.clone(), value)], graph, ..Model::default() };
        model.opsets.insert(key, 3);
        let text = print(&model);
        let again = parse(&text, &|_| None);
        prop_assert!(again.is_ok(), "{}\n{text}", again.unwrap_err());
        prop_assert_eq!(print(&again.unwrap()), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(graph in graph(), at in any::<prop::sample::Index>(), cut in 0usize..9, put in "[\\x00-\\x7fπ]{0,3}") {
        let text = print(&Model { graph, ..Model::default() });
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let mutated: String =
            chars[..at].iter().copied().chain(put.chars()).chain(chars[at..].iter().copied().skip(cut)).collect();
        // A text that is read in spite of that prints as something that reads back.
        if let Ok(model) = parse(&mutated, &|_| None) {
            super::super::verify(&model);
            let text = print(&model);
            let again = parse(&text, &|_| None).map(|m| print(&m));
            prop_assert_eq!(again, Ok(text));
        }
    }
}
