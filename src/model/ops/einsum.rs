//! Einsum: its equation is its rule.

use super::shared::dims::{broadcast, elements};
use super::{AxisRule, Bias, Operands, Rule, Site, Sum, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::Dim;
use std::collections::BTreeMap;

pub(super) const RULES: &[(&str, Rule)] = &[("Einsum", EINSUM)];

/// A sum of products over all letters that the result lacks. `...` stands for axes that broadcast.
const EINSUM: Rule = Rule {
    infer: |site| {
        let equation = Equation::of(site)?;
        Ok(vec![Fact::maybe(site.dtype(0), equation.result_shape(site)?)])
    },
    axes: |site| {
        let equation = Equation::of(site).ok()?;
        let taken_apart = equation.operands.iter().chain([&equation.result]).any(|t| t.repeats());
        let lost = equation.operands.iter().any(|t| t.has_ellipsis()) && !equation.result.has_ellipsis();
        (!taken_apart && !lost).then(|| AxisRule::new(equation.text()))
    },
    zeros: ZeroLaws::PRODUCT,
    cost: |site| match Equation::of(site).and_then(|e| e.sizes(site)) {
        Ok(Some((letters, rest))) => letters.into_values().product::<Dim>() * elements(&rest),
        _ => site.unknown(),
    },
    operands: Operands {
        bias: |_| Some(Bias::Behind),
        sum: |site| (site.arity() == 2).then_some(Sum::PLAIN),
        ..Operands::OPAQUE
    },
    lower: |site, at| lower::einsum::summed(&Equation::of(site)?, at),
    ..Rule::OPAQUE
};

/// The letters of an operand or the result; where `...` stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters {
    pub(super) letters: Vec<char>,
    pub(super) ellipsis: Option<usize>,
}

pub(super) struct Equation {
    pub(super) operands: Vec<Letters>,
    pub(super) result: Letters,
}

/// The length of each letter, and the axes that `...` stands for.
type Sizes = (BTreeMap<char, Dim>, Vec<Dim>);

impl Letters {
    fn parse(text: &str) -> Result<Letters, String> {
        let ellipsis = text.find("...").map(|at| text[..at].chars().count());
        let letters: Vec<char> = text.replacen("...", "", 1).chars().collect();
        match letters.iter().find(|c| !c.is_ascii_alphabetic()) {
            Some(c) => Err(format!("the equation has `{c}` where a letter should be")),
            None => Ok(Letters { letters, ellipsis }),
        }
    }

    fn has_ellipsis(&self) -> bool {
        self.ellipsis.is_some()
    }

    /// Whether a letter stands there twice: a diagonal.
    fn repeats(&self) -> bool {
        (1..self.letters.len()).any(|i| self.letters[..i].contains(&self.letters[i]))
    }

    fn text(&self) -> String {
        let mut words: Vec<String> = self.letters.iter().map(char::to_string).collect();
        if let Some(at) = self.ellipsis {
            words.insert(at, "...".into());
        }
        words.join(" ")
    }
}

impl Equation {
    fn of(site: &Site) -> Result<Equation, String> {
        let text: String = site.call.string("equation", "").chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let operands = left.split(',').map(Letters::parse).collect::<Result<Vec<_>, _>>()?;
        if operands.len() != site.arity() {
            return Err(format!("the equation is for {} operands, not {}", operands.len(), site.arity()));
        }
        let result = match right {
            Some(right) => Letters::parse(right)?,
            None => implicit(&operands),
        };
        match result.letters.iter().find(|c| !operands.iter().any(|t| t.letters.contains(c))) {
            Some(c) => Err(format!("the equation has `{c}` in the result only")),
            None => Ok(Equation { operands, result }),
        }
    }

    fn text(&self) -> String {
        let operands: Vec<String> = self.operands.iter().map(Letters::text).collect();
        format!("{} -> {}", operands.join(", "), self.result.text())
    }

    /// `None` where the rank of an operand is not known.
    fn sizes(&self, site: &Site) -> Result<Option<Sizes>, String> {
        let mut letters: BTreeMap<char, Dim> = BTreeMap::new();
        let mut rest: Vec<Dim> = vec![];
        for (slot, term) in self.operands.iter().enumerate() {
            let Some(shape) = site.shape(slot) else { return Ok(None) };
            let open = shape.len().checked_sub(term.letters.len()).filter(|&n| n == 0 || term.has_ellipsis());
            let open =
                open.ok_or_else(|| format!("{} letters for an operand of rank {}", term.letters.len(), shape.len()))?;
            let at = term.ellipsis.unwrap_or(0);
            rest = broadcast(site, &rest, &shape[at..at + open])?;
            let lettered = shape[..at].iter().chain(&shape[at + open..]);
            for (&letter, dim) in term.letters.iter().zip(lettered) {
                let merged = match letters.get(&letter) {
                    Some(old) => broadcast(site, std::slice::from_ref(old), std::slice::from_ref(dim))
                        .map_err(|e| format!("`{letter}`: {e}"))?
                        .remove(0),
                    None => dim.clone(),
                };
                letters.insert(letter, merged);
            }
        }
        Ok(Some((letters, rest)))
    }

