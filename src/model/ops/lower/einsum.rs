//! Einsum, two operands at a time: what only one of them has and nobody needs is summed up at once, what both have is
//! a product of matrices.

use crate::ops::einsum::{Equation, Letters};
use crate::program::{Args, Term};

/// The sum of products that an equation says.
pub(crate) fn summed<'b>(equation: &Equation, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let mut factors = vec![];
    for (labels, term) in equation.operands.iter().zip(at.all()?) {
        factors.push(labelled(labels, term)?);
    }
    let widest = factors.iter().map(|f| f.labels.iter().filter(|l| open_index(**l).is_some()).count()).max();
    let result = letters(&equation.result, widest.unwrap_or(0));
    let full = |l: char| factors.iter().filter_map(|f| f.size(l)).max().unwrap_or(1);
    let factors: Vec<Factor> = factors.iter().map(|f| f.without(|l| f.size(l) == Some(1) && full(l) > 1)).collect();
    let mut rest = factors.into_iter();
    let mut product = rest.next().ok_or("it has no operands")?;
    while let Some(next) = rest.next() {
        let needed = |l: char| result.contains(&l) || rest.as_slice().iter().any(|f| f.labels.contains(&l));
        product = multiplied(product, next, needed);
    }
    let product = product.summed(|l| !result.contains(&l));
    Ok(vec![product.ordered(&result).term])
}

/// A tensor with a letter for each axis.
struct Factor<'b> {
    labels: Vec<char>,
    term: Term<'b>,
}

/// Axes that `...` stands for have letters of the private use area, counted from the last one.
const OPEN: u32 = 0xE000;

fn open_index(label: char) -> Option<u32> {
    (label as u32).checked_sub(OPEN)
}

/// The letters of a side, with so many axes for `...`.
fn letters(side: &Letters, open: usize) -> Vec<char> {
    let mut letters = side.letters.clone();
    if let Some(at) = side.ellipsis {
        letters.splice(at..at, (0..open as u32).rev().filter_map(|i| char::from_u32(OPEN + i)));
    }
    letters
}

fn labelled<'b>(side: &Letters, term: Term<'b>) -> Result<Factor<'b>, String> {
    let labels = letters(side, term.rank().saturating_sub(side.letters.len()));
    match labels.iter().enumerate().find(|(i, l)| labels[..*i].contains(l)) {
        Some((_, letter)) => Err(format!("`{letter}` stands twice for one operand: diagonals have no derivative here")),
        None if labels.len() != term.rank() => Err(format!("{} letters for {:?}", labels.len(), term.shape())),
        None => Ok(Factor { labels, term }),
    }
}

impl<'b> Factor<'b> {
    fn size(&self, label: char) -> Option<usize> {
        self.labels.iter().position(|&l| l == label).map(|axis| self.term.size(axis))
    }

    /// Without axes of size 1.
    fn without(&self, drops: impl Fn(char) -> bool) -> Factor<'b> {
        let axes: Vec<usize> = (0..self.labels.len()).filter(|&a| drops(self.labels[a])).collect();
        let labels = self.labels.iter().copied().filter(|&l| !drops(l)).collect();
        Factor { labels, term: self.term.squeeze(&axes) }
    }

    /// Summed over labels.
    fn summed(self, over: impl Fn(char) -> bool) -> Factor<'b> {
        let axes: Vec<usize> = (0..self.labels.len()).filter(|&a| over(self.labels[a])).collect();
        Factor { term: self.term.sum(&axes), ..self }.without(over)
    }

    /// With its axes in this order; it has them all.
    fn ordered(self, labels: &[char]) -> Factor<'b> {
        let place = |l: &char| self.labels.iter().position(|m| m == l);
        let order: Vec<usize> = labels.iter().filter_map(place).collect();
        Factor { labels: labels.to_vec(), term: self.term.permute(&order) }
    }

    /// The sizes of labels that it has.
    fn sizes(&self, labels: &[char]) -> Vec<usize> {
        labels.iter().filter_map(|&l| self.size(l)).collect()
    }
}

/// The product of two factors, summed over what is not needed afterwards.
fn multiplied<'b>(a: Factor<'b>, b: Factor<'b>, needed: impl Fn(char) -> bool) -> Factor<'b> {
    let (in_a, in_b) = (a.labels.clone(), b.labels.clone());
    let a = a.summed(|l| !needed(l) && !in_b.contains(&l));
    let b = b.summed(|l| !needed(l) && !in_a.contains(&l));
    let (both, left): (Vec<char>, Vec<char>) = a.labels.iter().partition(|l| b.labels.contains(l));
    let (shared, summed): (Vec<char>, Vec<char>) = both.into_iter().partition(|&l| needed(l));
    let right: Vec<char> = b.labels.iter().copied().filter(|l| !a.labels.contains(l)).collect();
    let count = |sizes: &[usize]| sizes.iter().product::<usize>();
    let (batch, rows, depth, columns) = (a.sizes(&shared), a.sizes(&left), a.sizes(&summed), b.sizes(&right));
    let x = a.ordered(&[&shared[..], &left, &summed].concat()).term;
    let y = b.ordered(&[&shared[..], &summed, &right].concat()).term;
    let x = x.reshape(&[count(&batch), count(&rows), count(&depth)]);
    let y = y.reshape(&[count(&batch), count(&depth), count(&columns)]);
    // Without a sum it is no product of matrices.
    let product = if summed.is_empty() { x * y } else { x.matmul(y) };
    Factor { labels: [shared, left, right].concat(), term: product.reshape(&[batch, rows, columns].concat()) }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn products_sums_and_turns() {
        for (equation, operands) in [
            ("bhid,bhjd->bhij", &["2 3 4 5", "2 3 2 5"][..]),
            ("ij,jk", &["2 3", "=3 4"]),
            ("bij,bjk->ki", &["2 3 4", "2 4 2"]),
            ("i,j->ij", &["3", "4"]),
            ("ij->ji", &["2 3"]),
            ("ijk->j", &["2 3 4"]),
            ("ij,ij->", &["2 3", "2 3"]),
            ("bi,bi->bi", &["2 3", "2 3"]),
            ("ij,jk,kl->il", &["2 3", "3 4", "4 2"]),
            ("abc,bd->acd", &["2 3 4", "3 2"]),
        ] {
            Trial::new("Einsum", 12, &format!("equation={equation}"), operands, 1).check();
        }
    }

    #[test]
    fn axes_that_dots_stand_for() {
        for (equation, operands) in [
            ("...k,kn->...n", ["2 5 3", "=3 4"]),
            ("...ij,...jk->...ik", ["2 1 2 3", "4 3 2"]),
            ("b...,b...->...", ["2 3 4", "2 3 4"]),
        ] {
            Trial::new("Einsum", 12, &format!("equation={equation}"), &operands, 1).check_derivative();
        }
        let dots = Trial::new("Einsum", 12, "equation=...k,kn->...n", &["2 5 3", "=3 4"], 1).run();
        let matmul = Trial::new("MatMul", 13, "", &["2 5 3", "=3 4"], 1).run();
        assert_eq!(dots[0].1.to_f64().unwrap(), matmul[0].1.to_f64().unwrap());
    }
}
