//! Dimensions as values: what a shape operand has to be, computed from the model's inputs.
//!
//! ```text
//! [2*batch, 64]      size_0 = Shape(x)
//!                    batch_1 = Gather(size_0, i64[1] {0})
//!                    t_2 = Mul(batch_1, i64[1] {2})
//!                    t_3 = Concat<axis=0>(t_2, i64[1] {64})
//! ```
//!
//! Every piece is a tensor of one element, so that nothing here depends on the operator set's version. A symbol is
//! read off an input whose declared shape has it as an axis, because inputs are what no pass ever changes. What is
//! no polynomial over such symbols (an unknown, a floor) can't be said.

use super::edit::new_constant;
use crate::ir::{Atom, Attribute, Call, Dim, Graph, Node, NodeId, Tensor, Use, ValueId};
use std::collections::{HashMap, HashSet};

/// Makes values of dimensions, and each open piece only once.
pub struct Materializer {
    ir_version: i64,
    taken: HashSet<String>,
    shapes: HashMap<NodeId, ValueId>,
    open: HashMap<Dim, ValueId>,
    symbols: HashMap<Atom, (NodeId, usize)>,
    shapes_of: HashMap<ValueId, ValueId>,
}

impl Materializer {
    /// For this graph, and no other.
    pub fn new(graph: &Graph, ir_version: i64) -> Materializer {
        let mut symbols = HashMap::new();
        for node in graph.inputs() {
            let Node::Input(input) = graph.node(node) else { continue };
            let shape = input.info.ty.tensor().and_then(|t| t.shape.as_ref());
            for (axis, dim) in shape.into_iter().flatten().enumerate() {
                if let Some(symbol @ Atom::Symbol(_)) = dim.as_atom() {
                    symbols.entry(symbol.clone()).or_insert((node, axis));
                }
            }
        }
        let taken = graph.all_names();
        Materializer {
            ir_version,
            taken,
            shapes: HashMap::new(),
            open: HashMap::new(),
            symbols,
            shapes_of: HashMap::new(),
        }
    }

    /// A value with these elements: 64-bit integers in one axis or, where `scalar`, in none. New nodes come before
    /// `before`. `None`, and no new node, where that can't be said.
    pub fn value(&mut self, graph: &mut Graph, dims: &[Dim], scalar: bool, before: NodeId) -> Option<ValueId> {
        if scalar && dims.len() != 1 || !dims.iter().all(|d| self.can_say(d)) {
            return None;
        }
        let numbers: Option<Vec<i64>> = dims.iter().map(Dim::fixed).collect();
        if let Some(numbers) = numbers {
            let shape = if scalar { vec![] } else { vec![numbers.len()] };
            return Some(self.constant(graph, shape, &numbers, before));
        }
        let mut pieces = vec![];
        for run in dims.chunk_by(|a, b| a.fixed().is_some() && b.fixed().is_some()) {
            let numbers: Option<Vec<i64>> = run.iter().map(Dim::fixed).collect();
            pieces.push(match numbers {
                Some(numbers) => self.constant(graph, vec![numbers.len()], &numbers, before),
                None => self.piece(graph, &run[0], before)?,
            });
        }
        match pieces[..] {
            [piece] if scalar => {
                let first = self.constant(graph, vec![], &[0], before);
                Some(self.call(graph, "Gather", &[piece, first], before))
            }
            [piece] => Some(piece),
            _ => Some(self.call(graph, "Concat", &pieces, before)),
        }
    }

    /// How many calls [`value`](Materializer::value) makes at most; `None` where it can't say these dimensions.
    pub(super) fn calls(&self, dims: &[Dim]) -> Option<usize> {
        let each = |dim: &Dim| {
            let terms = dim.terms();
            let factors: usize = terms.iter().map(|(_, factors)| factors.len()).sum();
            // A Shape and a Gather for each factor, and an operation between any two numbers.
            3 * factors + terms.len()
        };
        let open = dims.iter().filter(|d| d.fixed().is_none());
        dims.iter().all(|d| self.can_say(d)).then(|| 1 + open.map(each).sum::<usize>())
    }

