//! Small models for the tests of rules, and what the analyses say of them as text.

use crate::axes::{Axes, Groups, KeepSets, analyze};
use crate::facts::{Element, Facts};
use crate::infer::infer;
use crate::ir::{
    Attribute, Call, Constant, DType, Dim, Extra, Form, Input, Model, Node, NodeId, Origin, Tensor, TensorType, Type,
    Use, ValueId, ValueInfo,
};
use crate::ops::Site;
use crate::ops::{CutSizes, Refit, rule_of};

/// A model in the making.
pub struct Net {
    pub model: Model,
    count: usize,
}

impl Net {
    pub fn new(opset: i64) -> Net {
        let mut model = Model::default();
        model.opsets.insert(String::new(), opset);
        model.opsets.insert("com.microsoft".into(), 1);
        Net { model, count: 0 }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    /// A graph input: `f32 n 3 ?`; `f32 ..` has no known rank. `?` is a dimension of its own each time.
    pub fn input(&mut self, ty: &str) -> ValueId {
        let (dtype, shape) = ty.split_once(' ').unwrap_or((ty, ""));
        let first = 100 * self.count as u64;
        let dim = |(axis, d): (usize, &str)| match d.parse::<i64>() {
            Ok(n) => Dim::Fixed(n),
            Err(_) if d == "?" => Dim::unknown(first + axis as u64),
            Err(_) => Dim::symbol(d),
        };
        let shape = (shape != "..").then(|| shape.split_whitespace().enumerate().map(dim).collect());
        let dtype = DType::from_name(dtype).expect("a type's name");
        let info = ValueInfo::new(self.name(), Type::Tensor(TensorType { dtype, shape }));
        let node = self.model.graph.add(Node::Input(Input { info, captured: false, default: None }));
        ValueId { node, port: 0 }
    }

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.name();
        self.model.graph.add_constant(Constant { name, tensor, form: Form::Initializer, origin: Origin::Here })
    }

    /// A constant of ones.
    pub fn weight(&mut self, shape: &[usize]) -> ValueId {
        self.constant(Tensor::from_f32(shape.to_vec(), &vec![1.0; shape.iter().product()]))
    }

