//! What tract gets wrong, said in operators that it gets right. Every rewrite keeps the node's name at its last
//! node and appends to it for the others, so that messages still name the node that the file has.

use super::examine::label;
use super::steps::{Steps, attribute, int64s, of_type, scalar};
use super::{features, quantized_lstm};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_shape_proto, type_proto};

/// Rewrites a graph and its subgraphs.
pub(super) fn rewrite(graph: &mut GraphProto, opset: i64) {
    let used = graph.node.iter().flat_map(|n| n.input.iter()).chain(graph.output.iter().map(|o| &o.name));
    let used: HashSet<String> = used.cloned().collect();
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        // tract counts operands that are listed and left out.
        while node.input.last().is_some_and(String::is_empty) {
            node.input.pop();
        }
        for body in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
            forget_names(body);
            rewrite(body, opset);
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        let several = node.output.iter().skip(1).any(|o| used.contains(o));
        graph.node.extend(match node.op_type.as_str() {
            "DynamicQuantizeLSTM" if node.domain == "com.microsoft" => quantized_lstm::written_out(node),
            _ if node.domain == "ai.onnx.ml" => features::arithmetic(node, opset),
            _ if !standard => vec![node],
            "BatchNormalization" if !several => batch_statistics(node, opset),
            "Celu" => scaled_elu(node),
            "ConstantOfShape" => vec![filled_with_floats(node)],
            "GRU" | "LSTM" | "RNN" if opset >= 10 => backwards(node),
            "Gemm" => product_and_sum(node),
            "Pad" => vec![without_value(node)],
            "SwiGLU" => gated(node),
            "Swish" => scaled_sigmoid(node),
            _ => vec![node],
        });
    }
    tell_apart(graph);
}

/// Gives each node a name of its own. tract makes nodes of inputs and initializers too, under their names.
fn tell_apart(graph: &mut GraphProto) {
    let others = graph.input.iter().map(|i| &i.name).chain(graph.initializer.iter().map(|t| &t.name));
    let mut taken: HashMap<String, usize> = others.map(|name| (name.clone(), 0)).collect();
    for node in &mut graph.node {
        let mut name = label(node).to_owned();
        while let Some(count) = taken.get_mut(&name) {
            *count += 1;
            name = format!("{name}.~n{count}");
        }
        taken.insert(name.clone(), 0);
        node.name = name;
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

/// Celu with another α than 1 as `α · Elu(x / α)`: tract forgets the factor in front.
fn scaled_elu(node: NodeProto) -> Vec<NodeProto> {
    let alpha = attribute(&node, "alpha").map_or(1.0, |a| a.f);
    let ([x], [_], true) = (&node.input[..], &node.output[..], alpha != 1.0) else { return vec![node] };
    let mut steps = Steps::of(&node);
    let alpha = steps.float_like(alpha, x);
    let less = steps.call("Div", &[x, &alpha]);
    let elu = steps.call("Elu", &[&less]);
    steps.end("Mul", &[&elu, &alpha])
}

/// Swish with another α than 1 as `x · Sigmoid(α · x)`: tract has no α.
fn scaled_sigmoid(node: NodeProto) -> Vec<NodeProto> {
    let alpha = attribute(&node, "alpha").map_or(1.0, |a| a.f);
    let ([x], [_], true) = (&node.input[..], &node.output[..], alpha != 1.0) else { return vec![node] };
    let mut steps = Steps::of(&node);
    let alpha = steps.float_like(alpha, x);
    let scaled = steps.call("Mul", &[x, &alpha]);
    let gate = steps.call("Sigmoid", &[&scaled]);
    steps.end("Mul", &[x, &gate])
}

/// SwiGLU as `Swish(a) · b`: tract has no such operator.
fn gated(node: NodeProto) -> Vec<NodeProto> {
    let ([a, b], [_]) = (&node.input[..], &node.output[..]) else { return vec![node] };
    let mut steps = Steps::of(&node);
    let alpha = steps.float_like(attribute(&node, "alpha").map_or(1.0, |a| a.f), a);
    let scaled = steps.call("Mul", &[a, &alpha]);
    let gate = steps.call("Sigmoid", &[&scaled]);
    let open = steps.call("Mul", &[a, &gate]);
    steps.end("Mul", &[&open, b])
}

/// Pad that fills in no value is given none: tract would fill it in all the same.
fn without_value(mut node: NodeProto) -> NodeProto {
    let fills = attribute(&node, "mode").is_none_or(|a| a.s.is_empty() || a.s == b"constant");
    if let (false, Some(value)) = (fills, node.input.get_mut(2)) {
        value.clear();
    }
    node
}

/// A recurrence in reverse as one forward over steps in reverse: with one direction, tract always goes forward.
fn backwards(mut node: NodeProto) -> Vec<NodeProto> {
    let reverse = attribute(&node, "direction").is_some_and(|a| a.s == b"reverse");
    if !reverse || node.input.is_empty() || node.output.is_empty() {
        return vec![node];
    }
    let axis = attribute(&node, "layout").map_or(0, |a| a.i);
    let old = node.clone();
    let mut steps = Steps::of(&old);
    let ends = [-1, i64::MIN, axis, -1].map(|n| steps.constant(int64s(&[n])));
    let [from, to, axis, by] = &ends;
    node.input[0] = steps.call("Slice", &[&old.input[0], from, to, axis, by]);
    node.attribute.retain(|a| a.name != "direction");
    if !old.output[0].is_empty() {
        node.output[0] = format!("{}.~y", old.output[0]);
        steps.call_named("Slice", &[&node.output[0], from, to, axis, by], &old.output[0]);
    }
    let mut nodes = steps.nodes();
    nodes.push(node);
    nodes
}
