//! What tract would get wrong, and doesn't in the operators that are written in its place.

use super::{OracleError, Runner};
use crate::feed::Feed;
use crate::ir::{Tensor, parse};
use crate::save::to_bytes;

/// The first output of a model in text form, for one input `x` of floats.
fn output(text: &str, shape: &[usize], x: &[f32]) -> Result<Vec<f64>, OracleError> {
    let model = parse(text, &|_| None).unwrap();
    let feed = Feed::new(vec![("x".into(), Tensor::from_f32(shape.to_vec(), x))]);
    let outputs = Runner::new(&to_bytes(&model).unwrap(), None, &feed.signature())?.run(&feed)?;
    Ok(outputs[0].1.to_f64().unwrap())
}

fn near(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} is not {expected:?}");
}

#[test]
fn celu_and_swish_have_their_factor() {
    let of = |call: &str| output(&format!("g (f32[2] x) => (f32[2] y) {{ y = {call}(x) }}"), &[2], &[-2., 3.]).unwrap();
    near(&of("Celu<alpha=2.0>"), &[2. * ((-1f64).exp() - 1.), 3.]);
    near(&of("Swish<alpha=0.5>"), &[-2. / (1. + 1f64.exp()), 3. / (1. + (-1.5f64).exp())]);
}

#[test]
fn a_small_dividend_stays_the_dividend() {
    let text = "g (f32[1] x) => (f32[3] y) { f32[3] m = {2.0, 3.0, 5.0}  y = Mod<fmod=1>(x, m) }";
    near(&output(text, &[1], &[7.]).unwrap(), &[1., 1., 2.]);
}

#[test]
fn a_value_that_pad_does_not_fill_in_is_ignored() {
    let pad = |mode: &str| {
        let constants = "i64[2] by = {1, 1}  f32 fill = {9.0}";
        let text = format!("g (f32[3] x) => (f32[5] y) {{ {constants}  y = Pad<mode={mode:?}>(x, by, fill) }}");
        output(&text, &[3], &[1., 2., 3.]).unwrap()
    };
    near(&pad("constant"), &[9., 1., 2., 3., 9.]);
    near(&pad("edge"), &[1., 1., 2., 3., 3.]);
    near(&pad("reflect"), &[2., 1., 2., 3., 2.]);
}

/// A recurrence of one unit that halves its state and adds the input, as far as tanh is the identity.
fn recurrence(attributes: &str, outputs: &str) -> Result<Vec<f64>, OracleError> {
    let text = format!(
        "g (f32[3,1,1] x) => (f32[..] {outputs}) {{
            f32[1,1,1] w = {{1.0}}  f32[1,1,1] r = {{0.5}}
            y, h = RNN<hidden_size=1{attributes}>(x, w, r)
        }}"
    );
    output(&text, &[3, 1, 1], &[1e-3, 2e-3, 4e-3]).map(|y| y.iter().map(|v| v * 1e3).collect())
}

#[test]
fn a_recurrence_goes_in_its_direction() {
    near(&recurrence("", "y").unwrap(), &[1., 2.5, 5.25]);
    near(&recurrence(", direction=\"reverse\"", "y").unwrap(), &[3., 4., 4.]);
    near(&recurrence(", direction=\"reverse\"", "h").unwrap(), &[3.]);
}

/// Not right, and known: if this changes, ARCHITECTURE.md need not say it any more.
#[test]
fn the_maximum_of_infinities_is_finite() {
    let inf = -f32::INFINITY;
    let text = "g (f32[2,2] x) => (f32[..] y) { y = ReduceMax<axes=[1], keepdims=0>(x) }";
    assert_eq!(output(text, &[2, 2], &[inf, inf, 1., 2.]).unwrap(), [f64::from(f32::MIN), 2.]);
}

