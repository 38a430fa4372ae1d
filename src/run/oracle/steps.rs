//! The nodes that are written in place of one.

use super::examine::label;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// The nodes that stand for one node. Names are made from names that the file has once: a value's.
pub(super) struct Steps<'a> {
    node: &'a NodeProto,
    /// What the names of results begin with: the name of one of the node's own.
    base: &'a str,
    nodes: Vec<NodeProto>,
}

impl<'a> Steps<'a> {
    pub(super) fn of(node: &'a NodeProto) -> Steps<'a> {
        let base = node.output.iter().find(|o| !o.is_empty()).map_or("", |o| o);
        Steps { node, base, nodes: Vec::new() }
    }

    /// Adds a call; returns the name of its result.
    pub(super) fn call(&mut self, op: &str, from: &[&str]) -> String {
        let at = self.nodes.len();
        let result = format!("{}.~{at}", self.base);
        let name = format!("{}.~{at}", label(self.node));
        self.nodes.push(call(op, from, name, result.clone()));
        result
    }

    /// Adds a call of several results, with attributes; returns their names.
    pub(super) fn calls(
        &mut self,
        op: &str,
        from: &[&str],
        attributes: Vec<AttributeProto>,
        results: usize,
    ) -> Vec<String> {
        let first = self.call(op, from);
        let names: Vec<String> =
            (0..results).map(|k| if k == 0 { first.clone() } else { format!("{first}.{k}") }).collect();
        if let Some(node) = self.nodes.last_mut() {
            (node.output, node.attribute) = (names.clone(), attributes);
        }
        names
    }

    /// The operand as floats.
    pub(super) fn as_floats(&mut self, operand: &str) -> String {
        let to = AttributeProto { i: DataType::Float as i64, ..of_type("to", AttributeType::Int) };
        self.calls("Cast", &[operand], vec![to], 1).remove(0)
    }

    /// Index `at` of the operand's first axis.
    pub(super) fn at(&mut self, operand: &str, at: i64) -> String {
        let index = self.constant(TensorProto { dims: vec![], ..int64s(&[at]) });
        self.call("Gather", &[operand, &index])
    }

    /// The operand in another shape, written as Reshape reads it.
    pub(super) fn reshaped(&mut self, operand: &str, shape: &[i64]) -> String {
        let shape = self.constant(int64s(shape));
        self.call("Reshape", &[operand, &shape])
    }

    /// Adds the call that makes what the node made.
    pub(super) fn end(mut self, op: &str, from: &[&str]) -> Vec<NodeProto> {
        self.nodes.push(call(op, from, label(self.node).into(), self.node.output[0].clone()));
        self.nodes
    }

    pub(super) fn constant(&mut self, tensor: TensorProto) -> String {
        let name = self.call("Constant", &[]);
        self.attribute(AttributeProto { t: Some(tensor), ..of_type("value", AttributeType::Tensor) });
        name
    }

    /// The operand, transposed where the node's attribute says so.
    pub(super) fn transposed(&mut self, flag: &str, operand: &str) -> String {
        if attribute(self.node, flag).is_none_or(|a| a.i == 0) {
            return operand.to_owned();
        }
        let name = self.call("Transpose", &[operand]);
        self.attribute(AttributeProto { ints: vec![1, 0], ..of_type("perm", AttributeType::Ints) });
        name
    }

    /// The mean over the axes 0 and 2.
    pub(super) fn mean_of_columns(&mut self, operand: &str, opset: i64) -> String {
        self.reduced("ReduceMean", operand, &[0, 2], opset)
    }

    /// A mean or an extreme over axes, which are an attribute before opset 18, and an operand from then on.
    pub(super) fn reduced(&mut self, op: &str, operand: &str, axes: &[i64], opset: i64) -> String {
        if opset >= 18 {
            let axes = self.constant(int64s(axes));
            return self.call(op, &[operand, &axes]);
        }
        let name = self.call(op, &[operand]);
        self.attribute(AttributeProto { ints: axes.to_vec(), ..of_type("axes", AttributeType::Ints) });
        name
    }

    /// A float in the element type of a value.
    pub(super) fn float_like(&mut self, number: f32, value: &str) -> String {
        let number = self.constant(scalar(number));
        self.call("CastLike", &[&number, value])
    }

    /// The nodes so far.
    pub(super) fn nodes(self) -> Vec<NodeProto> {
        self.nodes
    }

    /// Adds a call that makes a value of this name.
    pub(super) fn call_named(&mut self, op: &str, from: &[&str], result: &str) {
        let name = format!("{}.~{}", label(self.node), self.nodes.len());
        self.nodes.push(call(op, from, name, result.to_owned()));
    }

    /// Gives the latest call an attribute.
    pub(super) fn attribute(&mut self, attribute: AttributeProto) {
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

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

pub(super) fn of_type(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() }
}

pub(super) fn scalar(value: f32) -> TensorProto {
    TensorProto { data_type: DataType::Float as i32, float_data: vec![value], ..TensorProto::default() }
}

pub(super) fn floats(values: &[f32]) -> TensorProto {
    TensorProto { dims: vec![values.len() as i64], float_data: values.to_vec(), ..scalar(0.0) }
}

pub(super) fn int64s(values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
    TensorProto { dims, data_type: DataType::Int64 as i32, int64_data, ..TensorProto::default() }
}
