//! A case: a model of one call, all operands constants, so that nothing pins its axes.

use crate::draw::Draw;
use secateur::ir::{DType, Model, NodeId, Tensor, parse};
use std::collections::HashMap;
use std::fmt::Write;

/// A call with its operands.
pub struct Case {
    /// Qualified by its domain.
    pub op: String,
    pub opset: i64,
    /// As the text of the IR has them: `axis=1, mode="constant"`.
    pub attributes: Vec<String>,
    pub operands: Vec<Operand>,
    pub results: usize,
}

pub enum Operand {
    Absent,
    /// Numbers that the call computes with. The first of these becomes the model's input where one is wanted.
    Data(Tensor),
    /// Numbers that tell the call what to do; they stay constant.
    Fixed(Tensor),
}

impl Case {
    pub fn new(op: &str, opset: i64) -> Case {
        Case { op: op.to_owned(), opset, attributes: vec![], operands: vec![], results: 1 }
    }

    pub fn attribute(mut self, name: &str, value: impl std::fmt::Display) -> Case {
        self.attributes.push(format!("{name}={value}"));
        self
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Case {
        self.attribute(name, format!("{values:?}"))
    }

    pub fn data(mut self, tensor: Tensor) -> Case {
        self.operands.push(Operand::Data(tensor));
        self
    }

    pub fn fixed(mut self, tensor: Tensor) -> Case {
        self.operands.push(Operand::Fixed(tensor));
        self
    }

    /// A list of integers that tells the call what to do.
    pub fn list(self, values: &[i64]) -> Case {
        self.fixed(Tensor::from_i64(vec![values.len()], values))
    }

    /// A quantized tensor.
    pub fn quantized(self, d: &mut Draw, shape: &[usize]) -> Case {
        self.data(d.tensor(DType::U8, shape, 0.0, 200.0))
    }

    /// A scale and a zero point for all.
    pub fn scaled(self, d: &mut Draw) -> Case {
        self.data(d.tensor(DType::F32, &[], 0.5, 1.0)).data(d.tensor(DType::U8, &[], 0.0, 9.0))
    }

    pub fn absent(mut self) -> Case {
        self.operands.push(Operand::Absent);
        self
    }

    pub fn results(mut self, count: usize) -> Case {
        self.results = count;
        self
    }

    /// The slot of the operand that becomes the input where one is wanted, with its numbers.
    pub fn first_data(&self) -> Option<(usize, &Tensor)> {
        self.operands.iter().enumerate().find_map(|(i, o)| if let Operand::Data(t) = o { Some((i, t)) } else { None })
    }

    /// The case as text: data by hashes, what steers the call in full.
    pub fn text(&self) -> String {
        let (domain, _) = self.op.rsplit_once('.').unwrap_or(("", &self.op));
        let mut lines = String::new();
        let mut names = vec![];
        for (i, operand) in self.operands.iter().enumerate() {
            let (tensor, data) = match operand {
                Operand::Absent => {
                    names.push("_".to_owned());
                    continue;
                }
                Operand::Data(t) => (t, format!("#{:x}", i + 1)),
                Operand::Fixed(t) => (t, elements(t)),
            };
            names.push(format!("x{i}"));
            _ = writeln!(lines, "  {}{:?} x{i} {data}", tensor.dtype, tensor.shape);
        }
        let results: Vec<String> = (0..self.results).map(|i| format!("y{i}")).collect();
        let attributes = match &self.attributes[..] {
            [] => String::new(),
            list => format!("<{}>", list.join(", ")),
        };
        let call = format!("  {} = {}{attributes}({})", results.join(", "), self.op, names.join(", "));
        let standard = if domain.is_empty() { "" } else { "\"\" : 17, " };
        let header = format!("<ir_version: 8, opset_import: [{standard}{domain:?} : {}]>", self.opset);
        format!("{header}\ncase () => () {{\n{lines}{call}\n}}\n")
    }

    pub fn model(&self) -> Result<Model, String> {
        let mut weights: HashMap<u64, Tensor> = HashMap::new();
        for (i, operand) in self.operands.iter().enumerate() {
            if let Operand::Data(t) = operand {
                weights.insert(i as u64 + 1, t.clone());
            }
        }
        parse(&self.text(), &|hash| weights.get(&hash).cloned()).map_err(|e| e.to_string())
    }
}

/// A scalar integer.
pub(crate) fn number(n: i64) -> Tensor {
    Tensor::from_i64(vec![], &[n])
}

fn elements(tensor: &Tensor) -> String {
    let list: Vec<String> = match tensor.to_i64() {
        Some(ints) if tensor.dtype == DType::Bool => ints.iter().map(|&i| (i != 0).to_string()).collect(),
        Some(ints) => ints.iter().map(i64::to_string).collect(),
        None => tensor.to_f64().expect("numbers").iter().map(|x| format!("{x:?}")).collect(),
    };
    format!("{{{}}}", list.join(", "))
}

/// The only call of a model.
pub(crate) fn call(model: &Model) -> NodeId {
    model.graph.calls()[0]
}
