//! The laws notice rules that claim what is not so.

use crate::case::{Case, call};
use crate::check::{Seen, laws_of};
use crate::draw::Draw;
use secateur::ir::DType;
use secateur::ops::{Rule, ValueLaws, ZeroLaws, rule_of, zero};

/// The law that a changed rule breaks on one of some calls of an operator.
fn broken(op: &str, opset: i64, shapes: &[&[usize]], change: fn(Rule) -> Rule) -> String {
    let verdict = |seed: u32| {
        let numbers: Vec<u32> = (0..120).map(|i| (i + seed).wrapping_mul(2_654_435_761) >> 7).collect();
        let d = &mut Draw::new(&numbers);
        let case = shapes.iter().fold(Case::new(op, opset), |c, shape| c.data(d.tensor(DType::F32, shape, 0.5, 2.0)));
        let model = case.model()?;
        let own = rule_of(&model, model.graph.call(call(&model)).expect("a call"));
        laws_of(&change(*own), &case, model, d, &mut Seen::default())
    };
    (0..40).find_map(|seed| verdict(seed).err()).expect("a false claim is noticed")
}

#[test]
fn false_claims_are_found() {
    let absorbing: fn(Rule) -> Rule = |rule| Rule { zeros: ZeroLaws { absorbing: |_, _| true, ..rule.zeros }, ..rule };
    assert!(broken("MatMul", 13, &[&[3, 4], &[4, 2]], absorbing).contains("law of absorbing zeros"));
    let results: fn(Rule) -> Rule = |rule| Rule { zeros: ZeroLaws { results: zero::any, ..rule.zeros }, ..rule };
    assert!(broken("Add", 14, &[&[3, 4], &[3, 4]], results).contains("law of zeros"));
    let identity: fn(Rule) -> Rule = |rule| Rule { values: ValueLaws { identity: |_| true, ..rule.values }, ..rule };
    assert!(broken("Sigmoid", 13, &[&[3, 4]], identity).contains("no identity"));
    let bypass: fn(Rule) -> Rule =
        |rule| Rule { values: ValueLaws { bypass: |_, slot| Some(1 - slot.min(1)), ..rule.values }, ..rule };
    assert!(broken("Mul", 14, &[&[3, 4], &[3, 4]], bypass).contains("no bypass"));
}
