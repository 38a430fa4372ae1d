//! A model of one call, from text, and what inference and the axis solver make of it.
//!
//! An operand is `N 3 8 8` (an input; a letter is a symbol), `=16 3 3 3` (a constant), `=i64[1 2]` (a constant of
//! these elements), `?` (an input of unknown rank) or empty (left out). A type may stand in front: `u8:=16`.
//! Constants keep their axes free, so an operand under test is usually one.

use crate::axes::{Axes, Groups, KeepSets, Kept, analyze};
use crate::facts::Facts;
use crate::infer::infer;
use crate::ir::{
    Attribute, Call, Constant, DType, Dim, Extra, Form, Input, Model, Node, NodeId, Origin, Store, Tensor, TensorType,
    Type, Use, ValueId, ValueInfo,
};
use crate::ir::{Graph, Payload};
pub mod nets;
mod odd;

use crate::ops::{CutSizes, Refit, Rule, Site, SlidingWindow, rule_of};

/// A model of one call.
pub struct Case {
    pub model: Model,
    call: NodeId,
}

impl Case {
    /// `op` is qualified by its domain; `attributes` are `name=value` with values `3`, `1.5`, `[1,2]` or a string.
    pub fn new(op: &str, opset: i64, attributes: &str, operands: &[&str], results: usize) -> Case {
        let (domain, name) = op.rsplit_once('.').unwrap_or(("", op));
        let mut model = Model::default();
        model.opsets.insert(domain.to_owned(), opset);
        let values: Vec<Option<ValueId>> =
            operands.iter().enumerate().map(|(i, o)| operand(&mut model.graph, i, o)).collect();
        let mut call = Call::new(name);
        call.domain = domain.to_owned();
        call.attributes = attributes.split_whitespace().map(attribute).collect();
        call.results = (0..results).map(|i| format!("y{i}")).collect();
        call.arity = operands.len() as u16;
        let node = model.graph.add(Node::Call(Box::new(call)));
        for (slot, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                model.graph.connect(value, Use { node, slot: slot as u16 });
            }
        }
        Case { model, call: node }
    }

    fn with_site<T>(&self, facts: &Facts, see: impl FnOnce(&Site) -> T) -> T {
        let unknowns = crate::facts::Unknowns::of_questions();
        let graph = &self.model.graph;
        let call = graph.call(self.call).expect("a call");
        see(&Site::new(&self.model, graph, self.call, call, facts, &unknowns))
    }

    /// The axes of the operands and the types of the results: `[c0:16, 3] -> f32[8, c0:16]`.
    pub fn show(&self) -> String {
        let graph = &self.model.graph;
        let facts = infer(&self.model);
        if let Some(c) = facts.contradictions.first() {
            return format!("error: {}", c.what);
        }
        let axes = analyze(&self.model, &facts);
        let groups = Groups::collect(graph, &axes);
        let shown = |v: ValueId| groups.show_value(&axes, v).unwrap_or("[..]".into());
        let operands = graph.operands(self.call).into_iter().map(|o| o.map_or("-".into(), shown));
        let results = graph.results(self.call).map(|v| {
            let dtype = facts.get(v).dtype.map_or("?".into(), |d| d.to_string());
            format!("{dtype}{}", shown(v))
        });
        let text = format!("{} -> {}", join(operands), join(results));
        number_unknowns(&text)
    }

    /// Why axes of the call are pinned or not exact, each once.
    pub fn reasons(&self) -> String {
        let axes = analyze(&self.model, &infer(&self.model));
        let groups = Groups::collect(&self.model.graph, &axes);
        let mut whys: Vec<String> =
            groups.all.iter().flat_map(|g| g.pins.iter().chain(&g.inexact)).map(|p| p.why.to_string()).collect();
        whys.dedup();
        whys.join("; ")
    }

    /// What the operator's rule says of the call.
    pub fn ask<T>(&self, see: impl FnOnce(&Rule, &Site) -> T) -> T {
        let rule = rule_of(&self.model, self.model.graph.call(self.call).expect("a call"));
        self.with_site(&infer(&self.model), |site| see(rule, site))
    }

    /// The law of zeros, given which operands are zero.
    pub fn zero(&self, operands: &[bool]) -> bool {
        self.ask(|rule, site| (rule.zeros.results)(site, operands))
    }

    pub fn cost(&self) -> String {
        self.ask(|rule, site| (rule.cost)(site).to_string())
    }

    pub fn windows(&self) -> Vec<SlidingWindow> {
        self.ask(|rule, site| (rule.operands.windows)(site))
    }

    pub fn is_identity(&self) -> bool {
        self.ask(|rule, site| (rule.values.identity)(site))
    }

    /// What changes at the call when nothing is cut.
    pub fn refit_nothing(&self) -> Result<Refit, String> {
        let cut = CutSizes { operands: vec![], results: vec![], labels: &|_| None };
        self.ask(|rule, site| (rule.refit)(site, &cut))
    }

    /// What changes at the call when a label of its rule keeps only these units.
    pub fn refit(&self, label: &str, units: &[usize]) -> String {
        let facts = infer(&self.model);
        let axes = analyze(&self.model, &facts);
        let bound = axes.bindings(self.call).iter().find(|b| b.name == label).expect("a label of the rule");
        let mut keep = KeepSets::default();
        keep.keep(axes.solver().leaves(bound.var)[0], units.to_vec());
        let cut = CutSizes {
            operands: self.model.graph.operands(self.call).into_iter().map(|v| shape(&axes, &keep, v?)).collect(),
            results: self.model.graph.results(self.call).map(|v| shape(&axes, &keep, v)).collect(),
            labels: &|name| {
                let b = axes.bindings(self.call).iter().find(|b| b.name == name)?;
                let kept = match keep.of(&axes, b.var) {
                    Kept::All | Kept::Open => None,
                    Kept::Some(units) => Some(units),
                };
                Some((keep.size(&axes, b.var), kept))
            },
        };
        match self.ask(|rule, site| (rule.refit)(site, &cut)) {
            Ok(refit) => show_refit(&refit),
            Err(what) => format!("error: {what}"),
        }
    }
}

