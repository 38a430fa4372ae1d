//! Writing a program, term by term.

use super::{Id, Literal, NumberKind, Op, Program, Step, Term, shape};
use crate::ir::NodeId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// A program that is being written. Terms refer to it, so formulas read like formulas; a mistake (sizes that don't
/// fit) does not stop the writing, but [`Builder::finish`] tells the first one.
#[derive(Default)]
pub struct Builder {
    steps: RefCell<Vec<Step>>,
    constants: RefCell<HashMap<NodeId, Id>>,
    mistake: RefCell<Option<String>>,
    origin: Cell<Option<NodeId>>,
}

impl Builder {
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The program of all steps that these results need, in that order.
    pub fn finish(&self, results: &[Term]) -> Result<Program, String> {
        if let Some(mistake) = self.mistake.borrow().clone() {
            return Err(mistake);
        }
        let steps = self.steps.borrow();
        let mut needed = vec![false; steps.len()];
        results.iter().for_each(|t| needed[t.id().0 as usize] = true);
        for at in (0..steps.len()).rev() {
            if needed[at] {
                steps[at].operands.iter().for_each(|o| needed[o.0 as usize] = true);
            }
        }
        let mut number = vec![Id(0); steps.len()];
        let mut program = Program::default();
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| needed[*at]) {
            number[at] = Id(program.steps.len() as u32);
            let operands = step.operands.iter().map(|o| number[o.0 as usize]).collect();
            program.steps.push(Step { operands, ..step.clone() });
        }
        program.results = results.iter().map(|t| number[t.id().0 as usize]).collect();
        Ok(program)
    }

    /// A tensor that every run is given.
    pub fn input(&self, name: &str, kind: NumberKind, shape: &[usize]) -> Term<'_> {
        self.step(Op::Input(name.to_owned()), &[], kind, shape.to_vec())
    }

    /// A constant of the model; the same term each time.
    pub fn constant(&self, node: NodeId, kind: NumberKind, shape: &[usize]) -> Term<'_> {
        if let Some(&id) = self.constants.borrow().get(&node) {
            return Term::new(self, id);
        }
        let term = self.step(Op::Constant(node), &[], kind, shape.to_vec());
        self.constants.borrow_mut().insert(node, term.id());
        term
    }

    /// A tensor of these elements.
    pub fn literal(&self, literal: Literal, shape: &[usize]) -> Term<'_> {
        if literal.count() != shape.iter().product::<usize>() {
            self.fail(format!("{} elements for a tensor of shape {shape:?}", literal.count()));
        }
        let kind = literal.kind();
        self.step(Op::Literal(Arc::new(literal)), &[], kind, shape.to_vec())
    }

    /// A tensor of floats.
    pub fn floats(&self, elements: Vec<f64>, shape: &[usize]) -> Term<'_> {
        self.literal(Literal::Floats(elements), shape)
    }

    /// A tensor of integers.
    pub fn ints(&self, elements: Vec<i64>, shape: &[usize]) -> Term<'_> {
        self.literal(Literal::Ints(elements), shape)
    }

    /// One float, everywhere in a tensor of this shape.
    pub fn full(&self, value: f64, shape: &[usize]) -> Term<'_> {
        self.floats(vec![value], &vec![1; shape.len()]).expand(shape)
    }

    /// From now on steps belong to this call.
    pub fn set_origin(&self, origin: Option<NodeId>) {
        self.origin.set(origin);
    }

    /// Notes a mistake; the first one counts.
    pub fn fail(&self, mistake: String) {
        self.mistake.borrow_mut().get_or_insert(mistake);
    }

    /// The mistake made so far, if any, which is then forgotten.
    pub(crate) fn take_mistake(&self) -> Option<String> {
        self.mistake.borrow_mut().take()
    }

    /// Adds a step whose kind and shape follow from its operands.
    pub(super) fn apply(&self, op: Op, operands: &[Term]) -> Term<'_> {
        let described: Vec<(NumberKind, Vec<usize>)> = operands.iter().map(|t| (t.kind(), t.shape())).collect();
        let (kind, shape) = shape::result(&op, &described).unwrap_or_else(|mistake| {
            self.fail(mistake);
            described.first().cloned().unwrap_or((NumberKind::Float, vec![]))
        });
        self.step(op, operands, kind, shape)
    }

    /// Adds a step.
    pub(super) fn step(&self, op: Op, operands: &[Term], kind: NumberKind, shape: Vec<usize>) -> Term<'_> {
        let operands = operands.iter().map(|t| t.id()).collect();
        let mut steps = self.steps.borrow_mut();
        steps.push(Step { op, operands, kind, shape, origin: self.origin.get() });
        Term::new(self, Id(steps.len() as u32 - 1))
    }

    /// The elements of a literal of integers.
    pub(super) fn known_ints(&self, id: Id) -> Option<Vec<i64>> {
        self.see(id, |step| match &step.op {
            Op::Literal(literal) => match &**literal {
                Literal::Ints(v) => Some(v.clone()),
                _ => None,
            },
            _ => None,
        })
    }

    /// Looks at a step.
    pub(super) fn see<T>(&self, id: Id, look: impl FnOnce(&Step) -> T) -> T {
        look(&self.steps.borrow()[id.0 as usize])
    }
}
