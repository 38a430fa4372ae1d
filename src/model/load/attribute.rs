//! Attributes, and the `Constant` nodes whose attribute is a tensor.

use super::graph::Loader;
use super::{LoadError, external, tensor};
use crate::ir::{Attribute, Extra, Tensor};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::*;

/// An attribute out of its message.
pub(super) struct Loaded {
    pub name: String,
    pub attribute: Attribute,
    /// What the message says besides, if it does: a doc string, say, or a missing type.
    pub odd: Option<AttributeProto>,
    /// Names of the values that its subgraphs capture, graph by graph.
    pub captures: Vec<String>,
}

impl Loader {
    /// Reads an attribute; `who` names the node in messages.
    pub(super) fn attribute(&mut self, mut p: AttributeProto, who: &str) -> Result<Loaded, LoadError> {
        let name = p.name().to_owned();
        let kind = kind(&p);
        let at = format!("{name:?} of {who}");
        let mut captures = vec![];
        let attribute = match kind {
            Some(AttributeType::Tensor) if let Some(t) = p.t.take() => Attribute::Tensor(self.tensor(*t, &at)?),
            Some(AttributeType::Tensors) => {
                let all = std::mem::take(&mut p.tensors).into_iter().map(|t| self.tensor(t, &at));
                Attribute::Tensors(all.collect::<Result<_, _>>()?)
            }
            Some(AttributeType::Graph) if let Some(g) = p.g.take() => {
                Attribute::Graph(Box::new(self.subgraph(*g, &mut captures)?))
            }
            Some(AttributeType::Graphs) => {
                let all = std::mem::take(&mut p.graphs).into_iter().map(|g| self.subgraph(g, &mut captures));
                Attribute::Graphs(all.collect::<Result<_, _>>()?)
            }
            Some(kind) if let Some(value) = scalar(&p, kind) => {
                let odd = (attribute_proto(&name, &value) != p).then_some(p);
                return Ok(Loaded { name, attribute: value, odd, captures });
            }
            _ => return self.opaque(p, name),
        };
        let plain = AttributeProto { name: Some(name.clone()), r#type: kind.map(i32::from), ..Default::default() };
        Ok(Loaded { name, attribute, odd: (p != plain).then_some(p), captures })
    }

    fn opaque(&mut self, mut p: AttributeProto, name: String) -> Result<Loaded, LoadError> {
        external::attribute(&mut p, &mut |t| self.inline(t))?;
        let encoded = remainder(&p);
        let attribute = match p.ref_attr_name {
            Some(to) => Attribute::Reference { to, encoded },
            None => Attribute::Other(encoded),
        };
        Ok(Loaded { name, attribute, odd: None, captures: vec![] })
    }

    /// The tensor of a `Constant` node's only attribute, and the attribute as it was encoded, where it does not hold
    /// the tensor itself. `None` where it holds no constant.
    pub(super) fn constant(&mut self, p: &mut AttributeProto) -> Result<Option<(Tensor, Option<Extra>)>, LoadError> {
        if p.name() == "sparse_value" && p.sparse_tensor.is_some() {
            external::attribute(p, &mut |t| self.inline(t))?;
        }
        if let Some(s) = p.sparse_tensor.as_ref().filter(|_| p.name() == "sparse_value") {
            self.zeros.count(s).map_err(|fault| LoadError::tensor("sparse_value", fault))?;
        }
        let Some(tensor) = constant(p)? else { return Ok(None) };
        Ok(Some((tensor, Some(remainder(p)))))
    }
}

/// The tensor that a `Constant` node's attribute stands for, if it does not hold one as it is.
pub(crate) fn constant(p: &AttributeProto) -> Result<Option<Tensor>, LoadError> {
    Ok(match (p.name(), kind(p).and_then(|kind| scalar(p, kind))) {
        ("sparse_value", None) => match &p.sparse_tensor {
            Some(s) => Some(tensor::sparse(s).map_err(|fault| LoadError::tensor("sparse_value", fault))?),
            None => None,
        },
        (name, value) => value.and_then(|value| value.as_constant(name)),
    })
}

/// The kind of value that an attribute holds: as it says, else by the one field that is there. `None` where that is
/// unclear, and for references to an attribute of the enclosing function.
pub(crate) fn kind(p: &AttributeProto) -> Option<AttributeType> {
    if p.ref_attr_name.is_some() {
        return None;
    }
    match p.r#type {
        Some(code) if code != 0 => return AttributeType::try_from(code).ok(),
        _ => {}
    }
    let mut there = [
        (p.f.is_some(), AttributeType::Float),
        (p.i.is_some(), AttributeType::Int),
        (p.s.is_some(), AttributeType::String),
        (p.t.is_some(), AttributeType::Tensor),
        (p.g.is_some(), AttributeType::Graph),
        (p.sparse_tensor.is_some(), AttributeType::SparseTensor),
        (p.tp.is_some(), AttributeType::TypeProto),
        (!p.floats.is_empty(), AttributeType::Floats),
        (!p.ints.is_empty(), AttributeType::Ints),
        (!p.strings.is_empty(), AttributeType::Strings),
        (!p.tensors.is_empty(), AttributeType::Tensors),
        (!p.graphs.is_empty(), AttributeType::Graphs),
        (!p.sparse_tensors.is_empty(), AttributeType::SparseTensors),
        (!p.type_protos.is_empty(), AttributeType::TypeProtos),
    ]
    .into_iter()
    .filter_map(|(there, kind)| there.then_some(kind));
    there.next().filter(|_| there.next().is_none())
}

/// The value of an attribute that is a number, a string or a list of such. A single value that is absent is zero.
pub(crate) fn scalar(p: &AttributeProto, kind: AttributeType) -> Option<Attribute> {
    Some(match kind {
        AttributeType::Float => Attribute::Float(p.f()),
        AttributeType::Int => Attribute::Int(p.i()),
        AttributeType::String => Attribute::String(p.s.clone().unwrap_or_default()),
        AttributeType::Floats => Attribute::Floats(p.floats.clone()),
        AttributeType::Ints => Attribute::Ints(p.ints.clone()),
        AttributeType::Strings => Attribute::Strings(p.strings.clone()),
        _ => return None,
    })
}

/// The plain message of a number, a string or a list of such; of anything else only its name.
pub(crate) fn attribute_proto(name: &str, value: &Attribute) -> AttributeProto {
    let mut p = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match value {
        Attribute::Float(x) => {
            p.f = Some(*x);
            AttributeType::Float
        }
        Attribute::Int(x) => {
            p.i = Some(*x);
            AttributeType::Int
        }
        Attribute::String(s) => {
            p.s = Some(s.clone());
            AttributeType::String
        }
        Attribute::Floats(x) => {
            p.floats = x.clone();
            AttributeType::Floats
        }
        Attribute::Ints(x) => {
            p.ints = x.clone();
            AttributeType::Ints
        }
        Attribute::Strings(s) => {
            p.strings = s.clone();
            AttributeType::Strings
        }
        Attribute::Tensor(_) => AttributeType::Tensor,
        Attribute::Graph(_) => AttributeType::Graph,
        Attribute::Tensors(_) => AttributeType::Tensors,
        Attribute::Graphs(_) => AttributeType::Graphs,
        Attribute::Reference { .. } | Attribute::Other(_) => return p,
    };
    p.r#type = Some(kind.into());
    p
}
