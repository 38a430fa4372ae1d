//! ONNX Runtime's DynamicQuantizeLSTM in standard operators: tract has none.
//!
//! ```text
//! q, s, z = DynamicQuantizeLinear(x)                once for the inputs of all steps
//! gates = (q - z) · (w - w_zero) · s · w_scale + biases
//! h, c = Scan: gates + the same of (h, r); i o f g = …; c' = σ(f) · c + σ(i) · tanh(g); h' = σ(o) · tanh(c')
//! ```
//!
//! Products are computed in floats: numbers of eight bits and their sums are exact there, or nearly so.

use super::steps::{Steps, attribute, int64s, of_type, scalar};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};

/// The node written out; as it is where it has more than weights, biases and initial states.
pub(super) fn written_out(node: NodeProto) -> Vec<NodeProto> {
    let text = |name: &str| attribute(&node, name).map_or(&b""[..], |a| &a.s);
    let directions: &[bool] = match text("direction") {
        b"bidirectional" => &[false, true],
        b"reverse" => &[true],
        _ => &[false],
    };
    let Some(lstm) = Lstm::of(&node) else { return vec![node] };
    let mut steps = Steps::of(&node);
    let x = Quantized::of(&mut steps, &node.input[0]);
    let ways: Vec<[String; 3]> =
        directions.iter().enumerate().map(|(d, &reverse)| lstm.direction(&mut steps, &x, d, reverse)).collect();
    for (port, axis) in [1, 0, 0].into_iter().enumerate() {
        let Some(name) = node.output.get(port).filter(|name| !name.is_empty()) else { continue };
        let parts: Vec<&str> = ways.iter().map(|outputs| outputs[port].as_str()).collect();
        steps.call_named("Concat", &parts, name);
        steps.attribute(AttributeProto { i: axis, ..of_type("axis", AttributeType::Int) });
    }
    steps.nodes()
}

/// A tensor quantized by the range of its elements and 0: minus its zero point, as floats, and the scale.
struct Quantized {
    numbers: String,
    scale: String,
}

impl Quantized {
    fn of(steps: &mut Steps, x: &str) -> Quantized {
        let [q, scale, zero] = &steps.calls("DynamicQuantizeLinear", &[x], vec![], 3)[..] else {
            unreachable!("three")
        };
        let (q, zero) = (steps.as_floats(q), steps.as_floats(zero));
        Quantized { numbers: steps.call("Sub", &[&q, &zero]), scale: scale.clone() }
    }

    fn times(&self, steps: &mut Steps, weights: &Quantized) -> String {
        let product = steps.call("MatMul", &[&self.numbers, &weights.numbers]);
        let scaled = steps.call("Mul", &[&product, &self.scale]);
        steps.call("Mul", &[&scaled, &weights.scale])
    }
}

struct Lstm<'a> {
    node: &'a NodeProto,
    hidden: i64,
}

