//! Numbers of units that can be worked out by hand.

use super::relevance::Trace;
use super::*;
use crate::autograd::Engine;
use crate::feed::Feed;
use crate::ir::{Tensor, parse};
use crate::stats::Labelled;
use proptest::prelude::*;

/// Two linear layers with three units between them.
const LINEAR: &str = "g (f32[N,2] x) => (f32[N,1] y) {
    f32[2,3] w = {1.0, -0.5, 0.25, 2.0, 0.5, 1.0}
    f32[3,1] v = {0.5, 1.0, -2.0}
    h = MatMul(x, w)
    y = MatMul(h, v)
}";

const W: [[f64; 3]; 2] = [[1.0, -0.5, 0.25], [2.0, 0.5, 1.0]];
const V: [f64; 3] = [0.5, 1.0, -2.0];

/// The second unit never says anything, and nobody listens to the third.
const DEAD: &str = "g (f32[N,2] x) => (f32[N,3] y) {
    f32[4,2] w = {1.0, 0.5, 1.0, 1.0, 1.0, -0.5, -0.5, 1.0}
    f32[4] b = {0.1, -90.0, 0.1, 0.1}
    f32[3,4] v = {1.0, 1.0, 0.0, -1.0, -1.0, 1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 1.5}
    h = Gemm<transB=1>(x, w, b)
    a = Relu(h)
    y = Gemm<transB=1>(a, v)
}";

/// Feeds with labels.
struct Known(Vec<Labelled>);

impl Samples for Known {
    fn feeds(&self) -> Box<dyn Iterator<Item = Result<Feed, FeedError>> + '_> {
        Box::new(self.0.iter().map(|(feed, _)| Ok(feed.clone())))
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn labelled(&self, _: usize) -> Box<dyn Iterator<Item = Result<Labelled, FeedError>> + '_> {
        Box::new(self.0.iter().cloned().map(Ok))
    }
}

fn analysis(text: &str) -> Analysis {
    Analysis::new(parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}")))
}

fn feed(x: &[f32]) -> Feed {
    Feed::new(vec![("x".into(), Tensor::from_f32(vec![1, x.len()], x))])
}

/// Single samples of two numbers, with targets.
fn samples(rows: &[([f64; 2], f64)]) -> Known {
    let one = |(x, t): &([f64; 2], f64)| (feed(&x.map(|x| x as f32)), Some(Tensor::from_f32(vec![1, 1], &[*t as f32])));
    Known(rows.iter().map(one).collect())
}

fn spread(count: usize) -> Vec<Feed> {
    (0..count).map(|i| feed(&[(i as f32 * 0.7).sin() + 0.6, (i as f32 * 1.3).cos() + 0.4])).collect()
}

/// The numbers of the first free group's units.
fn measured(text: &str, want: Want, samples: Option<&dyn Samples>) -> Vec<f64> {
    let analysis = analysis(text);
    let found = Gradients::measure(&analysis, &BTreeSet::from([want]), samples, 3, Device::Cpu, &|| ());
    let group = analysis.groups.free().next().expect("a group is free");
    found.unwrap_or_else(|e| panic!("{e}")).of(want, group).expect("numbers").to_vec()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance * size, "{found:?} instead of {expected:?}");
    }
}

const ROWS: [([f64; 2], f64); 2] = [([1.0, 0.5], 1.0), ([-0.5, 2.0], 0.25)];

fn hidden(x: [f64; 2]) -> [f64; 3] {
    [0, 1, 2].map(|u| x[0] * W[0][u] + x[1] * W[1][u])
}

fn error(x: [f64; 2], t: f64) -> f64 {
    hidden(x).iter().zip(V).map(|(h, v)| h * v).sum::<f64>() - t
}

/// For each unit the sum over the samples of what `f` says of sample, error, hidden number and unit.
fn by_hand(f: impl Fn([f64; 2], f64, f64, usize) -> f64) -> Vec<f64> {
    (0..3).map(|u| ROWS.iter().map(|&(x, t)| f(x, error(x, t), hidden(x)[u], u)).sum()).collect()
}

