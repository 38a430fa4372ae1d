//! Hand-worked numbers.

use super::sparsegpt::prune;
use super::*;
use crate::ir;
use faer::Mat;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn matrix(rows: &[&[f64]]) -> Mat<f64> {
    Mat::from_fn(rows.len(), rows[0].len(), |r, k| rows[r][k])
}

fn share(share: f64) -> Pattern {
    Pattern::Share(share, Scope::Layer)
}

/// The first of two inputs goes, and the second, which is the same but for a little noise, takes it over.
#[test]
fn what_stays_makes_up_for_what_goes() {
    let gram = matrix(&[&[1.0, 0.999], &[0.999, 1.0]]);
    let mut w = matrix(&[&[1.0, 2.0]]);
    prune(&mut w, &gram, share(0.5));
    // w₂ + w₁ · h₁₂ / (h₂₂ + λ) with λ of 0.01: 2 + 0.999 / 1.01.
    assert_eq!(w[(0, 0)], 0.0);
    assert!((w[(0, 1)] - (2.0 + 0.999 / 1.01)).abs() < 1e-9, "{w:?}");
}

#[test]
fn without_correlation_nothing_moves() {
    let gram = matrix(&[&[4.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
    let mut w = matrix(&[&[1.0, -1.5, 3.0], &[0.1, 5.0, 4.0]]);
    // Costs 4, 2.25, 9 and 0.04, 25, 16, up to the damping: two of six go.
    prune(&mut w, &gram, share(0.34));
    let expected = matrix(&[&[1.0, 0.0, 3.0], &[0.0, 5.0, 4.0]]);
    assert!((0..2).all(|r| (0..3).all(|k| (w[(r, k)] - expected[(r, k)]).abs() < 1e-12)), "{w:?}");
}

#[test]
fn blocks_hand_on_what_they_owe() {
    // 200 inputs in pairs of equals, the second half a block further: what goes is taken over by its twin.
    let n = 200;
    let gram = Mat::from_fn(n, n, |i, j| if i % 100 == j % 100 { 1.0 } else { 0.0 });
    let mut w = Mat::from_fn(1, n, |_, k| if k < 100 { 0.1 } else { 1.0 });
    prune(&mut w, &gram, share(0.5));
    let zeros = (0..n).filter(|&k| w[(0, k)] == 0.0).count();
    assert_eq!(zeros, 100);
    // The damping keeps a little back.
    assert!((128..n).filter(|&k| w[(0, k)] != 0.0).any(|k| (w[(0, k)] - 1.099).abs() < 2e-3), "{w:?}");
}

#[test]
fn two_of_four_in_every_row() {
    let gram = Mat::from_fn(8, 8, |i, j| if i == j { 1.0 } else { 0.3 });
    let mut w = Mat::from_fn(3, 8, |r, k| 1.0 + ((r * 5 + k * 3) % 7) as f64);
    prune(&mut w, &gram, Pattern::Of { n: 2, m: 4 });
    for r in 0..3 {
        for from in [0, 4] {
            assert_eq!((from..from + 4).filter(|&k| w[(r, k)] == 0.0).count(), 2, "{w:?}");
        }
    }
}

/// The better the method, the smaller `Σ (Δw)ᵀ H Δw`.
#[test]
fn refitting_leaves_less_error() {
    let gram = Mat::from_fn(16, 16, |i, j| 0.8f64.powi(i.abs_diff(j) as i32));
    let mut lots = ChaCha8Rng::seed_from_u64(1);
    let before = Mat::from_fn(6, 16, |_, _| f64::from(lots.next_u32()) / f64::from(u32::MAX) - 0.5);
    let error = |w: &Mat<f64>| {
        let d = w - &before;
        let product = &d * &gram * d.transpose();
        (0..6).map(|i| product[(i, i)]).sum::<f64>()
    };
    let mut refitted = before.clone();
    prune(&mut refitted, &gram, share(0.5));
    let mut plain = before.clone();
    let mut order: Vec<(usize, usize)> = (0..6).flat_map(|r| (0..16).map(move |k| (r, k))).collect();
    order.sort_by(|&a, &b| before[a].abs().total_cmp(&before[b].abs()));
    order[..48].iter().for_each(|&at| plain[at] = 0.0);
    assert!(error(&refitted) < 0.6 * error(&plain), "{} {}", error(&refitted), error(&plain));
}

/// A net of two matrices, of which the second has the smaller weights.
const NET: &str = "g (f32[N,2] x) => (f32[N,2] y) {
    f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
    f32[2,2] v = {0.1, 0.2, 0.3, 5.0}
    a = MatMul(x, w)
    y = MatMul(a, v)
}";

fn zeros(pattern: Pattern) -> Vec<(String, usize)> {
    let mut model = ir::parse(NET, &|_| None).expect("a model");
    let thinned = thin(&mut model, &Options { pattern, method: Method::Magnitude }, None).expect("zeros");
    thinned.into_iter().map(|t| (t.tensor, t.zeros)).collect()
}

#[test]
fn one_line_through_all_scores() {
    assert_eq!(zeros(share(0.5)), [("w".into(), 2), ("v".into(), 2)]);
    assert_eq!(zeros(Pattern::Share(0.5, Scope::Global)), [("w".into(), 1), ("v".into(), 3)]);
    assert_eq!(zeros(Pattern::Share(0.0, Scope::Global)), []);
}

#[test]
fn options_print_as_passes() {
    let options = Options { pattern: Pattern::parse_ratio("2:4").expect("a ratio"), method: Method::Wanda };
    assert_eq!(options.to_string(), "nm{n=2 m=4 method=wanda}");
    let options = Options { pattern: Pattern::Share(0.5, Scope::Global), method: Method::SparseGpt };
    let text = options.to_string();
    assert_eq!(text, "sparsify{ratio=0.5 scope=global method=sparsegpt}");
    assert_eq!(crate::pruning::registry().parse(&text).expect("a pipeline").to_string(), text);
    assert!(Pattern::parse_ratio("4:2").is_err() && Pattern::parse_ratio("0:4").is_err());
}
