//! Sums of products over named axes.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use std::collections::BTreeMap;

pub(super) const CASES: &[(&str, Generator)] = &[("Einsum", einsum)];

#[test]
fn laws() {
    check(CASES, 10);
}

fn einsum(op: &str, d: &mut Draw) -> Case {
    let equation = d.pick(&[
        "ij,jk->ik",
        "bij,bjk->bik",
        "bhid,bhjd->bhij",
        "ij->ji",
        "ij->i",
        "i,j->ij",
        "ij,j->i",
        "bnd,hdk->bhnk",
    ]);
    let mut lengths: BTreeMap<char, usize> = BTreeMap::new();
    let mut case = Case::new(op, 12).attribute("equation", format!("{equation:?}"));
    let (operands, _) = equation.split_once("->").expect("an arrow");
    for letters in operands.split(',') {
        let shape: Vec<usize> = letters.chars().map(|c| *lengths.entry(c).or_insert_with(|| d.range(1, 4))).collect();
        case = case.data(d.floats(&shape));
    }
    case
}