    pub fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::from_i64(vec![values.len()], values))
    }

    pub fn int(&mut self, value: i64) -> ValueId {
        self.constant(Tensor::from_i64(vec![], &[value]))
    }

    /// A call with one result.
    pub fn call(&mut self, op: &str, operands: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        let operands: Vec<Option<ValueId>> = operands.iter().copied().map(Some).collect();
        self.calls(op, &operands, attributes, 1)[0]
    }

    /// A call with omitted operands or more results.
    pub fn calls(
        &mut self,
        op: &str,
        operands: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
        results: usize,
    ) -> Vec<ValueId> {
        let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
        let call = Call {
            domain: domain.into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            results: (0..results).map(|_| self.name()).collect(),
            arity: operands.len() as u16,
            extra: Extra::new(),
            ..Call::new(op)
        };
        let node = self.model.graph.add(Node::Call(Box::new(call)));
        for (slot, value) in operands.iter().enumerate() {
            if let Some(v) = value {
                self.model.graph.connect(*v, Use { node, slot: slot as u16 });
            }
        }
        (0..results as u16).map(|port| ValueId { node, port }).collect()
    }

    pub fn facts(&self) -> Facts {
        infer(&self.model)
    }

    /// Type and content: `i64[2] = {n, 64}`. A value's own unknown dimensions are numbered from 0.
    pub fn show(&self, value: ValueId) -> String {
        let facts = self.facts();
        let fact = facts.get(value);
        let mut text = fact.ty().map_or("-".to_owned(), |ty| ty.to_string());
        if let Some(c) = &fact.content {
            let element = |e: &Element| match e {
                Element::Int(d) => d.to_string(),
                Element::Float(x) => format!("{x:?}"),
                Element::Bool(b) => b.to_string(),
                Element::Unknown => "_".into(),
            };
            text += &format!(" = {{{}}}", c.0.iter().map(element).collect::<Vec<_>>().join(", "));
        }
        anonymous(&text)
    }

    /// What contradicts, as text.
    pub fn contradictions(&self) -> Vec<String> {
        self.facts().contradictions.into_iter().map(|c| c.what).collect()
    }

    pub fn axes(&self) -> Axes {
        analyze(&self.model, &self.facts())
    }

    /// The axes of values, as `Groups` shows them.
    pub fn show_axes(&self, values: &[ValueId]) -> String {
        let axes = self.axes();
        let groups = Groups::collect(&self.model.graph, &axes);
        values.iter().filter_map(|&v| groups.show_value(&axes, v)).collect::<Vec<_>>().join(" ")
    }

    /// The pins of the groups of a constant, as text.
    pub fn pins(&self, constant: ValueId) -> Vec<String> {
        let axes = self.axes();
        let groups = Groups::collect(&self.model.graph, &axes);
        let mine = groups.all.iter().filter(|g| g.members.iter().any(|m| m.constant == constant));
        mine.flat_map(|g| g.pins.iter().map(|p| p.why.to_string())).collect()
    }

    /// Asks a call's rule for its refit after the first `keep` units of these axes' only leaves were kept.
    pub fn refit(&self, node: NodeId, cuts: &[(ValueId, usize, usize)]) -> Result<Refit, String> {
        let facts = self.facts();
        let axes = analyze(&self.model, &facts);
        let mut kept = KeepSets::default();
        for &(value, axis, keep) in cuts {
            let leaves = axes.solver().leaves(axes.of(value).expect("a rank")[axis]);
            let leaf = *leaves.iter().find(|&&l| axes.solver().size(l).size() > Some(1)).expect("a leaf");
            kept.keep(leaf, (0..keep).collect());
        }
        let graph = &self.model.graph;
        let shape = |v: ValueId| axes.of(v).map(|vars| vars.iter().map(|&x| kept.size(&axes, x)).collect());
        let labels = |name: &str| {
            let b = axes.bindings(node).iter().find(|b| b.name == name)?;
            Some((kept.size(&axes, b.var), None))
        };
        let cut = CutSizes {
            operands: graph.operands(node).into_iter().map(|v| v.and_then(shape)).collect(),
            results: graph.results(node).map(shape).collect(),
            labels: &labels,
        };
        let unknowns = crate::facts::Unknowns::of_questions();
        let call = graph.call(node).expect("a call");
        let site = Site::new(&self.model, graph, node, call, &facts, &unknowns);
        (rule_of(&self.model, call).refit)(&site, &cut)
    }

    /// A refit as text: `@1=[0, 2, 24] split=Ints([1]) -num_outputs`.
    pub fn show_refit(&self, value: ValueId, cuts: &[(ValueId, usize, usize)]) -> String {
        let refit = match self.refit(value.node, cuts) {
            Ok(refit) => refit,
            Err(what) => return format!("error: {what}"),
        };
        let list = |v: &[Dim]| v.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
        let operands = refit.operands.iter().map(|(slot, v, scalar)| match scalar {
            true => format!("@{slot}={}", list(v)),
            false => format!("@{slot}=[{}]", list(v)),
        });
        let attributes = refit.attributes.iter().map(|(name, v)| format!("{name}={v:?}"));
        let gone = refit.without.iter().map(|name| format!("-{name}"));
        operands.chain(attributes).chain(gone).collect::<Vec<_>>().join(" ")
    }

    pub fn is_identity(&self, value: ValueId) -> bool {
        let facts = self.facts();
        let unknowns = crate::facts::Unknowns::of_questions();
        let call = self.model.graph.call(value.node).expect("a call");
        let site = Site::new(&self.model, &self.model.graph, value.node, call, &facts, &unknowns);
        (rule_of(&self.model, call).values.identity)(&site)
    }
}

/// The text with its unknowns (`?1048577`) numbered from 0.
fn anonymous(text: &str) -> String {
    let mut seen: Vec<String> = vec![];
    let mut parts = text.split('?');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let id = part[..end].to_owned();
        let at = seen.iter().position(|s| *s == id).unwrap_or_else(|| {
            seen.push(id);
            seen.len() - 1
        });
        out += &format!("?{at}{}", &part[end..]);
    }
    out
}

pub fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

pub fn int(value: i64) -> Attribute {
    Attribute::Int(value)
}

pub fn text(value: &'static str) -> Attribute {
    Attribute::String(value.into())
}