#[test]
fn what_tract_ignores_is_refused() {
    let text = "g (f32[0,2] x) => (f32[..] y) { y = ReduceMax<axes=[0]>(x) }";
    assert!(output(text, &[0, 2], &[]).unwrap_err().to_string().ends_with("tract has no extremes of no elements"));
    let why = |r: Result<Vec<f64>, OracleError>| r.unwrap_err().to_string();
    let message = why(recurrence(", activations=[\"Relu\"]", "y"));
    assert_eq!(message, "tract can't run RNN \"y\": tract has no other activations");
    assert!(why(recurrence(", clip=1.0", "y")).ends_with("tract does not clip"));
    let text = "g (f32[1,1,2,2] x) => (f32[..] y) { y = SpaceToDepth<blocksize=2, mode=\"CRD\">(x) }";
    assert!(why(output(text, &[1, 1, 2, 2], &[1.; 4])).ends_with("tract has no mode CRD"));
    let heads = "com.microsoft.MultiHeadAttention<num_heads=1, unidirectional=1>(x, x, x)";
    let text = format!("<opset_import: [\"com.microsoft\" : 1]> g (f32[1,2,2] x) => (f32[..] y) {{ y = {heads} }}");
    assert!(why(output(&text, &[1, 2, 2], &[1.; 4])).ends_with("tract looks ahead, too"));
}

#[test]
fn an_operand_that_is_listed_and_left_out_is_none() {
    let text = "g (f32[1,1,3] x) => (f32[1,1,2] y) {
        f32[1,1,2] w = {1.0, 2.0}
        y = Conv<kernel_shape=[2]>(x, w, _)
    }";
    near(&output(text, &[1, 1, 3], &[1., 2., 3.]).unwrap(), &[5., 8.]);
}

#[test]
fn features_are_scaled_imputed_and_compared() {
    let of = |call: &str, x: &[f32]| {
        let opsets = "<ir_version: 8, opset_import: [\"\" : 17, \"ai.onnx.ml\" : 1]>";
        let n = x.len();
        let text = format!("{opsets} g (f32[1,{n}] x) => (f32[1,{n}] y) {{ y = ai.onnx.ml.{call}(x) }}");
        output(&text, &[1, n], x).unwrap()
    };
    near(&of("Scaler<offset=[1.0, 2.0], scale=[2.0, 0.5]>", &[3., 3.]), &[4., 0.5]);
    near(&of("Scaler<offset=[1.0], scale=[2.0]>", &[3., 0.]), &[4., -2.]);
    near(&of("Imputer<imputed_value_floats=[7.0, 8.0], replaced_value_float=3.0>", &[3., 1.]), &[7., 1.]);
    near(&of("Binarizer<threshold=2.0>", &[3., 2.]), &[1., 0.]);
    near(&of("Normalizer<norm=\"MAX\">", &[-4., 2.]), &[-2., 1.]);
    near(&of("Normalizer<norm=\"L1\">", &[-3., 1.]), &[-0.75, 0.25]);
    near(&of("FeatureVectorizer<inputdimensions=[2]>", &[3., 2.]), &[3., 2.]);
}

#[test]
fn a_quantized_lstm_is_written_out() {
    // Expected are the numbers of ONNX Runtime 1.31.1.
    let text = "<ir_version: 8, opset_import: [\"\" : 17, \"com.microsoft\" : 1]>
        g (f32[3,1,2] x) => (f32[3,2,1,2] y) {
            i8[2,2,8] w = {-24, -21, -18, -15, -12, -9, -6, -3, 0, 3, 6, 9, 12, 15, 18, 21,
                           0, 3, 6, 9, 12, 15, 18, 21, -24, -21, -18, -15, -12, -9, -6, -3}
            i8[2,2,8] r = {-18, -4, 10, -14, 0, 14, -10, 4, 18, -6, 8, -16, -2, 12, -12, 2,
                           18, 4, -10, 14, 0, -14, 10, -4, -18, 6, -8, 16, 2, -12, 12, -2}
            f32[2,16] b = {-0.5, -0.433333, -0.366667, -0.3, -0.233333, -0.166667, -0.1, -0.033333,
                           0.033333, 0.1, 0.166667, 0.233333, 0.3, 0.366667, 0.433333, 0.5,
                           -0.5, -0.433333, -0.366667, -0.3, -0.233333, -0.166667, -0.1, -0.033333,
                           0.033333, 0.1, 0.166667, 0.233333, 0.3, 0.366667, 0.433333, 0.5}
            f32[2] ws = {0.02, 0.03}
            f32[2] rs = {0.05, 0.04}
            i8[2] wz = {0, 1}
            i8[2] rz = {0, 2}
            y = com.microsoft.DynamicQuantizeLSTM<hidden_size=2, direction=\"bidirectional\">(x, w, r, b, _, _, _, _, ws, wz, rs, rz)
        }";
    let expected = [
        -0.0107787, 0.0023694, 0.2867588, 0.3666359, 0.0147711, 0.0491511, 0.1058549, 0.1758362, 0.1433478, 0.2041639,
        -0.0163379, -0.0050754,
    ];
    near(&output(text, &[3, 1, 2], &[0.5, -1.0, 1.5, 0.25, -0.75, 0.5]).unwrap(), &expected);
}

