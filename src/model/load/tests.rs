//! Files made of messages: what they say must arrive, and leave again byte for byte.

use super::*;
use crate::ir::{Attribute, DType, Dim, Form, Graph, Node, Payload, Store, Type};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataLocation;
use crate::save::to_bytes;
use proptest::prelude::*;

fn some(s: &str) -> Option<String> {
    Some(s.to_owned())
}

fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(|s| if s == "-" { String::new() } else { s.to_owned() }).collect()
}

fn node(op: &str, input: &str, output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { op_type: some(op), input: names(input), output: names(output), attribute, ..Default::default() }
}

fn info(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: some(name), ..Default::default() }
}

fn typed_info(name: &str, dims: &[&str]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let value = |d: &&str| match (d.parse(), *d) {
        (Ok(n), _) => Some(Value::DimValue(n)),
        (_, "?") => None,
        (_, name) => Some(Value::DimParam(name.to_owned())),
    };
    let dim = dims.iter().map(|d| Dimension { value: value(d), denotation: None }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { r#type: Some(ty), ..info(name) }
}

fn floats(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: some(name),
        dims: vec![values.len() as i64],
        data_type: Some(1),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn subgraph(name: &str, graph: GraphProto) -> AttributeProto {
    let kind = Some(AttributeType::Graph.into());
    AttributeProto { name: some(name), r#type: kind, g: Some(Box::new(graph)), ..Default::default() }
}

fn graph(input: &str, nodes: Vec<NodeProto>, output: &str) -> GraphProto {
    GraphProto {
        name: some("g"),
        input: names(input).iter().map(|n| info(n)).collect(),
        node: nodes,
        output: names(output).iter().map(|n| info(n)).collect(),
        ..Default::default()
    }
}

fn file(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

fn read(p: &ModelProto) -> Result<Model, LoadError> {
    from_bytes(p.encode_to_vec().into(), None)
}

/// Loads it, and checks that saving gives the same bytes.
#[track_caller]
fn same(p: &ModelProto) -> Model {
    let model = read(p).unwrap();
    let again = to_bytes(&model).unwrap();
    let back = ModelProto::decode(&again[..]).unwrap();
    assert_eq!(&back, p);
    assert_eq!(again, p.encode_to_vec());
    model
}

fn constant<'a>(graph: &'a Graph, name: &str) -> &'a crate::ir::Constant {
    graph.constant(graph.values_by_name()[name].node).unwrap()
}

/// A model with a bit of everything.
fn everything() -> ModelProto {
    let inner = graph("", vec![node("Neg", "y", "n", vec![]), node("Add", "n w", "m", vec![])], "m");
    let then = graph("", vec![node("If", "c", "deep", vec![subgraph("then_branch", inner)])], "deep");
    let mut plain = graph("", vec![], "x");
    plain.initializer = vec![floats("unused", &[1.])];
    let mut g = graph(
        "c x",
        vec![
            node("Relu", "x", "y", vec![]),
            node("If", "c", "z", vec![subgraph("then_branch", then), subgraph("else_branch", plain)]),
            node("Clip", "z - w", "o", vec![]),
        ],
        "o x",
    );
    g.input[1] = typed_info("x", &["n", "3", "?", "?"]);
    g.initializer = vec![floats("w", &[1., -0., f32::MIN_POSITIVE])];
    g.value_info = vec![info("y")];
    g.quantization_annotation = vec![TensorAnnotation { tensor_name: some("w"), ..Default::default() }];
    let mut p = file(g);
    p.producer_name = some("");
    p.functions = vec![FunctionProto { name: some("F"), domain: some("d"), ..Default::default() }];
    p.training_info = vec![TrainingInfoProto::default()];
    let entry = |key: &str, value| StringStringEntryProto { key: some(key), value };
    p.metadata_props = vec![entry("a", some("b")), entry("a", None)];
    p
}

#[test]
fn a_model_with_everything_survives() {
    let model = same(&everything());
    let functions = model.functions.iter().map(|f| (f.domain.as_str(), f.name.as_str()));
    assert_eq!(functions.collect::<Vec<_>>(), [("d", "F")]);
    assert_eq!(model.metadata, [("a".to_owned(), "b".to_owned()), ("a".to_owned(), String::new())]);
    assert_eq!(model.opset(""), 17);
}

#[test]
fn captured_values_are_operands_of_the_call() {
    let model = same(&everything());
    let g = &model.graph;
    let z = g.values_by_name()["z"].node;
    let operands: Vec<_> = g.operands(z).into_iter().map(|v| g.value_name(v.unwrap())).collect();
    // The condition is captured by the branch's own If; y and w by the graph inside that.
    assert_eq!(operands, ["c", "c", "y", "w", "x"]);
    let call = g.call(z).unwrap();
    assert_eq!((call.arity, g.origin(z)), (1, Some(1)));
    let captured: Vec<usize> = call.graphs().map(|g| g.captures().len()).collect();
    assert_eq!(captured, [3, 1]);
}

#[test]
fn a_new_name_outside_reaches_the_subgraphs() {
    let mut model = read(&everything()).unwrap();
    let y = model.graph.values_by_name()["y"].node;
    model.graph.call_mut(y).unwrap().results[0] = "renamed".into();
    let again = from_bytes(to_bytes(&model).unwrap().into(), None).unwrap();
    assert!(again.graph.values_by_name().contains_key("renamed"));
}

#[test]
fn dimensions_without_a_name_are_different_unknowns() {
    let model = same(&everything());
    let Node::Input(x) = model.graph.node(model.graph.inputs()[1]) else { panic!() };
    let Type::Tensor(ty) = &x.info.ty else { panic!() };
    let dims = ty.shape.as_ref().unwrap();
    assert_eq!(dims[..2], [Dim::symbol("n"), Dim::Fixed(3)]);
    assert!(dims[2].has_unknown() && dims[2] != dims[3]);
}

#[test]
fn typed_data_becomes_bytes_and_back() {
    let tensor = |name: &str, dtype: DType, dims: Vec<i64>| TensorProto {
        name: some(name),
        dims,
        data_type: Some(dtype.code()),
        ..Default::default()
    };
    let mut g = graph("", vec![], "f");
    g.initializer = vec![
        floats("f", &[1.5, -2.]),
        TensorProto { int32_data: vec![-1, 127], ..tensor("i8", DType::I8, vec![2]) },
        TensorProto { int32_data: vec![0x3c00, 0xc000], ..tensor("f16", DType::F16, vec![2]) },
        TensorProto { int32_data: vec![0x21, 0x03], ..tensor("u4", DType::U4, vec![3]) },
        TensorProto { int32_data: vec![1, 0], ..tensor("bool", DType::Bool, vec![2]) },
        TensorProto { int64_data: vec![i64::MIN], ..tensor("i64", DType::I64, vec![]) },
        TensorProto { uint64_data: vec![u32::MAX.into()], ..tensor("u32", DType::U32, vec![1]) },
        TensorProto { double_data: vec![0.1, 0.2], ..tensor("c128", DType::C128, vec![1]) },
        TensorProto { string_data: vec!["a".into(), "".into()], ..tensor("s", DType::String, vec![2]) },
        tensor("empty", DType::F32, vec![0, 4]),
        TensorProto { raw_data: Some(Bytes::new()), ..tensor("raw", DType::F32, vec![0]) },
        TensorProto { doc_string: some(""), ..tensor("doc", DType::F32, vec![0]) },
    ];
    let model = same(&file(g));
    let value = |name| constant(&model.graph, name).tensor.clone();
    assert_eq!(value("f16").to_f64().unwrap(), [1., -2.]);
    assert_eq!(value("i8").to_i64().unwrap(), [-1, 127]);
    assert_eq!(value("u4").raw().unwrap()[..], [0x21, 0x03]);
    assert_eq!(value("raw").store, Store::Raw);
    assert!(matches!(value("s").payload, Payload::Strings(s) if s == ["a", ""]));
}

#[test]
fn tensors_that_contradict_themselves_are_errors() {
    let fails = |t: TensorProto| {
        let g = GraphProto { initializer: vec![t], ..graph("", vec![], "w") };
        let error = read(&file(g)).unwrap_err().to_string();
        assert!(error.contains("\"w\""), "{error}");
        error
    };
    let w = floats("w", &[1., 2.]);
    assert!(fails(TensorProto { dims: vec![3], ..w.clone() }).contains("needs 12 bytes of data but has 8"));
    assert!(fails(TensorProto { dims: vec![-2], ..w.clone() }).contains("negative"));
    assert!(fails(TensorProto { dims: vec![i64::MAX, 9], ..w.clone() }).contains("memory"));
    assert!(fails(TensorProto { data_type: Some(99), ..w.clone() }).contains("99"));
    assert!(fails(TensorProto { data_type: None, ..w.clone() }).contains("0"));
    assert!(fails(TensorProto { raw_data: Some(vec![0; 8].into()), ..w.clone() }).contains("two fields"));
    assert!(fails(TensorProto { int32_data: vec![1], ..w.clone() }).contains("two fields"));
    let strings = TensorProto { data_type: Some(8), string_data: vec!["a".into()], float_data: vec![], ..w };
    assert!(fails(strings).contains("needs 2 strings but has 1"));
}

#[test]
fn constant_nodes_are_constants() {
    let attribute = |name: &str, kind: AttributeType| AttributeProto {
        name: some(name),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let tensor = AttributeProto {
        t: Some(Box::new(floats("inner", &[7.]))),
        doc_string: some("why"),
        ..attribute("value", AttributeType::Tensor)
    };
    let sparse = SparseTensorProto { values: Some(floats("", &[1.])), indices: None, dims: vec![9] };
    let mut named = node("Constant", "", "a", vec![tensor]);
    (named.name, named.domain) = (some("c"), some("ai.onnx"));
    let nodes = vec![
        named,
        node("Constant", "", "b", vec![AttributeProto { i: Some(3), ..attribute("value_int", AttributeType::Int) }]),
        node("Constant", "", "c", vec![attribute("value_floats", AttributeType::Floats)]),
        node(
            "Constant",
            "",
            "d",
            vec![AttributeProto { f: Some(1.), ..AttributeProto { name: some("value_float"), ..Default::default() } }],
        ),
        node(
            "Constant",
            "",
            "e",
            vec![AttributeProto {
                sparse_tensor: Some(Box::new(sparse)),
                ..attribute("sparse_value", AttributeType::SparseTensor)
            }],
        ),
        node(
            "Constant",
            "",
            "f",
            vec![AttributeProto { ref_attr_name: some("outer"), ..attribute("value", AttributeType::Tensor) }],
        ),
    ];
    let mut model = same(&file(graph("", nodes, "a b c d e f")));
    let g = &model.graph;
    assert_eq!(constant(g, "b").tensor.to_i64().unwrap(), [3]);
    assert_eq!(constant(g, "c").tensor.shape, [0]);
    assert_eq!(constant(g, "e").tensor.shape, [9]);
    assert_eq!(g.call(g.values_by_name()["f"].node).unwrap().op, "Constant");
    // A changed value is written as a tensor, whatever the attribute was.
    let at = g.values_by_name()["b"].node;
    model.graph.constant_mut(at).unwrap().tensor = crate::ir::Tensor::from_i64(vec![], &[4]);
    let again = from_bytes(to_bytes(&model).unwrap().into(), None).unwrap();
    assert_eq!(constant(&again.graph, "b").tensor.to_i64().unwrap(), [4]);
}

#[test]
fn odd_attributes_survive() {
    let plain = |name: &str| AttributeProto { name: some(name), ..Default::default() };
    let attributes = vec![
        AttributeProto { i: Some(1), ..plain("typeless") },
        AttributeProto { r#type: Some(AttributeType::Int.into()), ..plain("valueless") },
        AttributeProto { r#type: Some(1), f: Some(f32::NAN), ..plain("nan") },
        AttributeProto { r#type: Some(77), i: Some(1), ..plain("unknown") },
        AttributeProto { i: Some(1), f: Some(1.), ..plain("two") },
        AttributeProto { r#type: Some(4), doc_string: some("d"), t: Some(Box::new(floats("t", &[1.]))), ..plain("t") },
        AttributeProto { tensors: vec![floats("t", &[1.])], ..plain("ts") },
        AttributeProto { tp: Some(Box::default()), r#type: Some(AttributeType::TypeProto.into()), ..plain("tp") },
    ];
    let p = file(graph("x", vec![node("Odd", "x", "y", attributes)], "y"));
    let model = read(&p).unwrap();
    assert_eq!(to_bytes(&model).unwrap(), p.encode_to_vec());
    let call = model.graph.call(model.graph.calls()[0]).unwrap();
    assert_eq!((call.int("typeless", 0), call.int("valueless", 5)), (1, 0));
    assert!(matches!(call.attributes["two"], Attribute::Other(_)));
    // What is said besides stays when the value changes.
    let mut changed = model.clone();
    let at = changed.graph.calls()[0];
    changed.graph.call_mut(at).unwrap().attributes.insert("typeless".into(), Attribute::Int(9));
    let again = from_bytes(to_bytes(&changed).unwrap().into(), None).unwrap();
    assert_eq!(again.graph.call(again.graph.calls()[0]).unwrap().int("typeless", 0), 9);
}

#[test]
fn initializers_that_are_inputs() {
    let mut g = graph("w x v", vec![node("Add", "x w", "y", vec![])], "y");
    g.initializer = vec![floats("v", &[1.]), floats("u", &[1.]), floats("w", &[2.])];
    let mut p = file(g);
    let model = same(&p);
    let defaults: Vec<_> = model
        .graph
        .inputs()
        .iter()
        .map(|&n| matches!(model.graph.node(n), Node::Input(i) if i.default.is_some()))
        .collect();
    assert_eq!(defaults, [true, false, true]);
    p.ir_version = Some(3);
    let model = same(&p);
    assert_eq!(model.graph.inputs().len(), 1);
    assert!(matches!(constant(&model.graph, "w").form, Form::InputInitializer { position: 0, .. }));
}

#[test]
fn sparse_initializers_and_operator_sets_survive() {
    let mut g = graph("", vec![], "s");
    let values = TensorProto { ..floats("s", &[1.]) };
    g.sparse_initializer = vec![SparseTensorProto { values: Some(values), indices: None, dims: vec![2, 3] }];
    let mut p = file(g);
    let opset = |domain: Option<&str>, version| OperatorSetIdProto {
        domain: domain.map(str::to_owned),
        version: Some(version),
    };
    p.opset_import = vec![opset(Some("z"), 1), opset(Some("ai.onnx"), 9), opset(None, 13)];
    let mut model = same(&p);
    assert_eq!(constant(&model.graph, "s").tensor.shape, [2, 3]);
    assert_eq!(model.opset("ai.onnx"), 13);
    model.opsets.insert("new".into(), 2);
    model.opsets.remove("z");
    let again = from_bytes(to_bytes(&model).unwrap().into(), None).unwrap();
    assert_eq!(again.opsets, model.opsets);
}

#[test]
fn sparse_initializers_have_their_zeros() {
    let read = |places: &[i64], dims: &[i64]| {
        let mut g = graph("", vec![], "s");
        let indices = TensorProto {
            dims: dims.to_vec(),
            data_type: Some(DType::I64.code()),
            int64_data: places.to_vec(),
            ..TensorProto::default()
        };
        let values = Some(floats("s", &[1., -2.]));
        g.sparse_initializer = vec![SparseTensorProto { values, indices: Some(indices), dims: vec![2, 3] }];
        constant(&same(&file(g)).graph, "s").clone()
    };
    let dense = [0., 1., 0., 0., 0., -2.];
    assert_eq!(read(&[1, 5], &[2]).tensor.to_f64().unwrap(), dense);
    assert_eq!(read(&[0, 1, 1, 2], &[2, 2]).tensor.to_f64().unwrap(), dense);
    // Places that are not there, twice there, in no order, or too few say nothing.
    for (places, dims) in
        [(&[1, 6][..], &[2][..]), (&[1, 1], &[2]), (&[5, 1], &[2]), (&[1], &[1]), (&[0, 1, 1, 3], &[2, 2])]
    {
        assert!(read(places, dims).is_opaque(), "{places:?}");
    }
}

#[test]
fn wiring_errors_name_node_and_value() {
    let fails = |nodes, output: &str| read(&file(graph("x", nodes, output))).unwrap_err().to_string();
    assert_eq!(
        fails(vec![node("Relu", "nope", "y", vec![])], "y"),
        r#"the node of "y" (Relu) uses the value "nope", which nothing defines"#
    );
    assert_eq!(fails(vec![], "q"), r#"a graph output uses the value "q", which nothing defines"#);
    let twice = vec![node("Relu", "x", "y", vec![]), node("Neg", "x", "y", vec![])];
    assert_eq!(fails(twice, "y"), r#"the node of "y" (Neg) defines the value "y", which is defined already"#);
    let cycle = vec![node("Add", "x b", "a", vec![]), node("Neg", "a", "b", vec![]), node("Neg", "b", "c", vec![])];
    let error = fails(cycle, "c");
    assert!(error.contains("cycle") && (error.contains("\"a\"") || error.contains("\"b\"")), "{error}");
    assert!(fails(vec![node("", "x", "y", vec![])], "y").contains("which operator"));
    let inside = subgraph("body", graph("", vec![node("Neg", "gone", "n", vec![])], "n"));
    assert!(fails(vec![node("If", "x", "y", vec![inside])], "y").contains("\"gone\""));
    let own = subgraph("body", graph("", vec![node("Neg", "y", "n", vec![])], "n"));
    assert!(fails(vec![node("If", "x", "y", vec![own])], "y").contains("cycle"));
}

#[test]
fn nodes_out_of_order_are_sorted() {
    let nodes = vec![node("Neg", "a", "b", vec![]), node("Relu", "x", "a", vec![])];
    let model = read(&file(graph("x", nodes, "b"))).unwrap();
    let p = ModelProto::decode(&to_bytes(&model).unwrap()[..]).unwrap();
    let ops: Vec<_> = p.graph.unwrap().node.iter().map(|n| n.op_type().to_owned()).collect();
    assert_eq!(ops, ["Relu", "Neg"]);
}

fn external(location: &str, offset: &str, length: &str) -> ModelProto {
    let entry = |(key, value): (&str, &str)| StringStringEntryProto { key: some(key), value: some(value) };
    let entries = [("location", location), ("offset", offset), ("length", length)];
    let tensor = TensorProto {
        external_data: entries.into_iter().filter(|(_, v)| !v.is_empty()).map(entry).collect(),
        data_location: Some(DataLocation::External.into()),
        float_data: vec![],
        ..floats("w", &[0., 0.])
    };
    let function = FunctionProto {
        node: vec![node(
            "Constant",
            "",
            "c",
            vec![AttributeProto { t: Some(Box::new(tensor.clone())), ..Default::default() }],
        )],
        ..Default::default()
    };
    let g = GraphProto { initializer: vec![tensor], ..graph("", vec![], "w") };
    ModelProto { functions: vec![function], ..file(g) }
}

#[test]
fn external_data_is_read_from_below_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = [9f32, 1., 2.].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(dir.path().join("data"), &data).unwrap();
    let from = |p: &ModelProto| from_bytes(p.encode_to_vec().into(), Some(dir.path()));
    for p in [external("data", "4", "8"), external("./data", "4", "")] {
        let model = from(&p).unwrap();
        let w = &constant(&model.graph, "w").tensor;
        assert_eq!((w.store, w.to_f64().unwrap()), (Store::External, vec![1., 2.]));
        let inline = ModelProto::decode(&to_bytes(&model).unwrap()[..]).unwrap();
        let inner = inline.functions[0].node[0].attribute[0].t.as_ref().unwrap();
        assert_eq!(inner.raw_data.as_deref(), Some(&data[4..]));
        assert_eq!(inline.graph.unwrap().initializer[0].raw_data.as_deref(), Some(&data[4..]));
    }
    let error = |location, offset, length| {
        let error = from(&external(location, offset, length)).unwrap_err().to_string();
        assert!(error.contains("\"w\""), "{error}");
        error
    };
    assert!(error("data", "8", "8").contains("outside \"data\", which has 12 bytes"));
    assert!(error("data", "18446744073709551615", "8").contains("outside"));
    assert!(error("data", "4", "4").contains("needs 8 bytes"));
    assert!(error("data", "-1", "8").contains("not a number"));
    assert!(error("../data", "", "").contains("not below the model's folder"));
    assert!(error("/etc/passwd", "", "").contains("not below the model's folder"));
    assert!(error("", "", "").contains("no location"));
    assert!(error("absent", "", "").contains("absent"));
    let nowhere = read(&external("data", "", "")).unwrap_err().to_string();
    assert!(nowhere.contains("no folder"), "{nowhere}");
}

#[test]
fn what_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let error = |path: &Path| {
        let error = load(path).unwrap_err().to_string();
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        error
    };
    error(&path);
    assert!(error(dir.path()).contains("folder"));
    std::fs::write(&path, b"").unwrap();
    assert!(error(&path).contains("empty"));
    std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1").unwrap();
    assert!(error(&path).contains("not an ONNX model: at byte") && error(&path).contains("git lfs pull"));
    std::fs::write(&path, [8, 1]).unwrap();
    assert!(error(&path).contains("no graph"));
}

#[test]
fn allocation_bombs_and_deep_nests_are_refused() {
    // Fourteen million empty attributes take 28 MB of a file, and would take 4.7 GB of memory.
    let attributes = [0x2a, 0].repeat(7_000_000);
    let node = [&[0x0a][..], &length(attributes.len()), &attributes].concat();
    let graph = [&[0x3a][..], &length(node.len()), &node].concat();
    let copies = graph.repeat(2);
    assert!(matches!(from_bytes(copies.into(), None), Err(LoadError::TooMuch { .. })));
    let mut p = GraphProto::default();
    for _ in 0..60 {
        p = GraphProto { node: vec![node_of(p)], ..Default::default() };
    }
    assert!(read(&file(p)).unwrap_err().to_string().contains("nested"));
}

fn node_of(g: GraphProto) -> NodeProto {
    node("If", "", "", vec![subgraph("body", g)])
}

fn length(n: usize) -> Vec<u8> {
    let mut out = vec![];
    prost::encoding::encode_varint(n as u64, &mut out);
    out
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = everything().encode_to_vec();
    let whole = from_bytes(bytes.clone().into(), None).unwrap();
    for end in 0..bytes.len() {
        // A cut between two fields of the model leaves a shorter model, which is valid if the graph is in it.
        match from_bytes(bytes[..end].to_vec().into(), None) {
            Ok(model) => assert_eq!(model.graph.len(), whole.graph.len()),
            Err(e) => assert!(e.to_string().contains("not an ONNX model") || end == 0, "{e}"),
        }
    }
}

proptest! {
    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = everything().encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(model) = from_bytes(bytes.into(), None) {
            _ = to_bytes(&model);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = from_bytes(bytes.into(), None);
    }
}
