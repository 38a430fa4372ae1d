use super::*;
use crate::ir::{DType, Dim, Node, parse};
use crate::oracle::OracleError;

const NET: &str = "g (f32[n,4] x) => (f32[n,2] y) {
    f32[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}
    y = MatMul(x, w)
}";

fn model(text: &str) -> Model {
    parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn oracle(which: Role, error: OracleError) -> VerifyError {
    VerifyError::Oracle { which, error }
}

/// Whether a result is refused or only not verified does not depend on how far the check had come.
#[test]
fn only_what_says_nothing_of_the_result_is_an_inability() {
    let run = || OracleError::Run { operator: "Conv".into(), node: "c".into(), message: "no".into() };
    let broken = || OracleError::Panic("no".into());
    for which in [Role::Original, Role::Reference, Role::First, Role::Second, Role::Alone] {
        assert!(oracle(which, run()).is_inability() && oracle(which, broken()).is_inability(), "{which}");
        assert!(!oracle(which, run()).is_of_the_result());
    }
    for error in [run(), broken(), OracleError::Prepare("no".into())] {
        let error = oracle(Role::Pruned, error);
        assert!(!error.is_inability() && error.is_of_the_result(), "{error}");
    }
    for error in [OracleError::Absent, OracleError::NoOrt, OracleError::NoLibrary("no".into()), OracleError::Threads(2)]
    {
        assert!(oracle(Role::Pruned, error).is_inability());
    }
    let sizes = |which| VerifyError::Sizes { which, error: run(), sizes: "x[0] = 2".into() };
    assert!(sizes(Role::Original).is_inability() && !sizes(Role::Pruned).is_inability());
    assert!(VerifyError::NoFeed.is_inability() && VerifyError::Input("x".into()).is_inability());
    assert!(VerifyError::Feed(FeedError::ElementType("x".into(), DType::String)).is_inability());
    // Samples that can't be read are a mistake of whoever gave them.
    assert!(!VerifyError::Feed(FeedError::Empty("x".into())).is_inability());
    let compare = VerifyError::Compare(CompareError::Missing { name: "y".into(), found: vec![] });
    assert!(!compare.is_inability() && compare.is_of_the_result());
    let save = |error| VerifyError::Save { which: Role::Pruned, error };
    assert!(save(SaveError::TooLarge { bytes: 1, external: false }).is_inability());
    assert!(!save(SaveError::NameTwice { value: "y".into() }).is_inability());
}

#[test]
#[cfg(feature = "tract")]
fn what_is_not_equal_is_not_timed() {
    let (right, wrong) = (model(NET), model(&NET.replace("7, 8", "7, 9")));
    let steps = std::cell::RefCell::new(vec![]);
    let verify = |reference, pruned: &Model, options: &Options| {
        steps.borrow_mut().clear();
        let subjects = Subjects { original: &right, reference, cut: None, pruned };
        super::verify(&subjects, options, &|done, _| steps.borrow_mut().push(done)).expect("it runs")
    };
    let found = verify(Some(&right), &wrong, &Options::default());
    assert!(!found.equal && found.latency.is_none() && found.untimed.is_none());
    assert_eq!(*steps.borrow(), [1, 2, 3]);
    let found = verify(Some(&right), &right, &Options::default());
    assert!(found.equal && found.latency.is_some());
    assert_eq!(steps.borrow().len(), 3 + 2 + 10);
    // Two models that are compared need not be equal to be timed.
    assert!(verify(None, &wrong, &Options::default()).latency.is_some());
}

#[test]
#[cfg(feature = "tract")]
fn without_time_one_turn_is_taken() {
    let right = model(NET);
    let subjects = Subjects { original: &right, reference: Some(&right), cut: None, pruned: &right };
    let options = Options { time_budget: Duration::ZERO, repeats: 1_000_000, ..Options::default() };
    let latency = verify(&subjects, &options, &|_, _| {}).expect("it runs").latency.expect("it is timed");
    let (second, ratio) = latency.second.expect("two models");
    assert_eq!((latency.first.runs(), second.runs()), (1, 1));
    assert!(!ratio.is_sure());
}

#[test]
fn sizes_that_were_made_up_are_named() {
    let text = "g (f32[n,4,h,?1] x) => (f32[n,4,h,?1] y) {\n y = Relu(x)\n}";
    let mut image = model(text);
    let feed = || Feed::random(&input_specs(&image).unwrap(), 0).unwrap();
    let said = assumed(&image, &feed()).unwrap();
    assert_eq!(said, "its open axes were set to x[0] = 2, x[2] = 16, x[3] = 16; set other sizes with `--dim h=SIZE`");
    let node = image.graph.inputs()[0];
    let Node::Input(input) = image.graph.node_mut(node) else { panic!() };
    input.info.ty = crate::ir::Type::Tensor(crate::ir::TensorType::new(DType::F32, vec![Dim::Fixed(2)]));
    assert_eq!(assumed(&image, &Feed::random(&input_specs(&image).unwrap(), 0).unwrap()), None);
}

/// A number that is none is no equality, whichever output has it.
#[test]
fn nothing_is_lost_in_a_maximum() {
    let output = |name: &str, max_rel: f64| crate::compare::OutputDifference {
        name: name.into(),
        max_abs: max_rel,
        max_rel,
        cosine: 1.0,
        relative_l2: max_rel,
        differing: None,
        count: 1,
    };
    for order in [["a", "b"], ["b", "a"]] {
        let of = |name| output(name, if name == "a" { f64::NAN } else { 1e-9 });
        let difference = Difference { outputs: order.into_iter().map(of).collect() };
        assert!(difference.worst().is_nan() && difference.worst_abs().is_nan() && difference.drift().is_nan());
    }
}

/// What is small beside the numbers that it is made of is lost in single precision.
#[test]
#[cfg(all(feature = "tract", feature = "gradients"))]
fn rounding_is_told_from_an_error_in_double_precision() {
    let long = "g (f32[n,4] x) => (f32[n,4] y) {
        f32[] large = {1048576}
        a = Add(x, large)
        y = Sub(a, large)
    }";
    let verify = |first: &str, second: &str| {
        let (first, second) = (model(first), model(second));
        let subjects = Subjects { original: &first, reference: None, cut: None, pruned: &second };
        super::verify(&subjects, &Options { repeats: 0, ..Options::default() }, &|_, _| {}).expect("it runs")
    };
    let short = "g (f32[n,4] x) => (f32[n,4] y) {\n y = Identity(x)\n}";
    let found = verify(long, short);
    let Some(Doubled::Apart(apart)) = &found.double else { panic!("{found:?}") };
    assert!(found.equal && found.equivalence.worst() > 1e-5 && apart.worst() < 1e-9, "{found:?}");
    // What is wrong stays wrong, and is said to be so.
    let found = verify(long, &short.replace("Identity", "Neg"));
    assert!(!found.equal && matches!(&found.double, Some(Doubled::Apart(apart)) if apart.worst() > 0.5));
    let unknown = long.replace("y = Sub", "f = RandomUniform<shape=[4]>()\n y = Sub").replace("(a, large)", "(a, f)");
    let found = verify(&unknown, short);
    assert!(!found.equal && matches!(&found.double, Some(Doubled::Unable(_))), "{found:?}");
}

