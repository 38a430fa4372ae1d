//! Graphs: names become wires.

use super::external::{self, Files};
use super::sources;
use super::tensor::Zeros;
use super::{LoadError, tensor, types};
use crate::ir::{
    BODY_DOMAIN, Call, Constant, Extra, Form, Graph, Input, Node, NodeId, Origin, Output, Tensor, Use, ValueId,
    ValueInfo,
};
use crate::proto::*;
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::Path;

/// What all graphs of a model share while they are loaded.
pub(super) struct Loader {
    files: Files,
    ir_version: i64,
    pub(super) zeros: Zeros,
    /// How many dimensions without a size or a name there were.
    open: types::OpenSizes,
    /// The names that the graph at hand and each one around it define, outermost first.
    scopes: Vec<HashSet<String>>,
}

/// A graph under construction.
struct Body {
    graph: Graph,
    values: HashMap<String, ValueId>,
    /// Values of enclosing graphs, in the order of their first use.
    captures: Vec<String>,
    /// Which slot wants which value. They are connected when all values are there.
    uses: Vec<(Use, String)>,
}

impl Loader {
    pub(super) fn new(dir: Option<&Path>, ir_version: i64) -> Loader {
        let (files, open) = (Files::new(dir), types::OpenSizes::default());
        Loader { files, ir_version, zeros: Zeros::new(), open, scopes: vec![] }
    }

    pub(super) fn tensor(&mut self, p: TensorProto, name: &str) -> Result<Tensor, LoadError> {
        tensor::tensor(p, &mut self.files).map_err(|fault| LoadError::tensor(name, fault))
    }

    /// A sparse tensor with its zeros.
    pub(super) fn sparse(&mut self, p: &SparseTensorProto, name: &str) -> Result<Tensor, LoadError> {
        let tensor = self.zeros.count(p).and_then(|()| tensor::sparse(p));
        tensor.map_err(|fault| LoadError::tensor(name, fault))
    }

    /// Moves external data into a message that is kept as it is.
    pub(super) fn inline(&mut self, p: &mut TensorProto) -> Result<(), LoadError> {
        tensor::inline(p, &mut self.files).map_err(|fault| LoadError::tensor(p.name(), fault))
    }

    /// Loads the main graph.
    pub(super) fn main(&mut self, p: GraphProto) -> Result<Graph, LoadError> {
        let mut graph = self.subgraph(p, &mut vec![])?;
        sources::tell_apart(&mut graph);
        Ok(graph)
    }

    /// Loads a graph, and adds the names of what it captures from the enclosing ones.
    pub(super) fn subgraph(&mut self, p: GraphProto, captures: &mut Vec<String>) -> Result<Graph, LoadError> {
        self.scopes.push(defined_names(&p)?);
        let mut body = Body {
            graph: Graph::default(),
            values: HashMap::new(),
            captures: vec![],
            uses: Vec::with_capacity(p.node.len()),
        };
        let done = body.fill(self, p);
        self.scopes.pop();
        done?;
        captures.append(&mut body.captures);
        Ok(body.graph)
    }

    fn info(&mut self, p: &ValueInfoProto) -> ValueInfo {
        types::value_info(p, &mut self.open)
    }
}

/// The names that a graph defines; none twice.
fn defined_names(p: &GraphProto) -> Result<HashSet<String>, LoadError> {
    let twice = |value: &str, by: String| Err(LoadError::DefinedTwice { by, value: value.to_owned() });
    let mut names = HashSet::new();
    for input in &p.input {
        if !names.insert(input.name().to_owned()) {
            return twice(input.name(), "a graph input".into());
        }
    }
    // A dense initializer may be an input too: it is the input's default then.
    let mut constants = HashSet::new();
    for t in &p.initializer {
        names.insert(t.name().to_owned());
        if !constants.insert(t.name()) {
            return twice(t.name(), "an initializer".into());
        }
    }
    for s in &p.sparse_initializer {
        let name = s.values.as_ref().map_or("", |v| v.name());
        if !names.insert(name.to_owned()) {
            return twice(name, "a sparse initializer".into());
        }
    }
    if names.contains("") {
        return Err(LoadError::Unnamed);
    }
    for (i, node) in p.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !names.insert(name.clone()) {
                return twice(name, who(node, i));
            }
        }
    }
    Ok(names)
}

/// How messages name a node of the file.
fn who(p: &NodeProto, index: usize) -> String {
    match (p.name(), p.output.iter().find(|o| !o.is_empty())) {
        ("", None) => format!("node {index} ({})", p.op_type()),
        ("", Some(result)) => format!("the node of {result:?} ({})", p.op_type()),
        (name, _) => format!("node {name:?} ({})", p.op_type()),
    }
}

