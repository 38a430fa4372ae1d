//! Operators of `ai.onnx.ml`.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub(super) const CASES: &[(&str, Generator)] = &[
    ("ai.onnx.ml.ArrayFeatureExtractor", extract),
    ("ai.onnx.ml.Binarizer", binarize),
    ("ai.onnx.ml.FeatureVectorizer", join),
    ("ai.onnx.ml.Imputer", impute),
    ("ai.onnx.ml.LabelEncoder", encode),
    ("ai.onnx.ml.LinearRegressor", regress),
    ("ai.onnx.ml.Normalizer", normalize),
    ("ai.onnx.ml.OneHotEncoder", categories),
    ("ai.onnx.ml.Scaler", scale),
];

#[test]
fn laws() {
    check(CASES, 16);
}

fn extract(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 3);
    let last = x[x.len() - 1] as i64;
    Case::new(op, 1).data(d.floats(&x)).list(&d.list(2, 0, last - 1))
}

fn binarize(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 1).attribute("threshold", d.pick(&["0.25", "-0.5"])).data(d.floats(&x))
}

fn join(op: &str, d: &mut Draw) -> Case {
    let (n, a, b) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).ints("inputdimensions", &[a as i64, b as i64]);
    case.data(d.floats(&[n, a])).data(d.floats(&[n, b]))
}

fn impute(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let count = if d.flip() { x[x.len() - 1] } else { 1 };
    let case = Case::new(op, 1).ints("imputed_value_int64s", &d.list(count, 5, 9));
    case.attribute("replaced_value_int64", d.int(0, 1)).data(d.tensor(DType::I64, &x, 0.0, 2.0))
}

fn encode(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let case = Case::new(op, 2).ints("keys_int64s", &[0, 1, 2]).attribute("values_floats", "[0.5, 1.5, 2.5]");
    case.data(d.tensor(DType::I64, &x, 0.0, 3.0))
}

fn regress(op: &str, d: &mut Draw) -> Case {
    let (n, features, targets) = (d.range(2, 4), d.range(1, 4), d.range(1, 3));
    let weights = d.floats(&[features * targets]).to_f64().expect("numbers");
    let case = Case::new(op, 1).attribute("targets", targets).attribute("coefficients", format!("{weights:?}"));
    case.data(d.floats(&[n, features]))
}

fn normalize(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 2);
    Case::new(op, 1).attribute("norm", d.pick(&["\"L1\"", "\"L2\"", "\"MAX\""])).data(d.floats(&x))
}

fn categories(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 1).ints("cats_int64s", &[0, 1, 2]).data(d.tensor(DType::I64, &x, 0.0, 2.0))
}

fn scale(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let count = x[x.len() - 1];
    let zero = d.flip();
    let offset: Vec<f64> = one_or_each(d, count).into_iter().map(|o| if zero { 0.0 } else { o }).collect();
    let scale = one_or_each(d, count);
    let case = Case::new(op, 1).attribute("offset", format!("{offset:?}")).attribute("scale", format!("{scale:?}"));
    case.data(d.floats(&x))
}

/// As many numbers as there are features, or one for all.
fn one_or_each(d: &mut Draw, features: usize) -> Vec<f64> {
    let count = if d.flip() { features } else { 1 };
    d.tensor(DType::F32, &[count], -2.0, 2.0).to_f64().expect("numbers")
}
