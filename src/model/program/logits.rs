//! What is behind a softmax.

use super::{Binary, Id, Map, Op, Step, Term};

impl<'b> Term<'b> {
    /// What a softmax, or the logarithm of one, was taken of, if this is one; else the term itself. Shares of one are
    /// known by what they are made of: powers divided by their sum.
    pub fn before_softmax(self) -> Term<'b> {
        let step = |id: Id| self.builder().see(id, Step::clone);
        let is_sum = |id: Id, of: Id| {
            let step = step(id);
            matches!(step.op, Op::Sum(_)) && step.operands == [of]
        };
        let powers_of = |id: Id| Some(step(id)).filter(|s| s.op == Op::Map(Map::Exp)).map(|s| s.operands[0]);
        let own = step(self.id());
        let scores = match (&own.op, &own.operands[..]) {
            (Op::Binary(Binary::Div), &[powers, sum]) if is_sum(sum, powers) => powers_of(powers),
            (Op::Binary(Binary::Sub), &[scores, log]) => {
                let sum = Some(step(log)).filter(|s| s.op == Op::Map(Map::Log)).map(|s| s.operands[0]);
                let powers = sum.and_then(|s| step(s).operands.first().copied().filter(|&p| is_sum(s, p)));
                powers.and_then(powers_of).filter(|&p| p == scores)
            }
            _ => None,
        };
        scores.map_or(self, |id| Term::new(self.builder(), self.unshifted(id)))
    }

    /// What a softmax subtracts the largest of, before it takes powers.
    fn unshifted(self, id: Id) -> Id {
        let step = |id: Id| self.builder().see(id, Step::clone);
        match (&step(id).op, &step(id).operands[..]) {
            (Op::Binary(Binary::Sub), &[scores, largest]) if step(largest).op == Op::Detach => scores,
            _ => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::program::{Builder, NumberKind};

    #[test]
    fn scores_are_found_behind_their_shares() {
        let builder = Builder::new();
        let x = builder.input("x", NumberKind::Float, &[2, 3]);
        assert_eq!(x.softmax(&[1]).before_softmax().id(), x.id());
        assert_eq!(x.log_softmax(&[1]).before_softmax().id(), x.id());
        for other in [x, x.exp(), x / x.sum(&[1]), x - x.exp().sum(&[1]).ln() * 2.0] {
            assert_eq!(other.before_softmax().id(), other.id());
        }
    }
}
