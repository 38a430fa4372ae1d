//! Inferred types against the tensors that have to come out.

use super::case::Case;
use super::form::length;
use secateur::analysis::infer;
use secateur::analysis::{Element, Fact};
use secateur::ir::{Atom, Dim, Model, Node, Tensor, Type, ValueId};

/// How much is known of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    #[default]
    Nothing,
    Partly,
    All,
}

/// Checks what is inferred of the outputs without a look at how they are declared.
pub(crate) fn types(case: &Case, model: &Model) -> Result<Known, String> {
    let mut model = model.clone();
    let made = undeclare(&mut model);
    let facts = infer(&model);
    if let Some(c) = facts.contradictions.first() {
        return Err(format!("a contradiction: {}", c.what));
    }
    let mut known = Known::All;
    for ((name, expected), value) in case.expected.iter().zip(made) {
        let fact = facts.get(value);
        if let Some(expected) = expected {
            agrees(fact, expected, case).map_err(|e| format!("{name}: {e}"))?;
        }
        known = known.min(how_much(fact));
    }
    Ok(known)
}

/// Takes away the declared types of all values but the inputs; returns what the outputs are made by.
pub(crate) fn undeclare(model: &mut Model) -> Vec<ValueId> {
    model.graph.value_info.clear();
    let mut made = vec![];
    for node in model.graph.outputs() {
        made.extend(model.graph.operand(node, 0));
        if let Node::Output(o) = model.graph.node_mut(node) {
            o.info.ty = Type::Other;
        }
    }
    made
}

fn how_much(fact: &Fact) -> Known {
    match (fact.dtype, &fact.shape) {
        (Some(_), Some(shape)) if shape.iter().all(|d| d.fixed().is_some()) => Known::All,
        (None, None) => Known::Nothing,
        _ => Known::Partly,
    }
}

/// Whether what is known of a value holds for the tensor that has to come out.
fn agrees(fact: &Fact, real: &Tensor, case: &Case) -> Result<(), String> {
    let length = |atom: &Atom| match atom {
        Atom::Symbol(s) => length(case, s),
        _ => None,
    };
    if let Some(dtype) = fact.dtype.filter(|&t| t != real.dtype) {
        return Err(format!("{dtype} was inferred for {}", real.dtype));
    }
    if let Some(shape) = &fact.shape {
        let same = |(d, &n): (&Dim, &usize)| d.eval(&length).is_none_or(|d| d == n as i64);
        if shape.len() != real.shape.len() || !shape.iter().zip(&real.shape).all(same) {
            let shape: Vec<String> = shape.iter().map(Dim::to_string).collect();
            return Err(format!("[{}] was inferred for {:?}", shape.join(", "), real.shape));
        }
    }
    let (Some(content), Ok(numbers)) = (&fact.content, real.to_f64()) else { return Ok(()) };
    let right = |(e, &x): (&Element, &f64)| match e {
        Element::Int(d) => d.eval(&length).is_none_or(|d| d as f64 == x),
        Element::Float(f) => (f - x).abs() <= 1e-4 * x.abs().max(1.0) || f.is_nan() && x.is_nan() || *f == x,
        Element::Bool(b) => f64::from(u8::from(*b)) == x,
        Element::Unknown => true,
    };
    if content.0.len() == numbers.len() && content.0.iter().zip(&numbers).all(right) {
        return Ok(());
    }
    Err(format!("{:?} was inferred for {numbers:?}", content.0))
}
