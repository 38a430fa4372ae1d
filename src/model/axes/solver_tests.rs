//! Properties of the axis solver on random systems: products and sums of leaves, unified in any order.

use super::solver::{Mark, ReasonId, Shape, Solver, Var};
use crate::ir::Dim;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// How an axis is made: of nothing smaller, of factors, or of terms.
#[derive(Clone, Debug)]
enum Made {
    Leaf(usize),
    Product(Vec<Made>),
    Sum(Vec<Made>),
}

impl Made {
    fn size(&self) -> usize {
        match self {
            Made::Leaf(n) => *n,
            Made::Product(p) => p.iter().map(Made::size).product(),
            Made::Sum(p) => p.iter().map(Made::size).sum(),
        }
    }

    fn build(&self, solver: &mut Solver) -> Var {
        match self {
            Made::Leaf(n) => solver.fresh(Dim::from(*n)),
            Made::Product(p) => {
                let parts = p.iter().map(|m| m.build(solver)).collect();
                solver.product(parts)
            }
            Made::Sum(p) => {
                let parts = p.iter().map(|m| m.build(solver)).collect();
                solver.sum(parts)
            }
        }
    }
}

/// Ways to make an axis of a given length, one or two levels deep.
fn made(size: usize, depth: u32) -> BoxedStrategy<Made> {
    let leaf = Just(Made::Leaf(size)).boxed();
    let divisors: Vec<usize> = (2..size).filter(|d| size.is_multiple_of(*d)).collect();
    if depth == 0 || size < 4 {
        return leaf;
    }
    let sum = (1..size)
        .prop_flat_map(move |a| (made(a, depth - 1), made(size - a, depth - 1)))
        .prop_map(|(a, b)| Made::Sum(vec![a, b]))
        .boxed();
    if divisors.is_empty() {
        return prop_oneof![leaf, sum].boxed();
    }
    let product = proptest::sample::select(divisors)
        .prop_flat_map(move |a| (made(a, depth - 1), made(size / a, depth - 1)))
        .prop_map(|(a, b)| Made::Product(vec![a, b]))
        .boxed();
    prop_oneof![leaf, sum, product].boxed()
}

/// Some axes of one length, and which of them are the same.
fn system() -> impl Strategy<Value = (Vec<Made>, Vec<(usize, usize)>)> {
    let size = proptest::sample::select(vec![4, 6, 8, 12, 16, 24, 30, 36, 48]);
    (size, 2..6usize).prop_flat_map(|(size, count)| {
        let axes = proptest::collection::vec(made(size, 2), count);
        (axes, proptest::collection::vec((0..count, 0..count), 1..8))
    })
}

const WHY: ReasonId = 7;

fn check(property: impl Fn((Vec<Made>, Vec<(usize, usize)>)) -> Result<(), TestCaseError>) {
    let factor = std::env::var("SECATEUR_CASES").ok().and_then(|v| v.parse::<u32>().ok()).unwrap_or(1);
    let config = Config { cases: 1500 * factor, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]));
    match runner.run(&system(), property) {
        Err(TestError::Fail(why, system)) => panic!("{why}: {system:?}"),
        outcome => outcome.unwrap(),
    }
}

/// The length that the parts of a variable add or multiply up to.
fn length(solver: &Solver, var: Var) -> usize {
    match solver.shape(var) {
        Shape::Leaf => solver.size(var).size().unwrap(),
        Shape::Product(p) => p.into_iter().map(|v| length(solver, v)).product(),
        Shape::Sum(p) => p.into_iter().map(|v| length(solver, v)).sum(),
    }
}

/// For each index the leaves that it belongs to, with its unit in each. Indices that belong to the same are one.
fn units(solver: &Solver, var: Var) -> Vec<Vec<(Var, usize)>> {
    match solver.shape(var) {
        Shape::Leaf => (0..length(solver, var)).map(|i| vec![(solver.find(var), i)]).collect(),
        Shape::Sum(p) => p.into_iter().flat_map(|v| units(solver, v)).collect(),
        Shape::Product(p) => p.into_iter().fold(vec![vec![]], |out, v| {
            let inner = units(solver, v);
            out.iter().flat_map(|o| inner.iter().map(move |i| [o.clone(), i.clone()].concat())).collect()
        }),
    }
}

/// The units of several axes, with leaves numbered as they first occur.
fn renamed(solver: &Solver, vars: &[Var]) -> Vec<Vec<(usize, usize)>> {
    let mut seen: Vec<Var> = vec![];
    let mut number = |leaf: Var| {
        seen.iter().position(|&l| l == leaf).unwrap_or_else(|| {
            seen.push(leaf);
            seen.len() - 1
        })
    };
    let rows = vars.iter().flat_map(|&v| units(solver, v));
    let row = |at: Vec<(Var, usize)>| {
        let free = at.into_iter().filter(|&(leaf, _)| is_free(solver, leaf));
        let mut at: Vec<(usize, usize)> = free.map(|(leaf, unit)| (number(leaf), unit)).collect();
        at.sort_unstable();
        at
    };
    rows.map(row).collect()
}