/// A sampling rate decides which branch runs, and each branch takes windows of its own length.
#[test]
#[cfg(feature = "tract")]
fn a_branch_that_is_not_taken_need_not_fit() {
    let branch = |name: &str, size: i64| {
        format!(
            "{name} () => ({name}out) {{
                i64[3] {name}to = {{-1, {size}, 4}}
                {name}in = Reshape(x, {name}to)
                f32[4,2] {name}w = {{1, 2, 3, 4, 5, 6, 7, 8}}
                {name}y = MatMul({name}in, {name}w)
                i64[2] {name}flat = {{-1, {}}}
                {name}out = Reshape({name}y, {name}flat)
            }}",
            size * 2
        )
    };
    let (long, short) = (branch("long", 9), branch("short", 5));
    let text = format!(
        "g (f32[1,n] x, i64[] rate) => (f32[m,k] y) {{
            i64[] most = {{16000}}
            is = Equal(rate, most)
            y = If<then_branch = {long}, else_branch = {short}>(is)
        }}"
    );
    let model = model(&text);
    let subjects = Subjects { original: &model, reference: Some(&model), cut: None, pruned: &model };
    let found = verify(&subjects, &Options { repeats: 0, ..Options::default() }, &|_, _| {}).expect("it runs");
    assert!(
        found.equal && found.constants == ["rate"] && found.equivalence.outputs[0].count.is_multiple_of(18),
        "{found:?}"
    );
}

/// What the runtime has no operator for is run as a program, if the operator's rule says what it is made of.
#[test]
#[cfg(all(feature = "tract", feature = "gradients"))]
fn what_the_runtime_lacks_is_run_as_a_program() {
    let text = "<ir_version: 8, opset_import: [\"\" : 9]>
    g (f32[n,2,3] x) => (f32[n,2,6] y) {
        f32[3] by = {1, 1, 2}
        r = Relu(x)
        y = Upsample<mode = \"nearest\">(r, by)
    }";
    let verify = |second: &str| {
        let (first, second) = (model(text), model(second));
        let subjects = Subjects { original: &first, reference: Some(&first), cut: None, pruned: &second };
        super::verify(&subjects, &Options::default(), &|_, _| {})
    };
    let found = verify(text).expect("it runs");
    assert!(found.equal && found.plan == Plan::Program && found.latency.is_none(), "{found:?}");
    assert!(found.untimed.is_some_and(|why| why.contains("Upsample")));
    assert!(!verify(&text.replace("Relu", "Neg")).expect("it runs").equal);
    // The error is the runtime's where neither can.
    let unknown = text.replace("r = Relu(x)", "r = org.example.Wobble(x)");
    let error = verify(&unknown.replace("\"\" : 9", "\"\" : 9, \"org.example\" : 1")).unwrap_err();
    assert!(error.is_inability(), "{error}");
}
