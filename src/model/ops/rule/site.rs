//! A call with what is known around it: all that a rule may look at.

use crate::facts::{Fact, Facts, Unknowns};
use crate::ir::{Call, DType, Dim, Graph, Model, NodeId, Tensor, ValueId};

/// A call with the facts and constants around it: all that a rule may look at.
pub struct Site<'a> {
    /// The call itself.
    pub call: &'a Call,
    /// Version of the operator set of the call's domain.
    pub opset: i64,
    operands: Vec<Option<(&'a Fact, Option<&'a Tensor>)>>,
    /// Facts of the results; empty while they are being inferred.
    results: Vec<&'a Fact>,
    unknowns: &'a Unknowns,
    model: &'a Model,
    graph: &'a Graph,
    node: NodeId,
    facts: &'a Facts,
}

impl<'a> Site<'a> {
    /// A call in its surroundings. `unknowns` numbers the dimensions that its rule makes up.
    pub fn new(
        model: &'a Model,
        graph: &'a Graph,
        node: NodeId,
        call: &'a Call,
        facts: &'a Facts,
        unknowns: &'a Unknowns,
    ) -> Site<'a> {
        let slots = graph.operands(node).into_iter().take(usize::from(call.arity));
        let operands = slots.map(|v| v.map(|v| (facts.get(v), graph.tensor(v)))).collect();
        let results = graph.results(node).map(|v| facts.get(v)).collect();
        let opset = model.opset(&call.domain);
        Site { call, opset, operands, results, unknowns, model, graph, node, facts }
    }

    /// The calls that read a result, each with the slot; `None` for an output, a subgraph, or a local function.
    pub fn readers(&self, port: u16) -> impl Iterator<Item = Option<(Site<'a>, usize)>> {
        let uses = self.graph.uses(ValueId { node: self.node, port }).into_iter();
        uses.map(|u| {
            let call = self.graph.call(u.node).filter(|c| u.slot < c.arity && !self.model.is_local(c))?;
            let site = Site::new(self.model, self.graph, u.node, call, self.facts, self.unknowns);
            Some((site, usize::from(u.slot)))
        })
    }

    /// How many operand slots the call lists, empty ones included.
    pub fn arity(&self) -> usize {
        self.operands.len()
    }

    /// Whether an operand is given at the slot.
    pub fn has(&self, slot: usize) -> bool {
        self.operands.get(slot).is_some_and(Option::is_some)
    }

    /// The fact of an operand; an empty one where none is given.
    pub fn fact(&self, slot: usize) -> &'a Fact {
        static NOTHING: Fact = Fact { dtype: None, shape: None, content: None };
        self.operands.get(slot).copied().flatten().map_or(&NOTHING, |o| o.0)
    }

    /// The constant tensor at an operand slot, if it is one.
    pub fn tensor(&self, slot: usize) -> Option<&'a Tensor> {
        self.operands.get(slot).copied().flatten().and_then(|o| o.1)
    }

    /// The element type of an operand.
    pub fn dtype(&self, slot: usize) -> Option<DType> {
        self.fact(slot).dtype
    }

    /// The shape of an operand.
    pub fn shape(&self, slot: usize) -> Option<&'a [Dim]> {
        self.fact(slot).shape.as_deref()
    }

    /// How many axes an operand has.
    pub fn rank(&self, slot: usize) -> Option<usize> {
        self.fact(slot).rank()
    }

    /// Whether the ranks of all operands are known.
    pub fn is_ranked(&self) -> bool {
        self.operands.iter().flatten().all(|(fact, _)| fact.shape.is_some())
    }

    /// One dimension of an operand.
    pub fn dim(&self, slot: usize, axis: usize) -> Option<&'a Dim> {
        self.shape(slot)?.get(axis)
    }

    /// The content of an integer operand, if all of it is known in numbers.
    pub fn ints(&self, slot: usize) -> Option<Vec<i64>> {
        self.fact(slot).ints()
    }

    /// The content of an integer operand, if all of it is known, symbols included.
    pub fn dims(&self, slot: usize) -> Option<Vec<Dim>> {
        self.fact(slot).dims()
    }

    /// Integers that older opsets give as an attribute and newer ones as an operand. `Ok(None)` where neither is
    /// given; `Err` where the operand is not known before the run.
    pub fn ints_from(&self, attribute: &str, slot: usize) -> Result<Option<Vec<i64>>, Open> {
        if let Some(v) = self.call.ints(attribute) {
            return Ok(Some(v.to_vec()));
        }
        if !self.has(slot) {
            return Ok(None);
        }
        self.ints(slot).map(Some).ok_or(Open)
    }

    /// The fact of a result, once inferred.
    pub fn result(&self, port: usize) -> &'a Fact {
        static NOTHING: Fact = Fact { dtype: None, shape: None, content: None };
        self.results.get(port).copied().unwrap_or(&NOTHING)
    }

    /// The shape of a result, once inferred.
    pub fn result_shape(&self, port: usize) -> Option<&'a [Dim]> {
        self.result(port).shape.as_deref()
    }

    /// An axis attribute as an index, counted from the end where negative.
    pub fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize, String> {
        normalize_axis(self.call.int(name, default), rank)
    }

    /// A dimension that nothing is known of.
    pub fn unknown(&self) -> Dim {
        self.unknowns.fresh()
    }
}

/// An operand whose content is not known before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open;

/// An axis as an index, counted from the end where negative.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize, String> {
    let n = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(n)
        .ok()
        .filter(|&n| n < rank.max(1))
        .ok_or_else(|| format!("axis {axis} of a tensor of rank {rank}"))
}
