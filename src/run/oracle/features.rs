//! The arithmetic of `ai.onnx.ml`, of which tract has little, in standard operators.

use super::steps::{Steps, attribute, floats, int64s, of_type, scalar};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// The node in standard operators, or as it is. `opset` is that of the standard domain.
pub(super) fn arithmetic(node: NodeProto, opset: i64) -> Vec<NodeProto> {
    let [_] = node.output[..] else { return vec![node] };
    match (node.op_type.as_str(), &node.input[..]) {
        ("Scaler", [x]) => scaled(&node, x),
        ("Imputer", [x]) => imputed(&node, x),
        ("Binarizer", [x]) => binarized(&node, x),
        ("FeatureVectorizer", [_, ..]) => side_by_side(&node),
        ("Normalizer", [x]) if attribute(&node, "norm").is_none_or(|a| a.s.is_empty() || a.s == b"MAX") => {
            over_the_greatest(&node, x, opset)
        }
        _ => vec![node],
    }
}

/// `(x - offset) · scale`
fn scaled(node: &NodeProto, x: &str) -> Vec<NodeProto> {
    let list = |name: &str| attribute(node, name).map_or(vec![], |a| a.floats.clone());
    let (offset, scale) = (list("offset"), list("scale"));
    if offset.is_empty() || scale.is_empty() {
        return vec![node.clone()];
    }
    let mut steps = Steps::of(node);
    let (offset, scale) = (steps.constant(floats(&offset)), steps.constant(floats(&scale)));
    let x = steps.as_floats(x);
    let moved = steps.call("Sub", &[&x, &offset]);
    steps.end("Mul", &[&moved, &scale])
}

/// What is equal to a number, or is none, as another number.
fn imputed(node: &NodeProto, x: &str) -> Vec<NodeProto> {
    let mut steps = Steps::of(node);
    let number = |steps: &mut Steps, tensor: TensorProto| {
        let constant = steps.constant(tensor);
        steps.call("CastLike", &[&constant, x])
    };
    let values = match (attribute(node, "imputed_value_floats"), attribute(node, "imputed_value_int64s")) {
        (Some(a), _) if !a.floats.is_empty() => floats(&a.floats),
        (_, Some(a)) if !a.ints.is_empty() => int64s(&a.ints),
        _ => return vec![node.clone()],
    };
    let whole = values.float_data.is_empty();
    let values = number(&mut steps, values);
    let replaced = attribute(node, "replaced_value_float").map_or(0.0, |a| a.f);
    let missing = if whole {
        let replaced = attribute(node, "replaced_value_int64").map_or(0, |a| a.i);
        let replaced = number(&mut steps, int64s(&[replaced]));
        steps.call("Equal", &[x, &replaced])
    } else if replaced.is_nan() {
        steps.call("IsNaN", &[x])
    } else {
        let replaced = number(&mut steps, scalar(replaced));
        steps.call("Equal", &[x, &replaced])
    };
    steps.end("Where", &[&missing, &values, x])
}

/// 1 above a threshold, and 0 elsewhere.
fn binarized(node: &NodeProto, x: &str) -> Vec<NodeProto> {
    let mut steps = Steps::of(node);
    let threshold = steps.float_like(attribute(node, "threshold").map_or(0.0, |a| a.f), x);
    let above = steps.call("Greater", &[x, &threshold]);
    steps.end("CastLike", &[&above, x])
}

/// Tables side by side, as floats.
fn side_by_side(node: &NodeProto) -> Vec<NodeProto> {
    let mut steps = Steps::of(node);
    let tables: Vec<String> = node.input.iter().map(|x| steps.as_floats(x)).collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let mut nodes = steps.end("Concat", &tables);
    if let Some(concat) = nodes.last_mut() {
        concat.attribute.push(AttributeProto { i: 1, ..of_type("axis", AttributeType::Int) });
    }
    nodes
}

/// Features over their greatest: tract takes the greatest magnitude. Rows whose greatest is zero stay.
fn over_the_greatest(node: &NodeProto, x: &str, opset: i64) -> Vec<NodeProto> {
    let mut steps = Steps::of(node);
    let x = steps.as_floats(x);
    let greatest = steps.reduced("ReduceMax", &x, &[-1], opset);
    let (zero, one) = (steps.constant(scalar(0.0)), steps.constant(scalar(1.0)));
    let nothing = steps.call("Equal", &[&greatest, &zero]);
    let divisor = steps.call("Where", &[&nothing, &one, &greatest]);
    steps.end("Div", &[&x, &divisor])
}