    fn result_shape(&self, site: &Site) -> Result<Option<Vec<Dim>>, String> {
        let Some((letters, rest)) = self.sizes(site)? else { return Ok(None) };
        let mut shape: Vec<Dim> = self.result.letters.iter().filter_map(|c| letters.get(c).cloned()).collect();
        if let Some(at) = self.result.ellipsis {
            shape.splice(at..at, rest);
        }
        Ok(Some(shape))
    }
}

/// The result without an arrow: `...` first, then the letters that stand there once, in order.
fn implicit(operands: &[Letters]) -> Letters {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    operands.iter().flat_map(|t| &t.letters).for_each(|&c| *counts.entry(c).or_default() += 1);
    let letters = counts.into_iter().filter(|(_, count)| *count == 1).map(|(c, _)| c).collect();
    Letters { letters, ellipsis: operands.iter().any(Letters::has_ellipsis).then_some(0) }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    fn einsum(equation: &str, operands: &[&str]) -> String {
        show("Einsum", 12, &format!("equation={equation}"), operands)
    }

    #[test]
    fn the_equation_is_the_rule() {
        assert_snapshot!(
            einsum("bhid,bhjd->bhij", &["=2 3 4 8", "=2 3 5 8"]),
            @"[c0:2, c1:3, c2:4, c3:8], [c0:2, c1:3, c4:5, c3:8] -> f32[c0:2, c1:3, c2:4, c4:5]"
        );
        assert_snapshot!(
            einsum("...k,kn->...n", &["=2 3 8", "=8 16"]),
            @"[c0:2, c1:3, c2:8], [c2:8, c3:16] -> f32[c0:2, c1:3, c3:16]"
        );
        assert_snapshot!(
            einsum("...k,...kn->...n", &["=3 8", "=2 3 8 16"]),
            @"[c0:3, c1:8], [c2:2, c0:3, c1:8, c3:16] -> f32[c2:2, c0:3, c3:16]"
        );
        assert_snapshot!(einsum("ik,kj", &["=4 8", "=8 16"]), @"[c0:4, c1:8], [c1:8, c2:16] -> f32[c0:4, c2:16]");
        assert_snapshot!(einsum("ij->", &["=4 8"]), @"[c0:4, c1:8] -> f32[]");
        assert_snapshot!(einsum("a,b->ab", &["=4", "=1"]), @"[c0:4], [1] -> f32[c0:4, 1]");
        assert_snapshot!(einsum("ij->ji", &["N 8"]), @"[N, 8] -> f32[8, N]");
    }

    #[test]
    fn diagonals_and_lost_axes_are_opaque() {
        assert_snapshot!(einsum("ii->i", &["=4 4"]), @"[4, 4] -> f32[4]");
        assert_snapshot!(einsum("...i->i", &["=4 4"]), @"[4, 4] -> f32[4]");
        assert_snapshot!(einsum("ij,jk->ik", &["?", "=4 4"]), @"[..], [4, 4] -> f32[..]");
    }

    #[test]
    fn contradictions() {
        assert_snapshot!(
            einsum("ij,jk->ik", &["=4 5", "=4 4"]),
            @"error: `j`: axes of length 5 and 4 do not broadcast"
        );
        assert_snapshot!(einsum("ij,jk->ik", &["=4 5"]), @"error: the equation is for 2 operands, not 1");
        assert_snapshot!(einsum("ijk->ik", &["=4 5"]), @"error: 3 letters for an operand of rank 2");
        assert_snapshot!(einsum("i->z", &["=4"]), @"error: the equation has `z` in the result only");
        assert_snapshot!(einsum("i1->i", &["=4 5"]), @"error: the equation has `1` where a letter should be");
        assert_snapshot!(einsum("......i->i", &["=4 5"]), @"error: the equation has `.` where a letter should be");
        assert_snapshot!(show("Einsum", 12, "", &["=4 5"]), @"error: 0 letters for an operand of rank 2");
    }

    #[test]
    fn cost_counts_products() {
        let case = Case::new("Einsum", 12, "equation=bij,bjk->bik", &["B 4 8", "B 8 16"], 1);
        assert_snapshot!(case.cost(), @"512*B");
    }
}