#[test]
fn each_if_takes_its_own_branch() {
    let branch = |x: &str, k: usize| {
        format!(
            "If<then_branch = t{k} () => (a{k}) {{ a{k} = Relu({x}) }}, else_branch = e{k} () => (b{k}) {{ b{k} = Neg({x}) }}>(c)"
        )
    };
    let text = format!(
        "g (f32[2] x) => (f32[2] y) {{
            f32 zero = {{0.0}}
            s = ReduceSum<keepdims=0>(x)
            c = Greater(s, zero)
            z = {}
            y = {}
        }}",
        branch("x", 1),
        branch("z", 2)
    );
    near(&output(&text, &[2], &[-1., 3.]).unwrap(), &[0., 3.]);
    near(&output(&text, &[2], &[-3., 1.]).unwrap(), &[-3., 1.]);
}

#[test]
fn branches_of_other_ranks_run_where_shapes_decide() {
    let text = "g (f32[..] x) => (f32[..] y) {
        i64 last = {-1}  i64 one = {1}  i64[1] axis = {-1}
        s = Shape(x)
        n = Gather(s, last)
        c = Equal(n, one)
        z = If<then_branch = t () => (a) { a = Squeeze(x, axis) }, else_branch = e () => (b) { b = Identity(x) }>(c)
        y = Neg(z)
    }";
    near(&output(text, &[2, 1], &[1., 2.]).unwrap(), &[-1., -2.]);
    near(&output(text, &[1, 2], &[1., 2.]).unwrap(), &[-1., -2.]);
}

#[test]
fn a_branch_that_is_taken_keeps_its_names_apart() {
    let text = "g (f32[2] x) => (f32[2] y) {
        bool c = {true}
        r = Relu(x)
        i = If<then_branch = t () => (a) { r2 = Neg(r) a = Exp(r2) }, else_branch = e () => (b) { b = Neg(r) }>(c)
        j = If<then_branch = t () => (a) { r2 = Neg(i) a = Exp(r2) }, else_branch = e () => (b) { b = Neg(i) }>(c)
        y = Add(i, j)
    }";
    let of = |x: f64| (-x).exp() + (-(-x).exp()).exp();
    near(&output(text, &[2], &[0., 1.]).unwrap(), &[of(0.), of(1.)]);
}

#[test]
fn nodes_of_one_name_are_told_apart() {
    let text = "g (f32[2] x) => (f32[2] y) { [same] a = Neg(x)  [x] b = Relu(a)  [same] y = Neg(b) }";
    near(&output(text, &[2], &[-1., 2.]).unwrap(), &[-1., 0.]);
}

#[test]
fn indices_from_the_end_are_written_to() {
    let text = "g (f32[2,2] x) => (f32[2,2] y, f32[2,2] z) {
        i64[1,1] row = {-1}  f32[1,2] rows = {7.0, 8.0}
        i64[2,2] places = {0, -1, 1, 0}  f32[2] each = {5.0, 6.0}
        z = ScatterND(x, row, rows)
        y = ScatterND(z, places, each)
    }";
    near(&output(text, &[2, 2], &[1., 2., 3., 4.]).unwrap(), &[1., 5., 6., 8.]);
}