/// Whether a cut can tell the leaf: it is not pinned, and longer than 1.
fn is_free(solver: &Solver, leaf: Var) -> bool {
    solver.marks(leaf).is_empty() && solver.size(leaf).size() != Some(1)
}

/// The units of those leaves that a cut can tell.
fn movable(solver: &Solver, var: Var) -> Vec<Vec<(Var, usize)>> {
    let tidy = |mut at: Vec<(Var, usize)>| {
        at.retain(|&(leaf, _)| is_free(solver, leaf));
        at.sort_unstable();
        at
    };
    units(solver, var).into_iter().map(tidy).collect()
}

fn solved(axes: &[Made], same: &[(usize, usize)]) -> (Solver, Vec<Var>) {
    let mut solver = Solver::default();
    let vars: Vec<Var> = axes.iter().map(|m| m.build(&mut solver)).collect();
    same.iter().for_each(|&(a, b)| solver.unify(vars[a], vars[b], WHY));
    (solver, vars)
}

#[test]
fn sizes_stay_what_they_are() {
    check(|(axes, same)| {
        let (solver, vars) = solved(&axes, &same);
        for (made, &var) in axes.iter().zip(&vars) {
            prop_assert_eq!(length(&solver, var), made.size());
            prop_assert_eq!(solver.size(var).size(), Some(made.size()));
        }
        Ok(())
    });
}

#[test]
fn what_is_unified_is_cut_alike() {
    check(|(axes, same)| {
        let (mut solver, vars) = solved(&axes, &same);
        solver.hand_down_marks();
        for &(a, b) in &same {
            prop_assert_eq!(movable(&solver, vars[a]), movable(&solver, vars[b]));
        }
        Ok(())
    });
}

#[test]
fn unifying_again_changes_nothing() {
    check(|(axes, same)| {
        let (mut once, vars) = solved(&axes, &same);
        let mut twice = once.clone();
        same.iter().for_each(|&(a, b)| twice.unify(vars[a], vars[b], WHY));
        once.hand_down_marks();
        twice.hand_down_marks();
        prop_assert_eq!(renamed(&once, &vars), renamed(&twice, &vars));
        Ok(())
    });
}

#[test]
fn marks_come_from_clashes_only() {
    check(|(axes, _)| {
        let (mut solver, vars) = solved(&axes, &[]);
        solver.hand_down_marks();
        prop_assert!(vars.iter().flat_map(|&v| solver.leaves(v)).all(|l| solver.marks(l).is_empty()));
        // A leaf takes any form that it meets.
        let whole = solver.fresh(Dim::from(axes[0].size()));
        solver.unify(whole, vars[0], WHY);
        solver.hand_down_marks();
        prop_assert!(solver.leaves(vars[0]).into_iter().all(|l| solver.marks(l) != [Mark::Pin(WHY)]));
        Ok(())
    });
}

#[test]
fn a_pin_is_never_lost_among_many_marks() {
    let mut solver = Solver::default();
    let leaf = solver.fresh(Dim::Fixed(4));
    (0..20).for_each(|reason| solver.mark(leaf, Mark::Inexact(reason)));
    solver.mark(leaf, Mark::Pin(20));
    solver.hand_down_marks();
    assert!(solver.marks(leaf).contains(&Mark::Pin(20)));
}

#[test]
fn axes_of_too_many_parts_stay_whole() {
    let mut solver = Solver::default();
    let unit = solver.fresh(Dim::Fixed(2));
    let apart = solver.fresh(Dim::Fixed(3));
    let mut axes = vec![unit];
    for k in 0..40 {
        let half = axes[k];
        let sum = solver.sum(vec![half, half]);
        let axis = solver.fresh(Dim::Fixed(4 << k));
        solver.unify(axis, sum, 0);
        axes.push(axis);
    }
    let (rows, columns) = (solver.fresh(Dim::Fixed(1 << 20)), solver.fresh(Dim::Fixed(1 << 21)));
    let table = solver.product(vec![rows, columns]);
    solver.unify(axes[40], table, 1);
    let kept = solver.collapse();
    assert!(kept.contains(&solver.find(unit)) && !kept.contains(&apart));
    axes.iter().for_each(|&axis| assert!(solver.leaves(axis).len() <= 4096));
    solver.hand_down_marks();
    assert!(solver.marks(rows).contains(&Mark::Pin(1)));
}

#[test]
fn long_chains_of_sums_take_no_stack_and_little_time() {
    let mut solver = Solver::default();
    let term = solver.fresh(Dim::Fixed(2));
    let mut whole = term;
    for k in 0..30_000 {
        let sum = solver.sum(vec![whole, term]);
        whole = solver.fresh(Dim::Fixed(4 + 2 * k));
        solver.unify(whole, sum, 0);
    }
    assert!(solver.collapse().contains(&solver.find(term)));
    assert!(solver.leaves(whole).len() <= 4096);
}