impl Body {
    /// Adds everything in the file's order, then connects it.
    fn fill(&mut self, loader: &mut Loader, mut p: GraphProto) -> Result<(), LoadError> {
        self.graph.name = take(&mut p.name);
        self.inputs_and_initializers(loader, &mut p)?;
        for mut sparse in mem::take(&mut p.sparse_initializer) {
            external::sparse(&mut sparse, &mut |t| loader.inline(t))?;
            let name = sparse.values.as_ref().map_or("", |v| v.name()).to_owned();
            let tensor = loader.sparse(&sparse, &name)?;
            self.constant(name, tensor, Form::Sparse { original: remainder(&sparse) });
        }
        for (i, node) in mem::take(&mut p.node).into_iter().enumerate() {
            self.node(loader, node, i)?;
        }
        for output in mem::take(&mut p.output) {
            let info = loader.info(&output);
            let name = info.name.clone();
            self.reach(loader, &name, || "a graph output".into())?;
            let node = self.graph.add(Node::Output(Output { info }));
            self.uses.push((Use { node, slot: 0 }, name));
        }
        self.graph.value_info = mem::take(&mut p.value_info).iter().map(|v| loader.info(v)).collect();
        let annotations = p.quantization_annotation.iter().flat_map(|a| &a.quant_parameter_tensor_names);
        self.graph.mentioned = annotations.map(|entry| entry.value().to_owned()).collect();
        self.graph.extra = remainder(&p);
        for (to, name) in mem::take(&mut self.uses) {
            // `reach` has seen to it that the value is there.
            if let Some(&value) = self.values.get(&name) {
                self.graph.connect(value, to);
            }
        }
        match on_cycle(&self.graph) {
            None => Ok(()),
            Some(node) => Err(LoadError::Cycle { node: self.graph.label(node).to_owned() }),
        }
    }

    /// An initializer that is an input too is constant below IR 4, and the input's default from there on.
    fn inputs_and_initializers(&mut self, loader: &mut Loader, p: &mut GraphProto) -> Result<(), LoadError> {
        let order: Vec<String> = p.initializer.iter().map(|t| t.name().to_owned()).collect();
        let mut tensors: IndexMap<String, Option<Tensor>> = IndexMap::with_capacity(order.len());
        for mut t in mem::take(&mut p.initializer) {
            let name = t.name.take().unwrap_or_default();
            let tensor = loader.tensor(t, &name)?;
            tensors.insert(name, Some(tensor));
        }
        let mut declared = HashMap::new();
        let mut written = vec![];
        for (position, input) in mem::take(&mut p.input).iter().enumerate() {
            let info = loader.info(input);
            let name = info.name.clone();
            if loader.ir_version < 4 && tensors.contains_key(&name) {
                declared.insert(name, (position as u32, info));
                continue;
            }
            let default = tensors.get_mut(&name).and_then(Option::take);
            written.extend(default.is_some().then(|| name.clone()));
            let node = self.graph.add(Node::Input(Input { info, captured: false, default }));
            self.values.insert(name, ValueId { node, port: 0 });
        }
        let rest = || tensors.iter().filter_map(|(name, t)| t.as_ref().map(|_| name.clone()));
        written.extend(rest());
        if written != order {
            // Save writes defaults first, unless the remainder knows the order better.
            let hint = |name| TensorProto { name: Some(name), ..TensorProto::default() };
            p.initializer = order.into_iter().map(hint).collect();
        }
        for (name, tensor) in tensors.into_iter().filter_map(|(name, t)| Some((name, t?))) {
            let form = match declared.remove(&name) {
                Some((position, info)) => Form::InputInitializer { position, info },
                None => Form::Initializer,
            };
            self.constant(name, tensor, form);
        }
        Ok(())
    }

    fn constant(&mut self, name: String, tensor: Tensor, form: Form) -> NodeId {
        let constant = Constant { name: name.clone(), tensor, form, origin: Origin::File(name.clone()) };
        let value = self.graph.add_constant(constant);
        self.values.insert(name, value);
        value.node
    }