#[test]
fn first_derivatives_of_a_linear_net() {
    let samples = samples(&ROWS);
    // What comes in and what goes out of a unit both have the sum e h v.
    let expected = by_hand(|_, e, h, u| (2.0 * e * h * V[u]).powi(2));
    close(&measured(LINEAR, Want::Taylor, Some(&samples)), &expected, 1e-5);
    let parts =
        |x: [f64; 2], e: f64, h: f64, u: usize| [e * x[0] * V[u] * W[0][u], e * x[1] * V[u] * W[1][u], e * h * V[u]];
    let expected = by_hand(|x, e, h, u| parts(x, e, h, u).iter().map(|p| 0.5 * p * p).sum());
    close(&measured(LINEAR, Want::Fisher, Some(&samples)), &expected, 1e-5);
    let expected = by_hand(|x, e, h, u| parts(x, e, h, u).iter().map(|p| p.abs()).sum());
    close(&measured(LINEAR, Want::Snip, Some(&samples)), &expected, 1e-5);
}

#[test]
fn second_derivatives_of_a_squared_error() {
    let many: Vec<_> = ROWS.into_iter().cycle().take(600).collect();
    let found = measured(LINEAR, Want::Hessian, Some(&samples(&many)));
    // By a unit's weights in both layers the output is bilinear: twice what it says, and twice that for the error.
    let expected = by_hand(|_, e, h, u| 0.5 * ((2.0 * h * V[u]).powi(2) + e * 2.0 * h * V[u]));
    close(&found.iter().map(|f| f / 300.0).collect::<Vec<_>>(), &expected, 0.1);
}

/// The gradient of the loss of all rows: by the weights of `w`, then of `v`.
fn gradient(theta: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; 9];
    for (x, t) in ROWS {
        let hidden = |u: usize| x[0] * theta[u] + x[1] * theta[3 + u];
        let error = (0..3).map(|u| hidden(u) * theta[6 + u]).sum::<f64>() - t;
        for u in 0..3 {
            gradient[u] += error * x[0] * theta[6 + u];
            gradient[3 + u] += error * x[1] * theta[6 + u];
            gradient[6 + u] += error * hidden(u);
        }
    }
    gradient
}

#[test]
fn the_flow_of_gradients_in_a_linear_net() {
    let theta: Vec<f64> = W.iter().flatten().copied().chain(V).collect();
    let g = gradient(&theta);
    let at = |by: f64| gradient(&theta.iter().zip(&g).map(|(t, g)| t + by * g).collect::<Vec<_>>());
    let hg: Vec<f64> = at(1e-5).iter().zip(at(-1e-5)).map(|(a, b)| (a - b) / 2e-5).collect();
    let expected: Vec<f64> = (0..3).map(|u| [u, 3 + u, 6 + u].iter().map(|&i| theta[i] * hg[i]).sum()).collect();
    close(&measured(LINEAR, Want::Grasp, Some(&samples(&ROWS))), &expected, 1e-4);
}

#[test]
fn units_that_do_nothing_rank_lowest() {
    let samples = spread(64);
    for want in [
        Want::Taylor,
        Want::Fisher,
        Want::Snip,
        Want::Relevance(RelevanceRule::Epsilon),
        Want::Relevance(RelevanceRule::Positive),
    ] {
        let found = measured(DEAD, want, Some(&samples));
        assert!(found[1] == 0.0 && found[2] == 0.0 && found[0] > 0.0 && found[3] > 0.0, "{want:?} {found:?}");
    }
    let found = measured(DEAD, Want::Hessian, Some(&samples));
    assert!(found[1].max(found[2]) < found[0].min(found[3]), "{found:?}");
    // What gradients lose has a sign: what does nothing is no loss.
    let found = measured(DEAD, Want::Grasp, Some(&samples));
    assert!(found[1].abs() < 1e-6 && found[0].abs() > 1e-3, "{found:?}");
    let found = measured(&DEAD.replace("-90.0", "0.0"), Want::Synflow, None);
    assert!(found[2] < found[0].min(found[1]).min(found[3]), "{found:?}");
}

