//! Weights that calls make of constants: what is written comes back, and such models are repaired like plain ones.

use super::{Repairs, repair, store, unrepaired};
use crate::analysis::Analysis;
use crate::apply;
use crate::axes::KeepSets;
use crate::contraction::Obstacle;
use crate::cost::OpenDims;
use crate::feed::Feed;
use crate::ir::{self, DType, Model, Tensor, Use};
use crate::oracle::Setup;
use crate::stats::{Measured, Probe, RunOptions};

/// Made-up numbers; the shape is told by the hash.
fn numbers(hash: u64) -> Option<Tensor> {
    let shape = match hash {
        1 => vec![6, 24],
        3 => vec![5, 24],
        _ => vec![24, 5],
    };
    let at = |i: usize| ((i * 37 + i * i * 11 + 5) % 101) as f32 / 50.0 - 1.0;
    if hash >= 4 {
        // The same in integers, signed ones and others.
        let numbers: Vec<f64> =
            (0..120).map(|i| (f64::from(at(i)) * 127.0).round() + if hash == 4 { 0.0 } else { 128.0 }).collect();
        return Tensor::from_f64(if hash == 4 { DType::I8 } else { DType::U8 }, shape, &numbers);
    }
    Some(Tensor::from_f32(shape.clone(), &(0..shape.iter().product()).map(at).collect::<Vec<_>>()))
}

fn parsed(text: &str) -> Model {
    ir::parse(text, &numbers).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A product with a weight of six numbers, 2×3, that is made so.
fn product(weight: &str) -> (Model, Use) {
    let head = "<ir_version: 10, opset_import: [\"\" : 21]>";
    let text = format!("{head} g (f32[n,2] x) => (f32[n,3] y) {{\n{weight}\ny = MatMul(x, w)\n}}");
    let model = parsed(&text);
    let node = *model.graph.topological().iter().rfind(|n| model.graph.call(**n).is_some()).unwrap();
    (model, Use { node, slot: 1 })
}

/// What is read after these numbers were written, and the types of all constants.
fn written(weight: &str, wanted: [f64; 6]) -> Result<Vec<f64>, Obstacle> {
    let (mut model, at) = product(weight);
    let types =
        |m: &Model| m.graph.constants().iter().map(|&n| m.graph.constant(n).unwrap().tensor.byte_len()).sum::<usize>();
    let bytes = types(&model);
    let told = store::write(&mut model, at, &wanted)?;
    let read = store::present(&model, at).unwrap().to_f64().unwrap();
    let apart = told.iter().zip(&read).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-5, "{weight}: told {told:?}, read {read:?}");
    assert_eq!(types(&model), bytes, "{weight}: no constant grows");
    Ok(read)
}

const WANTED: [f64; 6] = [1.5, -2.0, 0.25, 3.0, 0.5, -0.75];

#[test]
fn what_moves_scales_and_converts_is_undone() {
    for weight in [
        "f32[3,2] q = {1, 2, 3, 4, 5, 6}\nw = Transpose<perm=[1,0]>(q)",
        "f32[6] q = {1, 2, 3, 4, 5, 6}\ni64[2] s = {2, 3}\nw = Reshape(q, s)",
        "f32[2,3] q = {1, 2, 3, 4, 5, 6}\nf32 s = {0.5}\nw = Mul(q, s)",
        "f32[2,3] q = {1, 2, 3, 4, 5, 6}\nf32[3] s = {0.5, -4, 3}\nw = Div(q, s)",
        "f16[2,3] q = {1, 2, 3, 4, 5, 6}\nw = Cast<to=1>(q)",
        // An update that was added to a weight.
        "f32[2,3] q = {1, 2, 3, 4, 5, 6}\nf32[2,1] b = {1, 2}\nf32[1,3] a = {2, 0, 1}\nu = MatMul(b, a)\nw = Add(q, u)",
        // A chain, with a part of a longer constant.
        "f32[4,2] q = {1, 2, 3, 4, 5, 6, 7, 8}\ni64[1] f = {1}\ni64[1] e = {4}\ni64[1] a = {0}\n\
         p = Slice(q, f, e, a)\nt = Transpose<perm=[1,0]>(p)\nw = Neg(t)",
    ] {
        let read = written(weight, WANTED).unwrap_or_else(|e| panic!("{weight}: {e}"));
        let apart = read.iter().zip(WANTED).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-3, "{weight}: {read:?}");
    }
}

#[test]
fn integers_are_scaled_anew_and_rounded() {
    let scales = "f32[3] s = {0.01, 0.02, 0.005}\nc = Cast<to=1>(q)\nw = Mul(c, s)";
    let zero = "f32 s = {0.01}\nu8 z = {100}\nw = DequantizeLinear(q, s, z)";
    for weight in
        [format!("i8[2,3] q = {{1, 0, 3, 4, 5, 6}}\n{scales}"), format!("u8[2,3] q = {{1, 100, 3, 4, 5, 6}}\n{zero}")]
    {
        // These numbers are far beyond what the old scales can say.
        let read = written(&weight, WANTED).unwrap_or_else(|e| panic!("{weight}: {e}"));
        let apart = read.iter().zip(WANTED).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 0.02, "{weight}: {read:?}");
    }
}

