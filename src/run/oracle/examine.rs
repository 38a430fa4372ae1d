//! A look at a model before tract gets it: what tract would get wrong or die of is refused.

use super::OracleError;
use super::steps::attribute;
use crate::ir::Signature;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::DimLike;

/// Operators of ONNX Runtime's own domain that tract has, with that meaning.
const CONTRIB: [&str; 12] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// The operator of every node of the main graph, by the name that tract gives the node.
pub(super) type Operators = HashMap<String, String>;

/// The operators of the main graph, if every output is made.
pub(super) fn operators(graph: &GraphProto) -> Result<Operators, OracleError> {
    let made = graph.node.iter().flat_map(|n| n.output.iter());
    let made = made.chain(graph.input.iter().map(|i| &i.name)).chain(graph.initializer.iter().map(|t| &t.name));
    let made: HashSet<&String> = made.collect();
    if let Some(lost) = graph.output.iter().find(|o| !made.contains(&o.name)) {
        return Err(OracleError::NoValue(lost.name.clone()));
    }
    Ok(graph.node.iter().map(|n| (label(n).to_owned(), n.op_type.clone())).collect())
}

/// How messages name a node, and what tract calls it: its name, or that of its first result.
pub(super) fn label(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", |s| s) } else { &node.name }
}

/// Checks that tract knows every operator, subgraphs included.
pub(super) fn check_nodes(graph: &GraphProto, known: &dyn Fn(&str) -> bool) -> Result<(), OracleError> {
    for node in &graph.node {
        if let Some(message) = objection(node, known) {
            let operator = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            return Err(OracleError::Unsupported { operator, node: label(node).into(), message: message.into() });
        }
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            check_nodes(inner, known)?;
        }
    }
    Ok(())
}

/// What speaks against a node. tract looks operators up without their domain.
fn objection(node: &NodeProto, known: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    let ours = match node.domain.as_str() {
        "" | "ai.onnx" | "ai.onnx.ml" => true,
        "com.microsoft" => CONTRIB.contains(&node.op_type.as_str()),
        _ => false,
    };
    if !ours || !known(&node.op_type) {
        return Some("tract has no such operator");
    }
    ignored(node)
}

/// Attributes that tract does not look at, where they say something else than what it does.
fn ignored(node: &NodeProto) -> Option<&'static str> {
    let int = |name: &str, default| attribute(node, name).map_or(default, |a| a.i);
    let is = |name: &str, text: &[u8]| attribute(node, name).is_some_and(|a| a.s == text);
    let has = |slot: usize| node.input.get(slot).is_some_and(|i| !i.is_empty());
    let cases: &[(bool, &'static str)] = match node.op_type.as_str() {
        "Add" | "And" | "Div" | "Equal" | "Greater" | "Less" | "Mul" | "Or" | "Pow" | "Sub" | "Xor" => {
            &[(int("broadcast", 0) != 0 && attribute(node, "axis").is_some(), "tract does not broadcast along an axis")]
        }
        "Attention" => &[
            (int("left_window_size", -1) >= 0 || int("right_window_size", -1) >= 0, "tract has no windows"),
            (int("is_causal", 0) != 0 && has(4), "tract aligns a causal mask with the first key, also of a cache"),
        ],
        "BatchNormalization" => &[(int("training_mode", 0) != 0, "tract has no training mode")],
        "GRU" | "LSTM" | "RNN" => &[
            (is("direction", b"reverse"), "tract goes forward"),
            (attribute(node, "clip").is_some(), "tract does not clip"),
            (int("input_forget", 0) != 0, "tract does not couple the gates"),
            (!has_default_activations(node), "tract has no other activations"),
        ],
        "MultiHeadAttention" => &[(int("unidirectional", 0) != 0, "tract looks ahead, too")],
        "QuantizeLinear" => &[(!has(2) && !matches!(int("output_dtype", 0), 0 | 2), "tract quantizes to u8")],
        "SpaceToDepth" => &[(is("mode", b"CRD"), "tract has no mode CRD")],
        _ => &[],
    };
    cases.iter().find(|(holds, _)| *holds).map(|(_, why)| *why)
}

/// Refuses extremes of nothing: tract takes the least or greatest finite number for them.
pub(super) fn check_empty(graph: &GraphProto, inputs: &[Signature]) -> Result<(), OracleError> {
    let extreme = graph.node.iter().find(|n| matches!(n.op_type.as_str(), "ReduceMax" | "ReduceMin"));
    let (Some(node), true) = (extreme, inputs.iter().any(|(_, _, shape)| shape.contains(&0))) else { return Ok(()) };
    let (operator, message) = (node.op_type.clone(), "tract has no extremes of no elements".into());
    Err(OracleError::Unsupported { operator, node: label(node).into(), message })
}

/// Whether tract may optimize a model: it takes the remainder for commutative where the divisor has more elements.
pub(super) fn may_optimize(model: &TypedModel) -> bool {
    let right = |node: &TypedNode| {
        let Ok(facts) = model.node_input_facts(node.id) else { return false };
        let counts: Vec<Option<usize>> = facts.iter().map(|f| f.shape.volume().to_usize().ok()).collect();
        matches!(counts[..], [Some(a), Some(b)] if a >= b)
    };
    model.nodes.iter().filter(|n| n.op.name() == "Rem").all(right)
}

/// Whether a recurrence has the activations that it has by default, in each direction.
fn has_default_activations(node: &NodeProto) -> bool {
    let default: &[&[u8]] = match node.op_type.as_str() {
        "GRU" => &[b"Sigmoid", b"Tanh"],
        "LSTM" => &[b"Sigmoid", b"Tanh", b"Tanh"],
        _ => &[b"Tanh"],
    };
    let given = attribute(node, "activations").map_or(&[][..], |a| &a.strings);
    given.iter().zip(default.iter().cycle()).all(|(a, b)| a == b)
}
