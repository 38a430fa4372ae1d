use super::*;
use crate::ir::{self, Model};
use crate::plan::{Budget, Options};
use crate::score::Criterion;
use std::panic::catch_unwind;

fn model(text: &str) -> Model {
    ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn relu(scale: &str) -> Model {
    model(&format!("g (f32[2,3] x) => (f32[2,3] y) {{ f32[3] w = {{{scale}}}  h = Mul(x, w)  y = Relu(h) }}"))
}

/// What an assertion says when it fails.
fn words(failing: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let words = catch_unwind(failing).expect_err("the assertion fails");
    words.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_graph_without_what_changes_with_versions() {
    let mut net = relu("1.0, 2.0, 3.0");
    net.metadata = vec![("secateur.version".into(), "9.9.9".into()), ("author".into(), "me".into())];
    crate::assert_graph_snapshot!(net, @r#"
    <ir_version: 8, opset_import: ["" : 17], metadata_props: ["author" : "me"]>
    g (f32[2,3] x) => (f32[2,3] y) {
      f32[3] w = {1.0, 2.0, 3.0}
      h = Mul(x, w)
      y = Relu(h)
    }
    "#);
}

#[test]
fn fixtures_are_cut_as_they_were() {
    let options = Options::new(Budget::ratio(0.5), Criterion::named("l2").unwrap());
    crate::prune_snapshot!("fixtures/digits_mlp.onnx", options);
    let options = Options::new(Budget::ratio(0.25), Criterion::named("l1").unwrap());
    crate::prune_snapshot!("fixtures/odd/[cf][op]*.onnx", options);
}

#[test]
fn a_pattern_that_finds_nothing_is_an_error() {
    let options = || Options::new(Budget::ratio(0.5), Criterion::named("l2").unwrap());
    let root = env!("CARGO_MANIFEST_DIR");
    let error = pruned(root, "fixtures/*.nothing", options()).unwrap_err().to_string();
    assert!(error.starts_with("the pattern \"fixtures/*.nothing\" finds no file in "), "{error}");
    let error = pruned(root, "fixtures/odd/not_onnx.onnx", options()).unwrap_err().to_string();
    assert!(error.starts_with("fixtures__odd__not_onnx.onnx: "), "{error}");
    assert!(pruned(root, "***", options()).is_err());
}

#[test]
fn every_snapshot_is_looked_at() {
    let texts = ["a", "b", "c"].map(|n| (n.to_owned(), n.to_uppercase()));
    let said = words(|| each(&texts, |_, text| assert_eq!(text, "B")));
    assert_eq!(said, "2 of 3 models are not as they were: a, c");
}

#[cfg(feature = "tract")]
#[test]
fn a_difference_is_told_with_its_place() {
    assert_equivalent(&relu("1.0, 2.0, 3.0"), &relu("1.0, 2.0, 3.0"), 0.0);
    // A difference below the tolerance is none.
    assert_equivalent(&relu("1.0, 2.0, 3.0"), &relu("1.0, 2.00001, 3.0"), 1e-4);
    let found = mismatch(&relu("1.0, 2.0, 3.0"), &relu("1.0, -2.0, 3.0"), 1e-4).unwrap().expect("they differ");
    assert_eq!((found.output.as_str(), found.at.len(), found.at[1]), ("y", 2, 1));
    assert!(found.off.0 >= 1 && found.off.0 <= 2 && found.off.1 == 6, "{found}");
    let said = words(|| assert_equivalent(&relu("1.0, 2.0, 3.0"), &relu("1.0, -2.0, 3.0"), 1e-4));
    assert!(said.starts_with("the models differ by more than 1e-4: `y`["), "{said}");
}

#[cfg(feature = "tract")]
#[test]
fn other_outputs_can_not_be_compared() {
    let one = model("g (f32[3] x) => (f32[3] y) { y = Relu(x) }");
    for other in [
        "g (f32[3] x) => (f32[3] z) { z = Relu(x) }",
        "g (f32[3] x) => (f32[3] y, f32[3] z) { y = Relu(x)  z = Exp(x) }",
        "g (f32[3] x) => (f32[3,1] y) { i64[2] t = {3, 1}  y = Reshape(x, t) }",
    ] {
        let said = words(|| assert_equivalent(&one, &model(other), 1e-3));
        assert!(said.starts_with("the models can't be compared: "), "{said}");
    }
}

#[cfg(feature = "tract")]
#[test]
fn what_is_not_finite_must_be_so_in_both() {
    let divided = |by: &str| model(&format!("g (f32[2] x) => (f32[2] y) {{ f32[2] d = {{{by}}}  y = Div(x, d) }}"));
    assert_equivalent(&divided("0.0, 1.0"), &divided("0.0, 1.0"), 1e-6);
    let found = mismatch(&divided("1.0, 1.0"), &divided("0.0, 1.0"), 1e-3).unwrap().unwrap();
    assert_eq!((found.at, found.relative), (vec![0], f64::INFINITY));
}
