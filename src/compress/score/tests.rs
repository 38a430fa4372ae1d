//! What the criteria say of a net whose scores can be worked out by hand.

use super::*;
use crate::contraction::Contraction;
use crate::ir;
use crate::oracle::Setup;
use crate::stats::{Half, Stats};
use faer::Mat;

/// Three units: the columns of `w`, and what reads them.
const NET: &str = "g (f32[N,2] x) => (f32[N,2] y) {
    f32[2,3] w = {0.0, 3.0, 0.0, 0.0, 4.0, 0.0}
    f32[3] gamma = {1.0, -3.0, 2.0}
    f32[3] beta = {9.0, 0.0, 0.0}
    f32[3] mean = {0.0, 0.0, 9.0}
    f32[3] var = {1.0, 1.0, 1.0}
    f32[3,2] v = {1.0, 1.0, -5.0, 5.0, 1.0, 0.0}
    h = MatMul(x, w)
    n = BatchNormalization(h, gamma, beta, mean, var)
    a = Relu(n)
    y = MatMul(a, v)
}";

fn analysis(text: &str) -> Analysis {
    Analysis::new(ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}")))
}

/// Scores of the first free group, with these rows as what the last contraction reads.
fn scores(text: &str, formula: &str, rows: &[[f64; 3]]) -> Vec<f64> {
    let analysis = analysis(text);
    let group = analysis.groups.free().next().expect("a group is free");
    let contractions = Contraction::all(&analysis);
    let mut stats = Stats::default();
    if let Some(last) = contractions.last().filter(|_| !rows.is_empty()) {
        stats.add(last, &Mat::from_fn(rows.len(), 3, |t, k| rows[t][k] as f32), Half::First);
    }
    let measured = Measured { contractions, stats, few: vec![] };
    let setup = Setup::default();
    let context = Context { measured: Some(&measured), ..Context::new(&analysis, &setup) };
    let formula: Formula = formula.parse().expect("a formula");
    formula.score(&context, group).expect("scores").into_iter().map(|s| (s * 1e6).round() / 1e6).collect()
}

#[test]
fn a_batch_normalization_scales_units_whatever_it_adds() {
    assert_eq!(scores(NET, "bn-scale", &[]), [0.5, 1.5, 1.0]);
    // Without one, norms: the second unit has 5 and √50, of which the kernels' share counts.
    let bare = NET.replace("n = BatchNormalization(h, gamma, beta, mean, var)", "n = Relu(h)");
    assert_eq!(scores(&bare, "bn-scale", &[]), scores(&bare, "l2", &[]));
}

#[test]
fn what_lies_in_the_middle_goes_first_under_fpgm() {
    let twice = "g (f32[N,2] x) => (f32[N,2] y) {
        f32[2,3] w = {0.0, 3.0, 0.0, 0.0, 4.0, 0.0}
        f32[3,2] v = {1.0, 1.0, 4.0, 5.0, 1.0, 1.0}
        a = MatMul(x, w)
        y = MatMul(a, v)
    }";
    // Distances 5, 10, 5 in both weights.
    assert_eq!(scores(twice, "fpgm", &[]), [0.75, 1.5, 0.75]);
}

#[test]
fn samples_tell_what_weights_do_not() {
    let rows = [[1.0, 0.0, 2.0], [3.0, 0.0, 2.0]];
    // Variances 1, 0, 0.
    assert_eq!(scores(NET, "wifv", &rows), [3.0, 0.0, 0.0]);
    let rows = [[1.0, -1.0, 2.0], [1.0, -1.0, 2.0]];
    assert_eq!(scores(NET, "activation", &rows), [0.75, 0.75, 1.5]);
    assert_eq!(scores(NET, "apoz", &rows), [1.5, 0.0, 1.5]);
    // 2·1, 10·1 and 1·2.
    assert_eq!(scores(NET, "wanda", &rows), [3.0 / 7.0, 15.0 / 7.0, 3.0 / 7.0].map(|x: f64| (x * 1e6).round() / 1e6));
}

#[test]
fn without_a_measured_reader_norms_do() {
    for name in ["activation", "apoz", "wanda", "wifv"] {
        assert_eq!(scores(NET, name, &[]), scores(NET, "l2", &[]), "{name}");
    }
}

#[test]
fn means_of_two_criteria() {
    let rows = [[1.0, -1.0, 2.0], [1.0, -1.0, 2.0]];
    // (0.75, 0.75, 1.5) and (1.5, 0, 1.5).
    assert_eq!(scores(NET, "activation+apoz", &rows), [1.125, 0.375, 1.5]);
    let geometric = scores(NET, "activation * apoz", &rows);
    assert_eq!(geometric[1], 0.0);
    assert!((geometric[2] / geometric[0] - 2f64.sqrt()).abs() < 1e-5, "{geometric:?}");
}

#[test]
fn formulas_print_as_they_are_read() {
    let text = |t: &str| t.parse::<Formula>().map(|f| f.to_string()).map_err(|e| e.to_string());
    assert_eq!(text("obs*wanda + l2").unwrap(), "obs*wanda+l2");
    assert_eq!(text("bn-scale").unwrap(), "bn-scale");
    assert!(text("obs*").unwrap_err().starts_with("no criterion is called ``"));
    assert!("l2+wanda".parse::<Formula>().unwrap().needs_data());
    assert!(!"l2*l1".parse::<Formula>().unwrap().needs_data());
}
