//! The laws of the operators' rules, as properties of random calls and random small graphs.
//!
//! For every operator there is a generator of calls (`ops/`). Each call is checked (`check.rs`) with all operands
//! constant, so that all labels are free, and again with its first operand an input of open lengths:
//!
//! 1. types and contents that are inferred are the real ones, open lengths evaluated;
//! 2. after a cut, inference finds what the axes predicted (`apply` itself asserts it);
//! 3. along shared labels, the call on less computes less of the same;
//! 4. the cut call computes what the masked call does, of what is kept;
//! 5. the same for graphs (`graphs.rs`), through the very functions that `secateur prune` calls;
//! 6. what stays is what it was, whatever weights and scales are made of (`expressions.rs`).
//!
//! And where a rule claims zeros, that they are absorbing, an identity or a bypass operand, it is so. What is real is what tract computes.
//! `SECATEUR_CASES=20` makes twenty times as many cases.

#![allow(clippy::print_stderr)]

mod case;
mod check;
mod draw;
mod eval;
mod expressions;
mod false_claims;
mod graphs;
mod inexact;
mod lossless;
mod net;
mod ops;
mod windows;

use case::Case;
use check::{Seen, laws};
use draw::Draw;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;

/// Calls of one operator.
pub type Generator = fn(&str, &mut Draw) -> Case;

/// Runs a property on random choices: always the same ones, so that a test does not fail by chance.
/// Says how many.
pub fn property(name: &str, cases: u32, test: impl Fn(&mut Draw) -> Result<(), String>) -> u32 {
    let factor = std::env::var("SECATEUR_CASES").ok().and_then(|v| v.parse::<u32>().ok()).unwrap_or(1);
    let cases = cases * factor;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut seed = [7; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(s, b)| *s ^= b);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome =
        runner.run(&vec(any::<u32>(), 0..120), |numbers| test(&mut Draw::new(&numbers)).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => cases,
        Err(TestError::Fail(why, _)) => panic!("{name}: {why}"),
        Err(TestError::Abort(why)) => panic!("{name}: {why}"),
    }
}

/// Checks the laws of a family's operators on so many cases each; all that break one are told.
pub fn check(family: &[(&str, Generator)], cases: u32) {
    let broken: Vec<String> = family.iter().filter_map(|(op, generate)| operator(op, *generate, cases).err()).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

fn operator(op: &str, generate: Generator, cases: u32) -> Result<(), String> {
    let seen = RefCell::new(Seen::default());
    let run = || {
        property(op, cases, |d| {
            let case = generate(op, d);
            caught(|| laws(&case, d, &mut seen.borrow_mut())).map_err(|why| format!("{why}\n{}", case.text()))
        });
    };
    caught(|| {
        run();
        Ok(())
    })?;
    let seen = seen.into_inner();
    if std::env::var_os("SECATEUR_SEEN").is_some() {
        eprintln!("{op:32} {seen:?}");
    }
    let unrun = ops::UNRUN.contains(&op);
    if seen.run * 2 < seen.cases && !unrun {
        return Err(format!("{op}: the oracle ran {} of {} cases: {}", seen.run, seen.cases, seen.refused));
    }
    if seen.run > 0 && unrun {
        return Err(format!("{op}: the oracle runs it now; strike it off the list"));
    }
    if seen.cut == 0 && !ops::PINNED.contains(&op) {
        return Err(format!("{op}: no case had anything to cut"));
    }
    Ok(())
}

/// A panic is a broken law too, and is told with its case.
pub fn caught(test: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        Err(words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into()))
    })
}

/// Where an operator has cases: in the file of its family, or nowhere, and why.
#[test]
fn every_operator_has_cases_by_its_family() {
    let is_exempt = |op: &str| ops::EXEMPT.iter().any(|(o, _)| *o == op);
    let cases =
        |family: &str| ops::FAMILIES.iter().find(|(name, _)| *name == family).map_or(&[][..], |(_, cases)| cases);
    let mut wrong = vec![];
    for (family, operators) in secateur::ops::families() {
        let has = |op: &str| cases(family).iter().any(|(o, _)| *o == op);
        let missing = operators.iter().filter(|op| !has(op) && !is_exempt(op));
        wrong.extend(missing.map(|op| format!("{op}: neither cases in tests/laws/ops/{family}.rs nor an exemption")));
        let others = cases(family).iter().map(|(op, _)| *op).filter(|op| !operators.contains(op));
        wrong.extend(others.map(|op| format!("{op}: it has cases in {family}.rs, which is not its family")));
    }
    let known = secateur::ops::known();
    let stale = ops::EXEMPT.iter().map(|(op, _)| *op).filter(|op| !known.contains(op));
    wrong.extend(stale.map(|op| format!("{op}: exempt, but not known")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
