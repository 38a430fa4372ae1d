//! Whatever legs a model is run in, the values are those of whole runs.

use super::{Frontier, Goal, Probe, Samples, Shelf};
use crate::feed::Feed;
use crate::ir::{self, Model, Tensor, ValueId};
use crate::oracle::Setup;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Branches, a residual connection, two inputs, shapes computed at run time, a subgraph that captures.
const NET: &str = "g (f32[N,4] x, f32[N,4] z, bool c) => (y, o) {
    f32[4,4] w = {1.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.3, 1.0}
    i64[1] two = {2}
    i64 zero = {0}
    a = MatMul(x, w)
    r = Relu(a)
    s = Shape(x)
    n = Gather<axis=0>(s, zero)
    i64[1] zeros = {0}
    m = Unsqueeze(n, zeros)
    t = Concat<axis=0>(m, two, two)
    b = Reshape(r, t)
    p, q = Split<axis=1,num_outputs=2>(b)
    d = Mul(p, q)
    e = Sum(d, p, q, p, q, d)
    i64[2] back = {-1, 2}
    f = Reshape(e, back)
    h = MatMul(r, w)
    k = Add(h, x)
    i = If<then_branch = u () => (v) { v = Add(k, z) }, else_branch = l () => (j) { j = Neg(k) }>(c)
    y = MatMul(i, w)
    g = MatMul(y, w)
    o = Sub(g, k)
}";

fn model() -> Model {
    ir::parse(NET, &|_| None).unwrap_or_else(|e| panic!("{e}"))
}

/// Feeds of different lengths.
fn feeds() -> Vec<Feed> {
    let numbers = |count: usize, seed: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed * 5 + i * i * seed) % 13) as f32 / 6.0 - 1.0).collect()
    };
    let feed = |(seed, length): (usize, usize)| {
        let tensor = |seed| Tensor::from_f32(vec![length, 4], &numbers(4 * length, seed));
        let chosen = Tensor::new(ir::DType::Bool, vec![], vec![u8::from(seed % 3 == 0)]).unwrap();
        Feed::new(vec![("x".into(), tensor(seed)), ("z".into(), tensor(seed + 9)), ("c".into(), chosen)])
    };
    [(1, 400), (2, 400), (3, 400), (4, 3), (5, 3)].into_iter().map(feed).collect()
}

fn named(model: &Model, names: &[&str]) -> Vec<ValueId> {
    let all = model.graph.values_by_name();
    names.iter().map(|name| all[*name]).collect()
}

/// The values on all feeds, run as a whole.
fn whole(model: &Model, names: &[&str]) -> Vec<BTreeMap<ValueId, Tensor>> {
    let mut probe = Probe::new(&Setup::default(), model, &named(model, names)).unwrap();
    feeds().iter().map(|feed| probe.run(feed).unwrap()).collect()
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    let (x, y) = (a.to_f64().unwrap(), b.to_f64().unwrap());
    a.shape == b.shape && x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-5)
}

/// Values in topological order, of which legs look at some.
const ORDER: [&str; 10] = ["a", "r", "b", "d", "f", "h", "k", "i", "y", "o"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn legs_together_are_a_run(stops in prop::collection::vec(any::<bool>(), 9), memory in prop::sample::select(vec![0u64, 20_000, 1 << 30])) {
        let (model, samples, shelf) = (model(), feeds(), RefCell::new(Shelf::new(memory)));
        let mut frontier = Frontier::new(&Setup::default(), &samples, &shelf);
        let mut from = 0;
        for end in 1..=ORDER.len() {
            if end < ORDER.len() && !stops[end - 1] {
                continue;
            }
            let wanted = named(&model, &ORDER[from..end]);
            let later = named(&model, &ORDER[end..]);
            let expected = whole(&model, &ORDER[from..end]);
            // A look ahead changes nothing.
            let mut look = frontier.look(&model, &named(&model, &["o"])).unwrap();
            prop_assert!(look.pass().unwrap());
            prop_assert!(near(&look.advance().unwrap().unwrap().1[&named(&model, &["o"])[0]], &whole(&model, &["o"])[1][&named(&model, &["o"])[0]]));
            drop(look);
            let mut leg = frontier.leg(&model, &Goal { wanted: &wanted, settled: &wanted, later: &later }).unwrap();
            let mut at = 0;
            while let Some((mark, values)) = leg.advance().unwrap() {
                prop_assert_eq!((mark.at, mark.samples), (at, [400, 400, 400, 3, 3][at]));
                for (value, tensor) in &expected[at] {
                    prop_assert!(near(&values[value], tensor), "{}", model.graph.value_name(*value));
                }
                at += 1;
            }
            prop_assert_eq!(at, samples.len());
            from = end;
        }
        prop_assert!(!frontier.restarts());
        drop(frontier);
        prop_assert!(memory > 0 || shelf.borrow().in_file() > 0);
    }
}

#[test]
fn what_is_no_more_needed_is_dropped() {
    let (model, samples, shelf) = (model(), feeds(), RefCell::new(Shelf::new(1 << 30)));
    let mut frontier = Frontier::new(&Setup::default(), &samples, &shelf);
    let (wanted, later) = (named(&model, &["h"]), named(&model, &["o"]));
    let mut leg = frontier.leg(&model, &Goal { wanted: &wanted, settled: &wanted, later: &later }).unwrap();
    while leg.advance().unwrap().is_some() {}
    drop(leg);
    assert_eq!(frontier.live_names(), ["c", "h", "x", "z"]);
}

#[test]
fn what_cant_be_cut_into_parts_begins_at_the_inputs() {
    // A sequence is no tensor, so no leg can hand it on.
    let text = "g (f32[N,4] x) => (y) {
        a = Relu(x)
        s = SequenceConstruct(a, x)
        b = Neg(a)
        t = ConcatFromSequence<axis=0>(s)
        y = Exp(t)
    }";
    let model = ir::parse(text, &|_| None).unwrap();
    let feed = |k: usize| Feed::new(vec![("x".into(), Tensor::from_f32(vec![1, 4], &[k as f32, 1.0, -2.0, 0.5]))]);
    let (samples, shelf): (Vec<Feed>, _) = ((0..3).map(feed).collect(), RefCell::new(Shelf::new(1 << 30)));
    let mut frontier = Frontier::new(&Setup::default(), &samples, &shelf);
    let (first, second) = (named(&model, &["b", "s"]), named(&model, &["b"]));
    // The sequence is settled, and read later: it would be live.
    let mut leg =
        frontier.leg(&model, &Goal { wanted: &second, settled: &first, later: &named(&model, &["y"]) }).unwrap();
    let mut found = vec![];
    while let Some((mark, values)) = leg.advance().unwrap() {
        found.push((mark.at, values[&second[0]].to_f64().unwrap()[0]));
    }
    drop(leg);
    assert_eq!(found, [(0, -0.0), (1, -1.0), (2, -2.0)]);
    assert!(frontier.restarts() && samples.count() == 3);
    let mut leg = frontier.leg(&model, &Goal { wanted: &second, settled: &second, later: &[] }).unwrap();
    assert_eq!(leg.advance().unwrap().unwrap().1[&second[0]].to_f64().unwrap()[1], -1.0);
}
