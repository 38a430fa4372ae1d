//! Graphs: wires become names.

use super::tensor::{self, DataFile};
use super::{SaveError, decode, types};
use crate::ir::{Attribute, Call, Constant, Extra, Form, Graph, Input, Node, NodeId, Payload, Tensor, ValueId};
use crate::load::{self, attribute_proto, constant, kind, scalar};
use crate::proto::*;
use std::collections::{HashMap, HashSet};

/// Turns graphs into messages.
pub(super) struct Saver {
    /// Where big tensors go; without it, everything is in the model.
    pub data_file: Option<DataFile>,
    /// Whether initializers that are mostly zeros are written as sparse ones.
    pub sparse: bool,
}

/// A graph with the names that its captured inputs have outside.
struct Scope<'a> {
    graph: &'a Graph,
    captured: HashMap<NodeId, &'a str>,
}

impl<'a> Scope<'a> {
    fn name(&self, value: ValueId) -> &'a str {
        self.captured.get(&value.node).copied().unwrap_or_else(|| self.graph.value_name(value))
    }

    /// The names at a node's operand slots; an empty slot is an empty name.
    fn operands(&self, node: NodeId) -> Result<Vec<&'a str>, SaveError> {
        let name = |v| match self.name(v) {
            "" => Err(SaveError::Unnamed { user: self.graph.label(node).to_owned() }),
            name => Ok(name),
        };
        self.graph.operands(node).into_iter().map(|v| v.map_or(Ok(""), name)).collect()
    }

    /// Names are all the wiring that a file has, so each must mean one value.
    fn check_names(&self) -> Result<(), SaveError> {
        let mut names: HashSet<&str> = HashSet::new();
        for node in self.graph.nodes().into_iter().filter(|n| !self.captured.contains_key(n)) {
            for value in self.graph.results(node) {
                let name = self.graph.value_name(value);
                if !name.is_empty() && !names.insert(name) {
                    return Err(SaveError::NameTwice { value: name.to_owned() });
                }
            }
        }
        match self.captured.values().find(|&name| names.contains(name)) {
            Some(name) => Err(SaveError::NameTwice { value: (*name).to_owned() }),
            None => Ok(()),
        }
    }
}

impl Saver {
    /// The message of a graph. `outer` names what it captures, in order.
    pub(super) fn graph(&mut self, graph: &Graph, outer: &[&str]) -> Result<GraphProto, SaveError> {
        let captures = graph.captures();
        if captures.len() != outer.len() {
            return Err(SaveError::Captures { node: graph.name.clone(), found: outer.len(), wanted: captures.len() });
        }
        let captured = captures.into_iter().zip(outer.iter().copied()).collect();
        let scope = Scope { graph, captured };
        scope.check_names()?;
        let mut p: GraphProto = decode(&graph.extra, &graph.name)?;
        put(&mut p.name, graph.name.clone());
        self.inputs_and_initializers(&scope, &mut p)?;
        let order = graph.topological();
        if order.len() != graph.len() {
            return Err(SaveError::Cycle { graph: graph.name.clone() });
        }
        for node in order {
            match graph.node(node) {
                Node::Call(call) => p.node.push(self.call(&scope, node, call)?),
                Node::Constant(Constant { name, tensor, form: Form::Node { extra, original }, .. }) => {
                    p.node.push(self.constant_node(name, tensor, extra, original.as_ref())?);
                }
                _ => {}
            }
        }
        for node in graph.outputs() {
            let Node::Output(output) = graph.node(node) else { continue };
            let value = graph.operand(node, 0).map(|v| scope.name(v)).unwrap_or_default();
            if value != output.info.name {
                let (output, value) = (output.info.name.clone(), value.to_owned());
                return Err(SaveError::Output { output, value });
            }
            p.output.push(types::value_info(&output.info)?);
        }
        p.value_info = graph.value_info.iter().map(types::value_info).collect::<Result<_, _>>()?;
        Ok(p)
    }

    fn inputs_and_initializers(&mut self, scope: &Scope, p: &mut GraphProto) -> Result<(), SaveError> {
        let hint: HashMap<String, usize> =
            p.initializer.drain(..).enumerate().map(|(i, t)| (t.name.unwrap_or_default(), i)).collect();
        let mut declared = vec![];
        for node in scope.graph.nodes() {
            match scope.graph.node(node) {
                Node::Input(Input { captured: false, info, default }) => {
                    p.input.push(types::value_info(info)?);
                    if let Some(t) = default {
                        p.initializer.push(self.tensor(t, Some(&info.name), &info.name)?);
                    }
                }
                Node::Constant(Constant { name, tensor, form, .. }) => match form {
                    Form::Node { .. } => {}
                    Form::Sparse { .. } | Form::Initializer => match self.thin(tensor, form, name)? {
                        Some(sparse) => p.sparse_initializer.push(sparse),
                        None => p.initializer.push(self.tensor(tensor, Some(name), name)?),
                    },
                    Form::InputInitializer { position, info } => {
                        p.initializer.push(self.tensor(tensor, Some(name), name)?);
                        declared.push((*position, types::value_info(info)?));
                    }
                },
                _ => {}
            }
        }
        if !hint.is_empty() {
            p.initializer.sort_by_key(|t| hint.get(t.name()).copied().unwrap_or(usize::MAX));
        }
        // In rising order, so that each finds its place when those before it are there.
        declared.sort_by_key(|(position, _)| *position);
        let mut inputs = std::mem::take(&mut p.input).into_iter();
        for (position, info) in declared {
            let missing = (position as usize).saturating_sub(p.input.len());
            p.input.extend(inputs.by_ref().take(missing));
            p.input.push(info);
        }
        p.input.extend(inputs);
        Ok(())
    }

