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
//! read off an input whose declared shape has it as an axis, because inputs are what no pass ever changes. An unknown
//! can't be said; where the operand that is replaced held it, it is read from there ([`Old`]).

use super::edit::new_constant;
use crate::ir::{Atom, Attribute, Call, Dim, Graph, Node, NodeId, Tensor, Use, ValueId};
use std::collections::{HashMap, HashSet};

/// The operand that a value takes the place of.
#[derive(Clone, Copy)]
pub struct Old<'a> {
    /// 64-bit integers in one axis.
    pub value: ValueId,
    /// What it held, where that is known.
    pub dims: &'a [Option<Dim>],
}

impl Old<'_> {
    /// Whether it holds the dimension at a position of these: the same one, or one that is unknown on both sides.
    fn has(&self, at: usize, dims: &[Dim]) -> bool {
        let (Some(held), Some(dim)) = (self.dims.get(at), dims.get(at)) else { return false };
        self.dims.len() == dims.len() && held.as_ref().map_or(dim.has_unknown(), |held| held == dim)
    }
}

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
        self.value_after(graph, dims, scalar, before, None)
    }

    /// The same, in the place of another operand.
    pub fn value_after(
        &mut self,
        graph: &mut Graph,
        dims: &[Dim],
        scalar: bool,
        before: NodeId,
        old: Option<Old>,
    ) -> Option<ValueId> {
        let held = |at: usize| old.filter(|old| old.has(at, dims)).map(|old| old.value);
        let is_known = |(at, dim): (usize, &Dim)| self.can_say(dim) || held(at).is_some();
        if scalar && dims.len() != 1 || !dims.iter().enumerate().all(is_known) {
            return None;
        }
        let numbers: Option<Vec<i64>> = dims.iter().map(Dim::fixed).collect();
        if let Some(numbers) = numbers {
            let shape = if scalar { vec![] } else { vec![numbers.len()] };
            return Some(self.constant(graph, shape, &numbers, before));
        }
        let (mut pieces, mut at) = (vec![], 0);
        for run in dims.chunk_by(|a, b| a.fixed().is_some() && b.fixed().is_some()) {
            let numbers: Option<Vec<i64>> = run.iter().map(Dim::fixed).collect();
            pieces.push(match (numbers, held(at)) {
                (Some(numbers), _) => self.constant(graph, vec![numbers.len()], &numbers, before),
                (None, Some(whole)) if !self.can_say(&run[0]) => self.element(graph, whole, at, before),
                (None, _) => self.piece(graph, &run[0], before)?,
            });
            at += run.len();
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
        let open = dims.iter().filter(|d| d.fixed().is_none());
        dims.iter().all(|d| self.can_say(d)).then(|| 1 + open.map(calls_of).sum::<usize>())
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
        dim.terms().iter().flat_map(|(_, factors)| factors).all(|atom| match atom {
            Atom::Floor(numerator, denominator) => self.can_say(numerator) && self.can_say(denominator),
            atom => self.symbols.contains_key(atom),
        })
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
            for atom in factors {
                let next = self.piece(graph, &Dim::from(atom), before)?;
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

    /// An element of a tensor of one axis.
    fn element(&mut self, graph: &mut Graph, whole: ValueId, at: usize, before: NodeId) -> ValueId {
        let index = self.constant(graph, vec![1], &[at as i64], before);
        self.call(graph, "Gather", &[whole, index], before)
    }

    /// The length of an input's axis, or a quotient. Lengths are not negative, so that Div rounds down.
    fn size(&mut self, graph: &mut Graph, atom: &Atom, before: NodeId) -> Option<ValueId> {
        if let Atom::Floor(numerator, denominator) = atom {
            let (over, under) = (self.piece(graph, numerator, before)?, self.piece(graph, denominator, before)?);
            return Some(self.call(graph, "Div", &[over, under], before));
        }
        let &(input, axis) = self.symbols.get(atom)?;
        let shape = match self.shapes.get(&input) {
            Some(&known) => known,
            None => self.call(graph, "Shape", &[ValueId { node: input, port: 0 }], before),
        };
        self.shapes.insert(input, shape);
        Some(self.element(graph, shape, axis, before))
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

/// How many calls a dimension takes at most: a Shape and a Gather for each symbol, and an operation between any two
/// numbers.
fn calls_of(dim: &Dim) -> usize {
    let terms = dim.terms();
    let of_atom = |atom: &Atom| match atom {
        Atom::Floor(numerator, denominator) => 2 + calls_of(numerator) + calls_of(denominator),
        _ => 3,
    };
    terms.iter().flat_map(|(_, factors)| factors).map(of_atom).sum::<usize>() + terms.len()
}