impl<'a> Lstm<'a> {
    fn of(node: &'a NodeProto) -> Option<Lstm<'a>> {
        let hidden = attribute(node, "hidden_size").map(|a| a.i).filter(|&h| h > 0)?;
        let other = ["activations", "clip", "input_forget"].iter().any(|name| match attribute(node, name) {
            None => false,
            Some(a) => a.i != 0 || a.f != 0.0 || !a.strings.is_empty(),
        });
        let lstm = Lstm { node, hidden };
        let complete = node.input.len() == 12 && (8..12).all(|slot| lstm.operand(slot).is_some());
        (complete && !other && lstm.operand(4).is_none() && lstm.operand(7).is_none()).then_some(lstm)
    }

    fn operand(&self, slot: usize) -> Option<&'a str> {
        self.node.input.get(slot).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// States of all steps `[steps, 1, batch, hidden]`, the last state and the last cell `[1, batch, hidden]`.
    fn direction(&self, steps: &mut Steps, x: &Quantized, d: usize, reverse: bool) -> [String; 3] {
        let at = d as i64;
        let (w, r) = (self.weights(steps, [1, 8, 9], at), self.weights(steps, [2, 10, 11], at));
        let mut gates = x.times(steps, &w);
        if let Some(biases) = self.operand(3) {
            let both = steps.at(biases, at);
            let both = steps.reshaped(&both, &[2, -1]);
            let (one, other) = (steps.at(&both, 0), steps.at(&both, 1));
            let sum = steps.call("Add", &[&one, &other]);
            gates = steps.call("Add", &[&gates, &sum]);
        }
        let (h, c) = (self.initial(steps, 5, at), self.initial(steps, 6, at));
        let way = |name: &str| AttributeProto { ints: vec![reverse.into()], ..of_type(name, AttributeType::Ints) };
        let attributes = vec![
            AttributeProto { g: Some(self.step(&r, d)), ..of_type("body", AttributeType::Graph) },
            AttributeProto { i: 1, ..of_type("num_scan_inputs", AttributeType::Int) },
            way("scan_input_directions"),
            way("scan_output_directions"),
        ];
        let [h, c, all] = &steps.calls("Scan", &[&h, &c, &gates], attributes, 3)[..] else { unreachable!("three") };
        let last = [1, -1, self.hidden];
        let all = steps.reshaped(all, &[0, 1, -1, self.hidden]);
        [all, steps.reshaped(h, &last), steps.reshaped(c, &last)]
    }

    /// The weights of a direction, minus their zero points, and their scale: the slots of all three.
    fn weights(&self, steps: &mut Steps, slots: [usize; 3], at: i64) -> Quantized {
        let [weights, scale, zero] = slots.map(|slot| steps.at(&self.node.input[slot], at));
        let (weights, zero) = (steps.as_floats(&weights), steps.as_floats(&zero));
        Quantized { numbers: steps.call("Sub", &[&weights, &zero]), scale }
    }

    /// An initial state of a direction: as given, or zero.
    fn initial(&self, steps: &mut Steps, slot: usize, at: i64) -> String {
        if let Some(given) = self.operand(slot) {
            return steps.at(given, at);
        }
        let shape = steps.call("Shape", &[&self.node.input[0]]);
        let (batch, hidden) = (steps.constant(int64s(&[1])), steps.constant(int64s(&[self.hidden])));
        let batch = steps.call("Gather", &[&shape, &batch]);
        let first = AttributeProto { i: 0, ..of_type("axis", AttributeType::Int) };
        let shape = steps.calls("Concat", &[&batch, &hidden], vec![first], 1).remove(0);
        let zero = TensorProto { dims: vec![1], ..scalar(0.0) };
        let value = AttributeProto { t: Some(zero), ..of_type("value", AttributeType::Tensor) };
        steps.calls("ConstantOfShape", &[&shape], vec![value], 1).remove(0)
    }

    /// The body of the scan: state, cell and the inputs' share of the gates to state, cell and state.
    fn step(&self, r: &Quantized, d: usize) -> GraphProto {
        let base = format!("{}.~step{d}", self.node.output.iter().find(|o| !o.is_empty()).map_or("", |o| o));
        let inner = NodeProto { name: base.clone(), output: vec![base.clone()], ..NodeProto::default() };
        let mut steps = Steps::of(&inner);
        let [h, c, x] = ["h", "c", "x"].map(|name| format!("{base}.{name}"));
        let share = Quantized::of(&mut steps, &h).times(&mut steps, r);
        let gates = steps.call("Add", &[&x, &share]);
        let quarters = steps.reshaped(&gates, &[0, 4, -1]);
        let quarter = |steps: &mut Steps, k: i64, op: &str| {
            let index = steps.constant(TensorProto { dims: vec![], ..int64s(&[k]) });
            let axis = AttributeProto { i: 1, ..of_type("axis", AttributeType::Int) };
            let gate = steps.calls("Gather", &[&quarters, &index], vec![axis], 1).remove(0);
            steps.call(op, &[&gate])
        };
        let [i, o, f] = [0, 1, 2].map(|k| quarter(&mut steps, k, "Sigmoid"));
        let g = quarter(&mut steps, 3, "Tanh");
        let (kept, new) = (steps.call("Mul", &[&f, &c]), steps.call("Mul", &[&i, &g]));
        let cell = steps.call("Add", &[&kept, &new]);
        let shown = steps.call("Tanh", &[&cell]);
        let state = steps.call("Mul", &[&o, &shown]);
        let all = steps.call("Identity", &[&state]);
        GraphProto {
            name: base,
            input: [h, c, x].map(|name| float_value(&name)).to_vec(),
            output: [state, cell, all].map(|name| float_value(&name)).to_vec(),
            node: steps.nodes(),
            ..GraphProto::default()
        }
    }
}

fn float_value(name: &str) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, ..type_proto::Tensor::default() };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
}