    /// An initializer as a sparse one: as it was, while it is untouched; else where that is shorter, and it was one or
    /// such are wanted.
    fn thin(&self, t: &Tensor, form: &Form, name: &str) -> Result<Option<SparseTensorProto>, SaveError> {
        if let Form::Sparse { original } = form
            && !original.is_empty()
        {
            let mut p: SparseTensorProto = decode(original, name)?;
            if matches!(t.payload, Payload::Absent(_)) || load::sparse(&p).is_ok_and(|old| old.same(t)) {
                p.values.get_or_insert_default().name = Some(name.to_owned());
                return Ok(Some(p));
            }
        }
        let wanted = self.sparse || matches!(form, Form::Sparse { .. });
        Ok(if wanted { super::sparse::sparse(t, name) } else { None })
    }

    fn tensor(&mut self, t: &Tensor, name: Option<&str>, who: &str) -> Result<TensorProto, SaveError> {
        tensor::tensor(t, name, who, self.data_file.as_mut())
    }

    fn call(&mut self, scope: &Scope, node: NodeId, call: &Call) -> Result<NodeProto, SaveError> {
        let label = call.label();
        if call.domain == crate::ir::BODY_DOMAIN {
            return Err(SaveError::OpenBody { node: label.to_owned() });
        }
        let mut p: NodeProto = decode(&call.extra, label)?;
        let operands = scope.operands(node)?;
        let (inputs, mut captured) = operands.split_at_checked(call.arity.into()).unwrap_or((&operands, &[]));
        let wanted: usize = call.graphs().map(|g| g.captures().len()).sum();
        if captured.len() != wanted || captured.contains(&"") {
            return Err(SaveError::Captures { node: label.to_owned(), found: captured.len(), wanted });
        }
        p.input = inputs.iter().map(|&name| name.to_owned()).collect();
        p.output = call.results.clone();
        put(&mut p.name, call.name.clone());
        put(&mut p.op_type, call.op.clone());
        put(&mut p.domain, call.domain.clone());
        put(&mut p.overload, call.overload.clone());
        let odd = std::mem::take(&mut p.attribute);
        for (name, value) in &call.attributes {
            let odd = odd.iter().find(|o| o.name() == name);
            p.attribute.push(self.attribute(name, value, odd, &mut captured, label)?);
        }
        Ok(p)
    }

    /// The message of an attribute. `odd` is what the file's said besides. The names that its subgraphs capture are
    /// taken from the front of `captured`.
    fn attribute(
        &mut self,
        name: &str,
        value: &Attribute,
        odd: Option<&AttributeProto>,
        captured: &mut &[&str],
        who: &str,
    ) -> Result<AttributeProto, SaveError> {
        if let Attribute::Reference { encoded, .. } | Attribute::Other(encoded) = value {
            let p: AttributeProto = decode(encoded, who)?;
            return Ok(if p.name() == name { p } else { AttributeProto { name: Some(name.to_owned()), ..p } });
        }
        let plain = attribute_proto(name, value);
        let mut p = match odd {
            Some(odd) if still_says(odd, value) => odd.clone(),
            Some(odd) => AttributeProto { name: odd.name.clone(), doc_string: odd.doc_string.clone(), ..plain },
            None => plain,
        };
        let at = format!("{name} of {who}");
        match value {
            Attribute::Tensor(t) => p.t = Some(Box::new(self.tensor(t, None, &at)?)),
            Attribute::Graph(g) => p.g = Some(Box::new(self.subgraph(g, captured)?)),
            Attribute::Tensors(all) => {
                p.tensors = all.iter().map(|t| self.tensor(t, None, &at)).collect::<Result<_, _>>()?;
            }
            Attribute::Graphs(all) => {
                p.graphs = all.iter().map(|g| self.subgraph(g, captured)).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(p)
    }

    fn subgraph(&mut self, graph: &Graph, captured: &mut &[&str]) -> Result<GraphProto, SaveError> {
        let (own, rest) = captured.split_at_checked(graph.captures().len()).unwrap_or((captured, &[]));
        *captured = rest;
        self.graph(graph, own)
    }

    fn constant_node(
        &mut self,
        name: &str,
        tensor: &Tensor,
        extra: &Extra,
        original: Option<&Extra>,
    ) -> Result<NodeProto, SaveError> {
        let mut p: NodeProto = decode(extra, name)?;
        p.op_type = Some("Constant".into());
        p.output = vec![name.to_owned()];
        let odd = std::mem::take(&mut p.attribute);
        let original = original.map(|o| decode::<AttributeProto>(o, name)).transpose()?;
        let attribute = match original {
            Some(original) if holds(&original, tensor) => original,
            _ => {
                let value = Attribute::Tensor(tensor.clone());
                self.attribute("value", &value, odd.first(), &mut &[][..], name)?
            }
        };
        p.attribute = vec![attribute];
        Ok(p)
    }
}

/// Whether a message, less its tensors and graphs, can be written for a value as it is.
fn still_says(odd: &AttributeProto, value: &Attribute) -> bool {
    let plain = attribute_proto("", value);
    let kind = kind(odd).or_else(|| plain.r#type.and_then(|code| code.try_into().ok()));
    match kind {
        Some(k) if plain.r#type != Some(k.into()) => false,
        Some(k) => scalar(odd, k).is_none_or(|old| attribute_proto("", &old) == plain),
        None => false,
    }
}

/// Whether the attribute of a `Constant` node still stands for the tensor.
fn holds(original: &AttributeProto, tensor: &Tensor) -> bool {
    constant(original).is_ok_and(|old| old.is_some_and(|old| old.same(tensor)))
}
