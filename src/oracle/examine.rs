//! A look at a model before tract gets it: what tract would get wrong or die of is refused.

use super::OracleError;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};

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
pub type Operators = HashMap<String, String>;

/// The operators of the main graph, if every output is made.
pub fn operators(graph: &GraphProto) -> Result<Operators, OracleError> {
    let made = graph.node.iter().flat_map(|n| n.output.iter());
    let made = made.chain(graph.input.iter().map(|i| &i.name)).chain(graph.initializer.iter().map(|t| &t.name));
    let made: HashSet<&String> = made.collect();
    if let Some(lost) = graph.output.iter().find(|o| !made.contains(&o.name)) {
        return Err(OracleError::NoValue(lost.name.clone()));
    }
    Ok(graph.node.iter().map(|n| (label(n).to_owned(), n.op_type.clone())).collect())
}

/// How messages name a node, and what tract calls it: its name, or that of its first result.
pub fn label(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", |s| s) } else { &node.name }
}

/// Checks that tract knows every operator, subgraphs included.
pub fn check_nodes(graph: &GraphProto, known: &dyn Fn(&str) -> bool) -> Result<(), OracleError> {
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

/// What speaks against a node. tract looks operators up without their domain, and reads every
/// BatchNormalization as one of inference.
fn objection(node: &NodeProto, known: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    let ours = match node.domain.as_str() {
        "" | "ai.onnx" | "ai.onnx.ml" => true,
        "com.microsoft" => CONTRIB.contains(&node.op_type.as_str()),
        _ => false,
    };
    if !ours || !known(&node.op_type) {
        return Some("tract has no such operator");
    }
    let training = node.attribute.iter().any(|a| a.name == "training_mode" && a.i != 0);
    (training && node.op_type == "BatchNormalization").then_some("tract has no training mode")
}