#[test]
fn what_can_not_be_undone_is_left_alone() {
    for (weight, why) in [
        ("f32[2,3] q = {1, 2, 3, 4, 5, 6}\nw = Relu(q)", Obstacle::Expression),
        ("f32[1,3] q = {1, 2, 3}\ni64[2] s = {2, 3}\nw = Expand(q, s)", Obstacle::Expression),
        (
            "f32[2,3] q = {1, 2, 3, 4, 5, 6}\nt = Transpose<perm=[1,0]>(q)\nw = Transpose<perm=[1,0]>(t)\nv = MatMul(w, t)",
            Obstacle::Shared,
        ),
        (
            "i64[1] n = {6}\nz = ConstantOfShape(n)\ni64[2] i = {1, 4}\nf32[2] u = {1, 2}\n\
             d = ScatterElements(z, i, u)\ni64[2] s = {2, 3}\nw = Reshape(d, s)",
            Obstacle::Sparse,
        ),
    ] {
        let (mut model, at) = product(weight);
        let before = ir::print(&model);
        let found = store::write(&mut model, at, &[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0]);
        // Numbers that are all positive look as if they were only moved; what is written tells.
        assert_eq!(found.err(), Some(why), "{weight}");
        assert_eq!(ir::print(&model), before, "{weight}");
    }
}

fn feeds(first: usize) -> Vec<Feed> {
    let feed = |seed: usize| {
        let number = |i: usize| ((i * 7919 + seed * 104_729 + i * i * 31) % 2003) as f32 / 1000.0 - 1.0;
        Feed::new(vec![("x".to_owned(), Tensor::from_f32(vec![40, 6], &(0..240).map(number).collect::<Vec<_>>()))])
    };
    (first..first + 6).map(feed).collect()
}

fn ran(model: &Model) -> Vec<f64> {
    let result = model.graph.values_by_name()["y"];
    let mut probe = Probe::new(&Setup::default(), model, &[result]).unwrap();
    feeds(50).iter().flat_map(|f| probe.run(f).unwrap()[&result].to_f64().unwrap()).collect()
}

/// How far two layers are from what they were after eight of 24 units went, before and after the repair; and what was
/// left.
fn repaired(second: &str) -> (f64, f64, Repairs, Vec<String>) {
    let text = format!(
        "<ir_version: 10, opset_import: [\"\" : 21]> g (f32[n,6] x) => (f32[n,5] y) {{
            f32[6,24] v #1
            a = MatMul(x, v)
            r = Relu(a)
            {second}
        }}"
    );
    let analysis = Analysis::new(parsed(&text));
    let mut keep = KeepSets::default();
    let units = analysis.groups.free().find(|g| g.size == 24).unwrap();
    keep.keep(units.leaf, (0..16).collect());
    let mut model = apply::apply(&analysis, &keep).unwrap().model;
    let whole = ran(&analysis.model);
    let off = |model: &Model| {
        let square = |f: &dyn Fn(usize) -> f64| (0..whole.len()).map(|i| f(i) * f(i)).sum::<f64>().sqrt();
        let now = ran(model);
        square(&|i| now[i] - whole[i]) / square(&|i| whole[i])
    };
    let before = off(&model);
    let execution = RunOptions::default();
    let measured = Measured::new(&analysis, &feeds(1), &execution, &|| ()).unwrap();
    let repairs = repair(&analysis, &keep, &measured.stats, &feeds(1), &execution, &mut model, &|| ()).unwrap();
    let left = unrepaired(&analysis, &keep, &repairs, &OpenDims::default());
    let left = left.into_iter().map(|u| format!("{} {}: {}", u.node, u.macs, u.why)).collect();
    (before, off(&model), repairs, left)
}

#[test]
fn computed_weights_are_repaired_like_plain_ones() {
    let (_, plain, ..) = repaired("f32[24,5] w #2\ny = MatMul(r, w)");
    let integers = "i8[24,5] q #4\nf32[5] s = {0.0079, 0.0079, 0.0079, 0.0079, 0.0079}";
    for (second, times) in [
        ("f32[5,24] t #3\nw = Transpose<perm=[1,0]>(t)\ny = MatMul(r, w)".to_owned(), 2.0),
        ("f32[24,5] t #2\nf32 s = {0.5}\nw = Mul(t, s)\ny = MatMul(r, w)".to_owned(), 1.1),
        (format!("{integers}\nw = DequantizeLinear<axis=1>(q, s)\ny = MatMul(r, w)"), 1.2),
        (format!("{integers}\nc = Cast<to=1>(q)\nw = Mul(c, s)\ny = MatMul(r, w)"), 1.2),
    ] {
        let (before, after, repairs, left) = repaired(&second);
        assert!(after < times * plain && after < 0.6 * before, "{second}: {before} {after}, plain {plain}");
        assert!(repairs.done.len() == 1 && left.is_empty(), "{second}: {left:?}");
    }
}

#[test]
fn what_is_not_repaired_is_named_with_the_reason() {
    let told = |second: &str| repaired(second).3;
    let shared = "f32[5,24] t #3\nw = Transpose<perm=[1,0]>(t)\na1 = MatMul(r, w)\nr2 = Neg(r)\na2 = MatMul(r2, w)\ny = Add(a1, a2)";
    let integers = "f32 s = {0.01}\nu8 z = {0}\nq = QuantizeLinear(r, s, z)\nu8[24,5] w #5\ni = MatMulInteger(q, w, z)\ny = Cast<to=1>(i)";
    insta::assert_snapshot!([told(shared), told(integers)].concat().join("\n"), @r"
    a1 7680: other calls read its weight too
    a2 7680: other calls read its weight too
    i 7680: it computes in integers
    ");
}