#[test]
fn flow_is_a_sum_over_paths() {
    let found = measured(LINEAR, Want::Synflow, None);
    // Twice, as weights that come in and as weights that go out: sums of columns times sums of rows.
    let expected: Vec<f64> = (0..3).map(|u| (W[0][u].abs() + W[1][u].abs()) * V[u].abs()).collect();
    let ratios: Vec<f64> = found.iter().zip(&expected).map(|(f, e)| f / e).collect();
    close(&ratios, &[ratios[0]; 3], 1e-9);
    let notes = |text| {
        Gradients::measure(&analysis(text), &BTreeSet::from([Want::Synflow]), None, 0, Device::Cpu, &|| ())
            .unwrap()
            .notes
    };
    assert!(notes(LINEAR).is_empty());
    assert_eq!(notes(DEAD), [flow::INEXACT]);
    // The scores that a softmax is taken of, and not its shares, which add up to 1.
    let shares = LINEAR.replace("f32[N,1] y", "f32[N,2] s").replace("f32[3,1] v = {", "f32[3,2] v = {0.5, 1.0, -2.0, ");
    let shares = shares.replace("y = MatMul(h, v)", "y = MatMul(h, v) s = Softmax(y)");
    assert!(measured(&shares, Want::Synflow, None).iter().all(|&f| f > 0.0) && notes(&shares).is_empty());
}

proptest! {
    // Tanaka et al., theorem of layer-wise conservation: what flows in flows out, so no layer has less in all.
    #[test]
    fn as_much_flows_through_every_layer(widths in prop::collection::vec(1_usize..6, 3..6), seed in 0_usize..1000) {
        let number = |i: usize| ((i * 37 + seed * 11) % 23) as f32 / 11.0 - 1.04;
        let (mut lines, mut last, mut x) = (String::new(), 3, "x".to_owned());
        for (at, &width) in widths.iter().chain(&[2]).enumerate() {
            let weights: Vec<String> = (0..last * width).map(|i| number(i + 100 * at).to_string()).collect();
            lines += &format!("f32[{last},{width}] w{at} = {{{}}}\n h{at} = MatMul({x}, w{at})\n", weights.join(", "));
            lines += &format!("r{at} = Relu(h{at})\n");
            (last, x) = (width, format!("r{at}"));
        }
        let analysis = analysis(&format!("g (f32[N,3] x) => (f32[N,2] {x}) {{ {lines} }}"));
        let found = Gradients::measure(&analysis, &BTreeSet::from([Want::Synflow]), None, 0, Device::Cpu, &|| ()).unwrap();
        let sums: Vec<f64> =
            analysis.groups.free().filter_map(|g| Some(found.of(Want::Synflow, g)?.iter().sum())).collect();
        prop_assert_eq!(sums.len(), widths.iter().filter(|&&w| w > 1).count());
        prop_assert!(sums.iter().all(|s| (s / sums[0] - 1.0).abs() < 1e-9), "{:?}", sums);
    }
}

/// The score of the largest class, and the sum of the relevance of each group's units.
fn traced(text: &str, feed: &Feed, rule: RelevanceRule) -> (f64, Vec<f64>) {
    let analysis = analysis(text);
    let trace = Trace::new(&analysis, feed, None).unwrap();
    let relevance = trace.relevance(Engine::default(), &analysis.model, feed, None, rule).unwrap();
    let units = trace.units(&relevance);
    let last = relevance.iter().rev().find_map(|r| r.as_ref()).expect("relevance begins somewhere");
    (last.iter().sum(), units.values().map(|u| u.iter().sum()).collect())
}