/// The axes and types of one call; see [`Case::show`].
pub fn show(op: &str, opset: i64, attributes: &str, operands: &[&str]) -> String {
    Case::new(op, opset, attributes, operands, 1).show()
}

fn shape(axes: &Axes, keep: &KeepSets, value: ValueId) -> Option<Vec<Dim>> {
    Some(axes.of(value)?.iter().map(|&v| keep.size(axes, v)).collect())
}

fn show_refit(refit: &Refit) -> String {
    let attributes = refit.attributes.iter().map(|(name, value)| match value {
        Attribute::Int(i) => format!("{name}={i}"),
        Attribute::Ints(v) => format!("{name}={v:?}"),
        other => format!("{name}={other:?}"),
    });
    let operands = refit.operands.iter().map(|(slot, content, _)| format!("#{slot}=[{}]", join(content.iter())));
    join(attributes.chain(operands).chain(refit.without.iter().map(|w| format!("-{w}"))))
}

fn join(parts: impl Iterator<Item = impl ToString>) -> String {
    parts.map(|p| p.to_string()).collect::<Vec<_>>().join(", ")
}

/// Unknown dimensions by the order in which they appear: `?0`, `?1`.
fn number_unknowns(text: &str) -> String {
    let mut seen: Vec<String> = vec![];
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('?') {
        let end = rest[at + 1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |e| at + 1 + e);
        let word = rest[at..end].to_owned();
        out += &rest[..at];
        rest = &rest[end..];
        if word == "?" {
            out += "?";
            continue;
        }
        let id = seen.iter().position(|s| *s == word).unwrap_or_else(|| {
            seen.push(word);
            seen.len() - 1
        });
        out += &format!("?{id}");
    }
    out + rest
}

fn attribute(text: &str) -> (String, Attribute) {
    let (name, value) = text.split_once('=').expect("name=value");
    let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    let value = if let Some(list) = list {
        let items: Vec<&str> = list.split(',').filter(|i| !i.is_empty()).collect();
        match items.iter().map(|i| i.parse().ok()).collect() {
            Some(ints) => Attribute::Ints(ints),
            None => match items.iter().map(|i| i.parse().ok()).collect() {
                Some(floats) => Attribute::Floats(floats),
                None => Attribute::Strings(items.into_iter().map(|i| i.to_owned().into()).collect()),
            },
        }
    } else if let Ok(i) = value.parse() {
        Attribute::Int(i)
    } else if let Ok(x) = value.parse() {
        Attribute::Float(x)
    } else {
        Attribute::String(value.to_owned().into())
    };
    (name.to_owned(), value)
}

fn operand(graph: &mut Graph, slot: usize, text: &str) -> Option<ValueId> {
    let (dtype, rest) = text.split_once(':').unwrap_or(("f32", text));
    let dtype = DType::from_name(dtype).expect("a type");
    let name = format!("x{slot}");
    let input = |shape| {
        let info = ValueInfo::new(name.clone(), Type::Tensor(TensorType { dtype, shape }));
        Node::Input(Input { info, captured: false, default: None })
    };
    let node = match rest.strip_prefix('=') {
        _ if text.is_empty() => return None,
        None if rest == "?" => input(None),
        None => input(Some(rest.split_whitespace().map(dim).collect())),
        Some(constant) => Node::Constant(Constant {
            tensor: tensor(dtype, constant),
            name,
            form: Form::Initializer,
            origin: Origin::Here,
        }),
    };
    Some(ValueId { node: graph.add(node), port: 0 })
}

fn dim(text: &str) -> Dim {
    text.parse::<i64>().map_or_else(|_| Dim::symbol(text), Dim::Fixed)
}

/// A constant: a shape, its data known by a hash alone, or a list of elements in brackets.
fn tensor(dtype: DType, text: &str) -> Tensor {
    if let Some((kind, list)) = text.split_once('[') {
        let values: Vec<f64> =
            list.trim_end_matches(']').split_whitespace().map(|v| v.parse().expect("a number")).collect();
        let dtype = DType::from_name(kind).unwrap_or(dtype);
        return Tensor::from_f64(dtype, vec![values.len()], &values).expect("a plain type");
    }
    let shape = text.split_whitespace().map(|d| d.parse().expect("a constant's dimension")).collect();
    Tensor { dtype, shape, payload: Payload::Absent(7), store: Store::Raw, extra: Extra::new() }
}