    fn node(&mut self, loader: &mut Loader, mut p: NodeProto, index: usize) -> Result<(), LoadError> {
        let who = who(&p, index);
        if p.op_type().is_empty() {
            return Err(LoadError::NoOperator { node: who });
        }
        if p.domain() == BODY_DOMAIN {
            return Err(LoadError::Reserved { node: who });
        }
        let operands = mem::take(&mut p.input);
        let results = mem::take(&mut p.output);
        let op = take(&mut p.op_type);
        let overload = take(&mut p.overload);
        // The standard domain has a long name; the remainder keeps it.
        let domain = if p.domain() == "ai.onnx" { String::new() } else { take(&mut p.domain) };
        if op == "Constant"
            && domain.is_empty()
            && operands.is_empty()
            && p.attribute.len() == 1
            && let [result] = results.as_slice()
            && !result.is_empty()
            && self.constant_node(loader, &mut p, result, index, &who)?
        {
            return Ok(());
        }
        let name = take(&mut p.name);
        let mut attributes = IndexMap::with_capacity(p.attribute.len());
        let mut captured = vec![];
        for a in mem::take(&mut p.attribute) {
            let mut loaded = loader.attribute(a, &who)?;
            captured.append(&mut loaded.captures);
            p.attribute.extend(loaded.odd);
            if attributes.insert(loaded.name.clone(), loaded.attribute).is_some() {
                return Err(LoadError::AttributeTwice { node: who, attribute: loaded.name });
            }
        }
        let slots = operands.len() + captured.len();
        if slots.max(results.len()) > usize::from(u16::MAX) {
            return Err(LoadError::TooWide { node: who });
        }
        for operand in operands.iter().chain(&captured).filter(|o| !o.is_empty()) {
            self.reach(loader, operand, || who.clone())?;
        }
        let arity = operands.len() as u16;
        let call =
            Call { name, domain, op, overload, attributes, results: results.clone(), arity, extra: remainder(&p) };
        let node = self.graph.add(Node::Call(Box::new(call)));
        self.graph.set_origin(node, index as u32);
        let uses = operands.into_iter().chain(captured).enumerate().filter(|(_, name)| !name.is_empty());
        self.uses.extend(uses.map(|(slot, name)| (Use { node, slot: slot as u16 }, name)));
        let named = results.into_iter().enumerate().filter(|(_, name)| !name.is_empty());
        self.values.extend(named.map(|(port, name)| (name, ValueId { node, port: port as u16 })));
        Ok(())
    }

    /// Adds a `Constant` node as a constant; false where its attribute is none that stands for a tensor.
    fn constant_node(
        &mut self,
        loader: &mut Loader,
        p: &mut NodeProto,
        result: &str,
        index: usize,
        who: &str,
    ) -> Result<bool, LoadError> {
        let Some(mut attribute) = p.attribute.pop() else { return Ok(false) };
        let (tensor, original): (Tensor, Option<Extra>) = match loader.constant(&mut attribute)? {
            Some(found) => found,
            None if attribute.name() == "value" && attribute.t.is_some() && attribute.ref_attr_name.is_none() => {
                let loaded = loader.attribute(attribute, who)?;
                p.attribute.extend(loaded.odd);
                let crate::ir::Attribute::Tensor(tensor) = loaded.attribute else {
                    return Err(LoadError::NoOperator { node: who.to_owned() });
                };
                (tensor, None)
            }
            None => {
                p.attribute.push(attribute);
                return Ok(false);
            }
        };
        let node = self.constant(result.to_owned(), tensor, Form::Node { extra: remainder(p), original });
        self.graph.set_origin(node, index as u32);
        Ok(true)
    }

    /// Sees to it that a value can be used here: one of an enclosing graph is captured at its first use.
    fn reach(&mut self, loader: &Loader, name: &str, user: impl Fn() -> String) -> Result<(), LoadError> {
        let mut scopes = loader.scopes.iter().rev();
        let here = scopes.next().is_some_and(|s| s.contains(name));
        if here || self.values.contains_key(name) {
            return Ok(());
        }
        if !scopes.any(|s| s.contains(name)) {
            return Err(LoadError::UnknownValue { user: user(), value: name.to_owned() });
        }
        let info = ValueInfo::new(name, crate::ir::Type::Other);
        let node = self.graph.add(Node::Input(Input { info, captured: true, default: None }));
        self.values.insert(name.to_owned(), ValueId { node, port: 0 });
        self.captures.push(name.to_owned());
        Ok(())
    }
}

/// A node on a cycle, if there is one.
fn on_cycle(graph: &Graph) -> Option<NodeId> {
    let order = graph.topological();
    if order.len() == graph.len() {
        return None;
    }
    // Nodes behind a cycle are left out of the order too; going back along operands leads onto it.
    let placed: HashSet<NodeId> = order.into_iter().collect();
    let mut at = graph.nodes().into_iter().find(|n| !placed.contains(n))?;
    let mut seen = HashSet::new();
    while seen.insert(at) {
        at = graph.operands(at).into_iter().flatten().map(|v| v.node).find(|n| !placed.contains(n))?;
    }
    Some(at)
}
