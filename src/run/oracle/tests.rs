use super::*;
use crate::compare::Comparison;
use crate::feed::Feed;
use crate::ir::{DType, Tensor};
use crate::latency::{Effort, measure};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Value};
use tract_onnx::pb::*;

fn tensor(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let (dims, float_data) = (dims.to_vec(), data.to_vec());
    TensorProto { name: name.into(), dims, data_type: DType::F32.code(), float_data, ..Default::default() }
}

fn value(name: &str, dtype: DType, dims: &[&str]) -> ValueInfoProto {
    let dim = |d: &&str| {
        let value = d.parse().map(dimension::Value::DimValue);
        let value = value.unwrap_or_else(|_| dimension::Value::DimParam(d.to_string()));
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let ty = Value::TensorType(type_proto::Tensor { elem_type: dtype.code(), shape: Some(shape) });
    let ty = TypeProto { value: Some(ty), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

fn node(op: &str, name: &str, from: &[&str], to: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    NodeProto { op_type: op.into(), name: name.into(), input: names(from), output: names(to), ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

fn encoded(graph: GraphProto) -> Vec<u8> {
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// y = relu(x · w) with x of shape [n, 2].
fn small() -> GraphProto {
    GraphProto {
        name: "small".into(),
        node: vec![node("MatMul", "product", &["x", "w"], &["h"]), node("Relu", "relu", &["h"], &["y"])],
        initializer: vec![tensor("w", &[2, 3], &[1., 0., -1., 0., 1., -1.])],
        input: vec![value("x", DType::F32, &["n", "2"])],
        output: vec![value("y", DType::F32, &["n", "3"])],
        ..Default::default()
    }
}

fn feed(x: &[f32]) -> Feed {
    Feed::new(vec![("x".into(), Tensor::from_f32(vec![x.len() / 2, 2], x))])
}

fn runner(graph: GraphProto, feed: &Feed) -> Result<Runner, OracleError> {
    Runner::new(&encoded(graph), None, &feed.signature())
}

fn refusal(graph: GraphProto) -> String {
    runner(graph, &feed(&[1., 2.])).err().expect("it is refused").to_string()
}

#[test]
fn runs_and_repeats_itself() {
    let feed = feed(&[1., 2., -3., 5.]);
    let runner = runner(small(), &feed).unwrap();
    assert_eq!(runner.plan(), Plan::Optimized);
    let outputs = runner.run(&feed).unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!((outputs[0].0.as_str(), &outputs[0].1.shape[..]), ("y", &[2, 3][..]));
    assert_eq!(outputs[0].1.to_f64().unwrap(), [1., 2., 0., 0., 5., 0.]);
    let mut comparison = Comparison::default();
    comparison.add(&outputs, &runner.run(&feed).unwrap()).unwrap();
    assert_eq!(comparison.finish().worst(), 0.0);
    let effort = Effort { warm_up: 1, repeats: 5, budget: std::time::Duration::from_secs(60) };
    let latency = measure(&runner, Some(&runner), &feed, effort, &|| {}).unwrap();
    assert_eq!((latency.first.runs(), latency.second.unwrap().0.runs()), (5, 5));
}

#[test]
fn inner_values_are_returned_on_demand() {
    let feed = feed(&[1., 2.]);
    let values = ["h", "x", "w", "y"].map(String::from);
    let runner = Runner::inside(&encoded(small()), None, &feed.signature(), &values).unwrap();
    let outputs = runner.run(&feed).unwrap();
    let names: Vec<&str> = outputs.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["h", "x", "w", "y"]);
    assert_eq!(outputs[0].1.to_f64().unwrap(), [1., 2., -3.]);
    assert_eq!(outputs[2].1.shape, [2, 3]);
    let error = Runner::inside(&encoded(small()), None, &feed.signature(), &["z".into()]).err();
    assert_eq!(error.map(|e| e.to_string()).as_deref(), Some("the model has no value \"z\""));
}

#[test]
fn runs_side_by_side_are_in_order() {
    let feeds: Vec<Feed> = (0..9).map(|n| feed(&[n as f32, 1.0])).collect();
    let setup = Setup { threads: std::num::NonZeroUsize::new(4), ..Setup::default() };
    let runner = Runner::on(&setup, &encoded(small()), None, &feeds[0].signature()).unwrap();
    let together = runner.run_all(&feeds).unwrap();
    let alone: Vec<Outputs> = feeds.iter().map(|feed| runner.run(feed).unwrap()).collect();
    assert!(together.iter().zip(&alone).all(|(a, b)| a[0].1.same(&b[0].1)) && together.len() == 9);
}

#[test]
fn wrong_inputs_are_named() {
    let good = feed(&[1., 2.]);
    let ready = runner(small(), &good).unwrap();
    let error = ready.run(&feed(&[1., 2., 3., 4.])).unwrap_err().to_string();
    assert_eq!(error, "the input \"x\" is f32[1, 2] but f32[2, 2] is given");
    let error = ready.run(&Feed::default()).unwrap_err().to_string();
    assert_eq!(error, "nothing is given for the input \"x\"; given are []");
    let integers = Feed::new(vec![("x".into(), Tensor::from_i64(vec![1, 2], &[1, 2]))]);
    let error = runner(small(), &integers).err().unwrap().to_string();
    assert_eq!(error, "the input \"x\" is f32 but i64 is given");
    let strings = [("x".to_owned(), DType::String, vec![1, 2])];
    let error = Runner::new(&encoded(small()), None, &strings).err().unwrap().to_string();
    assert_eq!(error, "the runtime has no elements of type string, which \"x\" has");
}

#[test]
fn what_tract_would_get_wrong_is_refused() {
    let mut graph = small();
    graph.node[1].domain = "my.domain".into();
    assert_eq!(refusal(graph), "tract can't run my.domain.Relu \"relu\": tract has no such operator");
    let mut graph = small();
    graph.node[1].op_type = "Loop".into();
    assert_eq!(refusal(graph), "tract can't run Loop \"relu\": tract has no such operator");
    // Nobody computes the running statistics of a BatchNormalization in training mode.
    let mut graph = training();
    graph.output.push(value("mean", DType::F32, &["3"]));
    assert_eq!(refusal(graph), "tract can't run BatchNormalization \"bn\": tract has no training mode");
}

/// y = batchnorm(x · w) by the statistics of the batch itself.
fn training() -> GraphProto {
    let mut graph = small();
    graph.node[1] = node("BatchNormalization", "bn", &["h", "s", "b", "b", "s"], &["y", "mean", "var"]);
    graph.node[1].attribute.push(int("training_mode", 1));
    graph.initializer.push(tensor("s", &[3], &[1., 2., 1.]));
    graph.initializer.push(tensor("b", &[3], &[0., 1., 0.]));
    graph
}

#[test]
fn training_mode_uses_the_statistics_of_the_batch() {
    let feed = feed(&[1., 2., 3., 6.]);
    for opset in [17, 18] {
        let mut model = ModelProto::decode(&encoded(training())[..]).unwrap();
        model.opset_import[0].version = opset;
        let outputs = Runner::new(&model.encode_to_vec(), None, &feed.signature()).unwrap().run(&feed).unwrap();
        // Every column is its mean ± its deviation: normalized, -1 and 1 (but for epsilon).
        let expected = [-1., -1., 1., 1., 3., -1.];
        let y = outputs[0].1.to_f64().unwrap();
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{y:?}");
    }
}

#[test]
fn gemm_in_every_float_type() {
    for dtype in [DType::F32, DType::F64, DType::F16] {
        let mut graph = small();
        let cast = |from: &str, to: &str| NodeProto {
            attribute: vec![int("to", i64::from(dtype.code()))],
            ..node("Cast", "", &[from], &[to])
        };
        graph.node = ["x", "w", "b"].map(|v| cast(v, &format!("{v}.cast"))).to_vec();
        graph.node.push(node("Gemm", "gemm", &["x.cast", "w.cast", "b.cast"], &["y"]));
        graph.node[3].attribute.push(int("transB", 1));
        graph.initializer = vec![tensor("w", &[3, 2], &[1., 0., 0., 1., -1., -1.]), tensor("b", &[3], &[0., 1., 2.])];
        graph.output = vec![value("y", dtype, &["n", "3"])];
        let feed = feed(&[1., 2.]);
        let outputs = runner(graph, &feed).unwrap().run(&feed).unwrap();
        assert_eq!((outputs[0].1.dtype, outputs[0].1.to_f64().unwrap()), (dtype, vec![1., 3., -1.]));
    }
}

#[test]
fn a_failure_names_its_node() {
    let mut graph = small();
    graph.initializer[0] = tensor("w", &[5, 3], &[0.; 15]);
    let message = refusal(graph);
    assert!(message.starts_with("tract can't run MatMul \"product\": "), "{message}");
    let mut graph = small();
    graph.node[1] = node("Concat", "concat", &["h", "w"], &["y"]);
    let message = refusal(graph);
    assert!(message.starts_with("tract can't run Concat \"concat\": "), "{message}");
}

#[test]
fn a_broken_model_is_an_error() {
    let bytes = |b: &[u8]| Runner::new(b, None, &[]).err().unwrap();
    assert!(matches!(bytes(b"no model"), OracleError::Decode(_)));
    assert!(matches!(bytes(b""), OracleError::Decode(_)));
    let mut graph = small();
    graph.node.pop();
    assert_eq!(refusal(graph), "the model has no value \"y\"");
    let mut graph = small();
    graph.initializer.clear();
    assert_eq!(refusal(graph), "the model has no value \"w\"");
    // tract itself panics where data is shorter than the shape says.
    let mut graph = small();
    graph.initializer[0].float_data.pop();
    assert!(!refusal(graph).is_empty());
}

#[test]
fn constant_of_shape_makes_floats() {
    let mut graph = small();
    graph.node = vec![
        node("Shape", "", &["x"], &["s"]),
        node("ConstantOfShape", "", &["s"], &["zeros"]),
        node("Add", "", &["x", "zeros"], &["y"]),
    ];
    graph.output = vec![value("y", DType::F32, &["n", "2"])];
    let feed = feed(&[1., 2.]);
    let outputs = runner(graph, &feed).unwrap().run(&feed).unwrap();
    assert_eq!(outputs[0].1.to_f64().unwrap(), [1., 2.]);
}

#[test]
fn sizes_and_booleans_come_out_as_numbers() {
    let mut graph = small();
    graph.node = vec![node("Shape", "", &["x"], &["s"]), node("Cast", "", &["x"], &["b"])];
    graph.node[1].attribute.push(int("to", i64::from(DType::Bool.code())));
    graph.output = vec![value("s", DType::I64, &["2"]), value("b", DType::Bool, &["n", "2"])];
    let feed = feed(&[0., 2.]);
    let outputs = runner(graph, &feed).unwrap().run(&feed).unwrap();
    assert_eq!(outputs[0].1.to_i64().unwrap(), [1, 2]);
    assert_eq!((outputs[1].1.dtype, outputs[1].1.to_f64().unwrap()), (DType::Bool, vec![0., 1.]));
}

#[test]
fn every_element_type_passes_through() {
    use DType::*;
    for dtype in [F32, F64, F16, I64, I32, I16, I8, U64, U32, U16, U8, Bool] {
        let mut graph = small();
        graph.node = vec![node("Identity", "", &["x"], &["y"])];
        graph.input = vec![value("x", dtype, &["2"])];
        graph.output = vec![value("y", dtype, &["2"])];
        let x = Tensor::from_f64(dtype, vec![2], &[0., 1.]).unwrap();
        let feed = Feed::new(vec![("x".into(), x.clone())]);
        let outputs = runner(graph, &feed).unwrap().run(&feed).unwrap();
        assert!(outputs[0].1.same(&x), "{dtype}");
    }
}