    /// The shape of a value, which is made once.
    pub(super) fn shape_of(&mut self, graph: &mut Graph, value: ValueId, before: NodeId) -> ValueId {
        if let Some(&known) = self.shapes_of.get(&value) {
            return known;
        }
        let shape = self.call(graph, "Shape", &[value], before);
        self.shapes_of.insert(value, shape);
        shape
    }

    /// A name for what takes the place of a value.
    pub(super) fn fresh_name(&mut self, graph: &mut Graph, instead: ValueId) -> String {
        let base = graph.value_name(instead).to_owned();
        graph.fresh_name(&base, &mut self.taken)
    }

    fn can_say(&self, dim: &Dim) -> bool {
        dim.terms().iter().flat_map(|(_, factors)| factors).all(|atom| self.symbols.contains_key(atom))
    }

    /// A tensor of one element.
    fn piece(&mut self, graph: &mut Graph, dim: &Dim, before: NodeId) -> Option<ValueId> {
        if let Some(&known) = self.open.get(dim) {
            return Some(known);
        }
        let value = match (dim.as_atom(), dim.fixed()) {
            (_, Some(number)) => return Some(self.constant(graph, vec![1], &[number], before)),
            (Some(atom), _) => self.size(graph, atom, before)?,
            (None, None) => self.polynomial(graph, dim, before)?,
        };
        self.open.insert(dim.clone(), value);
        Some(value)
    }

    fn polynomial(&mut self, graph: &mut Graph, dim: &Dim, before: NodeId) -> Option<ValueId> {
        let mut sum: Option<ValueId> = None;
        for (coefficient, factors) in dim.terms() {
            let number = (coefficient != 1 || factors.is_empty()).then_some(Dim::Fixed(coefficient));
            let mut product: Option<ValueId> = None;
            for atom in &factors {
                let Atom::Symbol(name) = atom else { return None };
                let next = self.piece(graph, &Dim::symbol(name), before)?;
                product = Some(self.fold(graph, "Mul", product, next, before));
            }
            if let Some(number) = number {
                let next = self.piece(graph, &number, before)?;
                product = Some(self.fold(graph, "Mul", product, next, before));
            }
            sum = Some(self.fold(graph, "Add", sum, product?, before));
        }
        sum
    }

    fn fold(&mut self, graph: &mut Graph, op: &str, left: Option<ValueId>, right: ValueId, before: NodeId) -> ValueId {
        left.map_or(right, |left| self.call(graph, op, &[left, right], before))
    }

    /// The length of an input's axis.
    fn size(&mut self, graph: &mut Graph, symbol: &Atom, before: NodeId) -> Option<ValueId> {
        let &(input, axis) = self.symbols.get(symbol)?;
        let shape = match self.shapes.get(&input) {
            Some(&known) => known,
            None => self.call(graph, "Shape", &[ValueId { node: input, port: 0 }], before),
        };
        self.shapes.insert(input, shape);
        let index = self.constant(graph, vec![1], &[axis as i64], before);
        Some(self.call(graph, "Gather", &[shape, index], before))
    }

    fn constant(&mut self, graph: &mut Graph, shape: Vec<usize>, numbers: &[i64], before: NodeId) -> ValueId {
        let name = graph.fresh_name("dims", &mut self.taken);
        let constant = new_constant(self.ir_version, name, Tensor::from_i64(shape, numbers));
        ValueId { node: graph.add_before(before, constant), port: 0 }
    }

    fn call(&mut self, graph: &mut Graph, op: &str, operands: &[ValueId], before: NodeId) -> ValueId {
        let mut call = Call::new(op);
        call.results = vec![graph.fresh_name("dims", &mut self.taken)];
        call.arity = operands.len() as u16;
        if op == "Concat" {
            call.attributes.insert("axis".into(), Attribute::Int(0));
        }
        let node = graph.add_before(before, Node::Call(Box::new(call)));
        for (slot, &value) in operands.iter().enumerate() {
            graph.connect(value, Use { node, slot: slot as u16 });
        }
        ValueId { node, port: 0 }
    }
}
