//! What tract gets wrong, said in operators that it gets right. Every rewrite keeps the node's name at its last
//! node and appends to it for the others, so that messages still name the node that the file has.

use super::examine::label;
use std::collections::HashSet;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_shape_proto, type_proto};

/// Rewrites a graph and its subgraphs.
pub fn rewrite(graph: &mut GraphProto, opset: i64) {
    let used = graph.node.iter().flat_map(|n| n.input.iter()).chain(graph.output.iter().map(|o| &o.name));
    let used: HashSet<String> = used.cloned().collect();
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        for body in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
            forget_names(body);
            rewrite(body, opset);
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        let several = node.output.iter().skip(1).any(|o| used.contains(o));
        match node.op_type.as_str() {
            "ConstantOfShape" if standard => graph.node.push(filled_with_floats(node)),
            "Gemm" if standard => graph.node.extend(product_and_sum(node)),
            "BatchNormalization" if standard && !several => graph.node.extend(batch_statistics(node, opset)),
            _ => graph.node.push(node),
        }
    }
}

/// Leaves open which sizes a body's interface has where it gives them names: tract would take the names for other sizes
/// than those that it is about to run with.
fn forget_names(body: &mut GraphProto) {
    for info in body.input.iter_mut().chain(&mut body.output) {
        let Some(type_proto::Value::TensorType(ty)) = info.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
            continue;
        };
        for dim in ty.shape.iter_mut().flat_map(|s| &mut s.dim) {
            dim.value.take_if(|value| matches!(value, tensor_shape_proto::dimension::Value::DimParam(_)));
        }
    }
}

/// Writes the default `value` of ConstantOfShape, a float zero: tract would take a double.
fn filled_with_floats(mut node: NodeProto) -> NodeProto {
    if attribute(&node, "value").is_none() {
        let zero = TensorProto { dims: vec![1], ..scalar(0.0) };
        node.attribute.push(AttributeProto { t: Some(zero), ..of_type("value", AttributeType::Tensor) });
    }
    node
}

/// Gemm with α = β = 1 as MatMul and Add: tract multiplies by a β that is always a single float, and then refuses
/// the sum in any other type.
fn product_and_sum(node: NodeProto) -> Vec<NodeProto> {
    let scaled = ["alpha", "beta"].iter().any(|name| attribute(&node, name).is_some_and(|a| a.f != 1.0));
    let ([a, b, ..], [_]) = (&node.input[..], &node.output[..]) else { return vec![node] };
    if scaled {
        return vec![node];
    }
    let mut steps = Steps::of(&node);
    let a = steps.transposed("transA", a);
    let b = steps.transposed("transB", b);
    match node.input.get(2).filter(|c| !c.is_empty()) {
        None => steps.end("MatMul", &[&a, &b]),
        Some(c) => {
            let product = steps.call("MatMul", &[&a, &b]);
            steps.end("Add", &[&product, c])
        }
    }
}

/// BatchNormalization in training mode, whose statistics are those of its operand: tract would take the given ones.
/// Everything between is of the shape [N, C, rest], whatever the rank.
fn batch_statistics(node: NodeProto, opset: i64) -> Vec<NodeProto> {
    let training = attribute(&node, "training_mode").is_some_and(|a| a.i != 0);
    let ([x, scale, bias, ..], [_, ..], true) = (&node.input[..], &node.output[..], training) else {
        return vec![node];
    };
    let mut steps = Steps::of(&node);
    let epsilon = steps.constant(scalar(attribute(&node, "epsilon").map_or(1e-5, |a| a.f)));
    let (flat, column) = (steps.constant(int64s(&[0, 0, -1])), steps.constant(int64s(&[1, -1, 1])));
    let shape = steps.call("Shape", &[x]);
    let x = steps.call("Reshape", &[x, &flat]);
    let scale = steps.call("Reshape", &[scale, &column]);
    let bias = steps.call("Reshape", &[bias, &column]);
    let mean = steps.mean_of_columns(&x, opset);
    let centred = steps.call("Sub", &[&x, &mean]);
    let squares = steps.call("Mul", &[&centred, &centred]);
    let variance = steps.mean_of_columns(&squares, opset);
    let epsilon = steps.call("CastLike", &[&epsilon, &x]);
    let positive = steps.call("Add", &[&variance, &epsilon]);
    let deviation = steps.call("Sqrt", &[&positive]);
    let normal = steps.call("Div", &[&centred, &deviation]);
    let scaled = steps.call("Mul", &[&normal, &scale]);
    let moved = steps.call("Add", &[&scaled, &bias]);
    steps.end("Reshape", &[&moved, &shape])
}

/// The nodes that stand for one node. Names are made from names that the file has once: a value's.
struct Steps<'a> {
    node: &'a NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'a> Steps<'a> {
    fn of(node: &'a NodeProto) -> Steps<'a> {
        Steps { node, nodes: Vec::new() }
    }

    /// Adds a call; returns the name of its result.
    fn call(&mut self, op: &str, from: &[&str]) -> String {
        let at = self.nodes.len();
        let result = format!("{}.~{at}", self.node.output[0]);
        let name = format!("{}.~{at}", label(self.node));
        self.nodes.push(call(op, from, name, result.clone()));
        result
    }

    /// Adds the call that makes what the node made.
    fn end(mut self, op: &str, from: &[&str]) -> Vec<NodeProto> {
        self.nodes.push(call(op, from, label(self.node).into(), self.node.output[0].clone()));
        self.nodes
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = self.call("Constant", &[]);
        self.attribute(AttributeProto { t: Some(tensor), ..of_type("value", AttributeType::Tensor) });
        name
    }

    /// The operand, transposed where the node's attribute says so.
    fn transposed(&mut self, flag: &str, operand: &str) -> String {
        if attribute(self.node, flag).is_none_or(|a| a.i == 0) {
            return operand.to_owned();
        }
        let name = self.call("Transpose", &[operand]);
        self.attribute(AttributeProto { ints: vec![1, 0], ..of_type("perm", AttributeType::Ints) });
        name
    }

    /// The mean over the axes 0 and 2. Its axes are an attribute before opset 18, and an operand from then on.
    fn mean_of_columns(&mut self, operand: &str, opset: i64) -> String {
        if opset >= 18 {
            let axes = self.constant(int64s(&[0, 2]));
            return self.call("ReduceMean", &[operand, &axes]);
        }
        let name = self.call("ReduceMean", &[operand]);
        self.attribute(AttributeProto { ints: vec![0, 2], ..of_type("axes", AttributeType::Ints) });
        name
    }

    /// Gives the latest call an attribute.
    fn attribute(&mut self, attribute: AttributeProto) {
        if let Some(node) = self.nodes.last_mut() {
            node.attribute.push(attribute);
        }
    }
}

fn call(op: &str, from: &[&str], name: String, result: String) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name,
        input: from.iter().map(|s| s.to_string()).collect(),
        output: vec![result],
        ..NodeProto::default()
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

fn of_type(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() }
}

fn scalar(value: f32) -> TensorProto {
    TensorProto { data_type: DataType::Float as i32, float_data: vec![value], ..TensorProto::default() }
}

fn int64s(values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
    TensorProto { dims, data_type: DataType::Int64 as i32, int64_data, ..TensorProto::default() }
}