#[test]
fn relevance_is_conserved_without_biases() {
    let mlp = "g (f32[N,3] x) => (f32[N,2] s) {
        f32[3,4] w = {1.0, 0.5, -0.5, 1.0, -0.25, 1.0, 0.5, 1.0, 0.75, -1.0, 1.0, 0.5}
        f32[4,3] v = {1.0, 0.5, 1.0, -0.5, 1.0, 0.25, 0.5, -0.75, 1.0, 0.5, 0.5, 0.25}
        f32[3,2] u = {1.0, -0.5, 0.5, 0.25, 0.75, 1.0}
        a = MatMul(x, w)
        b = Relu(a)
        c = MatMul(b, v)
        d = LeakyRelu(c)
        e = Add(d, d)
        y = MatMul(e, u)
        s = Softmax(y)
    }";
    let conv = "g (f32[N,2,3,3] x) => (f32[N,2,1,1] y) {
        f32[3,2,3,3] w = {0.5, -0.25, 0.5, 0.25, 0.5, 0.5, -0.25, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25, 0.5, -0.25, 0.5, 0.5, 0.25,
            0.25, 0.5, -0.25, 0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.25, -0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 0.25, 0.5,
            0.5, 0.5, 0.25, -0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 0.5, -0.25, 0.5, 0.25, 0.5, 0.5}
        f32[2,3,1,1] v = {1.0, -0.5, 0.75, 0.25, 0.5, 1.0}
        a = Conv(x, w)
        b = Relu(a)
        y = Conv(b, v)
    }";
    let image: Vec<f32> = (0..18).map(|i| (i as f32 * 0.9).sin() + 0.5).collect();
    let image = Feed::new(vec![("x".into(), Tensor::from_f32(vec![1, 2, 3, 3], &image))]);
    for (text, feed) in [(mlp, feed(&[1.0, -0.5, 2.0])), (conv, image)] {
        for rule in [RelevanceRule::Epsilon, RelevanceRule::Positive] {
            let (score, groups) = traced(text, &feed, rule);
            assert!(score.abs() > 0.1);
            close(&groups, &vec![score; groups.len()], 1e-4);
        }
    }
}

#[test]
fn the_same_numbers_twice_and_others_with_another_seed() {
    let wants = BTreeSet::from([Want::Taylor, Want::Fisher, Want::Hessian, Want::Snip, Want::Grasp, Want::Synflow]);
    let (analysis, samples) = (analysis(DEAD), spread(5));
    let group = analysis.groups.free().next().unwrap();
    let of = |want, seed| {
        let found = Gradients::measure(&analysis, &wants, Some(&samples), seed, Device::Cpu, &|| ()).unwrap();
        found.of(want, group).unwrap().iter().map(|n| n.to_bits()).collect::<Vec<u64>>()
    };
    wants.iter().for_each(|&want| assert_eq!(of(want, 1), of(want, 1), "{want:?}"));
    assert_ne!(of(Want::Taylor, 1), of(Want::Taylor, 2));
}

#[test]
fn models_of_one_sample_at_a_time() {
    let fixed = DEAD.replace("f32[N,", "f32[1,");
    let samples = spread(8);
    assert_eq!(measured(&fixed, Want::Taylor, Some(&samples)), measured(DEAD, Want::Taylor, Some(&samples)));
}

#[test]
fn what_can_not_be_measured_is_told() {
    let fails = |text: &str, samples: &dyn Samples| {
        let found =
            Gradients::measure(&analysis(text), &BTreeSet::from([Want::Taylor]), Some(samples), 0, Device::Cpu, &|| ());
        found.expect_err("no gradients").to_string()
    };
    let odd = DEAD.replace("a = Relu(h)", "a = Wobble(h)");
    let told = fails(&odd, &spread(1));
    assert!(told.starts_with("Wobble ") && told.contains("can't be differentiated"), "{told}");
    assert_eq!(fails(DEAD, &Vec::<Feed>::new()), "there are no samples to differentiate on");
    let labelled = |label: i64| Known(vec![(feed(&[1.0, 2.0]), Some(Tensor::from_i64(vec![1], &[label])))]);
    assert_eq!(fails(DEAD, &labelled(3)), "the label 3 is not one of the 3 classes, 0 to 2");
    assert!(fails(LINEAR, &labelled(1)).starts_with("labels of the shape [1] do not go with"));
}
