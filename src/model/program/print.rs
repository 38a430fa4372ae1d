//! Programs as text, a line for each step.

use super::{Id, Literal, Op, Program, Step};
use std::fmt;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for id in self.ids() {
            writeln!(f, "%{} = {}", id.0, self.step(id))?;
        }
        write!(f, "return {}", list(&self.results))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{} {}[{}]", self.op, self.kind, shape.join(" "))?;
        if self.operands.is_empty() { Ok(()) } else { write!(f, " of {}", list(&self.operands)) }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Op::Input(name) => write!(f, "Input {name:?}"),
            Op::Constant(node) => write!(f, "Constant {}", node.index()),
            Op::Literal(literal) => match &**literal {
                Literal::Floats(v) => shorten(f, v),
                Literal::Ints(v) => shorten(f, v),
                Literal::Bools(v) => shorten(f, v),
            },
            Op::Map(map) => write!(f, "{map:?}"),
            Op::Binary(op) => write!(f, "{op:?}"),
            Op::Compare(op) => write!(f, "{op:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// The first elements of a literal.
fn shorten<T: fmt::Debug>(f: &mut fmt::Formatter, elements: &[T]) -> fmt::Result {
    match elements.get(..8) {
        Some(head) if elements.len() > 8 => write!(f, "{head:?}.."),
        _ => write!(f, "{elements:?}"),
    }
}

fn list(ids: &[Id]) -> String {
    ids.iter().map(|id| format!("%{}", id.0)).collect::<Vec<_>>().join(" ")
}
