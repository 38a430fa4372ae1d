use super::*;
use insta::assert_snapshot;

fn model(text: &str) -> Model {
    ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn told(a: &str, b: &str) -> String {
    diff(&model(a), &model(b), Options::default()).to_string()
}

const NET: &str = r#"g (f32[n,3] x) => (f32[n,2] y) {
  f32[2,3] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
  f32[2] b = {0.5, 0.25}
  [fc] h = Gemm<transB=1>(x, w, b)
  [act] a = Relu(h)
  [out] y = Identity(a)
}"#;

#[test]
fn a_model_is_the_same_as_itself() {
    assert_snapshot!(told(NET, NET), @"");
    // In another order, too.
    let other = NET
        .replace("  f32[2] b = {0.5, 0.25}\n", "")
        .replace("g (f32[n,3] x) => (f32[n,2] y) {", "g (f32[n,3] x) => (f32[n,2] y) {\n  f32[2] b = {0.5, 0.25}");
    assert_snapshot!(told(NET, &other), @"");
}

#[test]
fn what_was_rewritten_shows_and_what_was_not_does_not() {
    assert_snapshot!(told(NET, &NET.replace("[out] y = Identity(a)\n", "").replace("[act] a = Relu(h)", "[act] y = Relu(h)")), @r"
    interface
      ~ what makes y: Identity `out` → Relu `act`
    nodes
      ~ Relu `act`
          ~ result 0: a → y
      - [out] y = Identity(a)
    ");
    assert_snapshot!(told(NET, &NET.replace("Relu", "Sigmoid").replace("transB=1", "transB=1, alpha=2.0")), @r"
    nodes
      ~ Gemm `fc`
          + attribute alpha: 2.0
      ~ Relu `act`
          ~ operator: Relu → Sigmoid
    ");
}

#[test]
fn weights_are_compared_by_number() {
    assert_snapshot!(told(NET, &NET.replace("5.0", "5.5").replace("0.25", "0.125")), @r"
    weights
      ~ w: 1 of 6 elements differ, by 5.0e-1 at most
      ~ b: 1 of 2 elements differ, by 1.2e-1 at most
    ");
    let narrow = NET.replace("f32[2,3] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}", "f32[1,3] w = {1.0, 2.0, 3.0}");
    assert_snapshot!(told(NET, &narrow.replace("f32[2] b = {0.5, 0.25}", "f32[1] b = {0.5}").replace("[n,2]", "[n,1]")), @r"
    interface
      ~ output y: f32[n, 2] → f32[n, 1]
    nodes
      ~ Gemm `fc`
          ~ type of h: f32[n, 2] → f32[n, 1]
      ~ Relu `act`
          ~ type of a: f32[n, 2] → f32[n, 1]
      ~ Identity `out`
          ~ type of y: f32[n, 2] → f32[n, 1]
    weights
      ~ w: f32[2,3] #f81e5a2cb699a8ba → f32[1,3] #97358254116bc4d2
      ~ b: f32[2] #c11ef34a6d10007e → f32[1] #8249b80fdbdd236c
    ");
    let without = diff(&model(NET), &model(&NET.replace("5.0", "5.5")), Options { weights: false });
    assert!(without.is_empty(), "{without}");
}

#[test]
fn names_that_changed_are_matched_by_place() {
    let other = NET.replace("[fc] h", "[dense] v").replace("Relu(h)", "Relu(v)").replace(" w = ", " kernel = ");
    assert_snapshot!(told(NET, &other.replace("(x, w, b)", "(x, kernel, b)")), @r"
    nodes
      ~ Gemm `fc`
          ~ name: fc → dense
          ~ result 0: h → v
    weights
      ~ w: now called kernel
    ");
}

#[test]
fn what_stands_around_the_graph_counts() {
    let (mut a, mut b) = (model(NET), model(&NET.replace("f32[n,3] x", "f32[4,3] x")));
    a.metadata = vec![("author".into(), "me".into()), ("run".into(), "1".into())];
    b.metadata = vec![("author".into(), "you".into())];
    b.opsets.insert("com.example".into(), 1);
    assert_snapshot!(diff(&a, &b, Options::default()), @r#"
    model
      + opset "com.example": 1
    metadata
      ~ author: me → you
      - run: 1
    interface
      ~ input x: f32[n, 3] → f32[4, 3]
    nodes
      ~ Gemm `fc`
          ~ type of h: f32[n, 2] → f32[4, 2]
      ~ Relu `act`
          ~ type of a: f32[n, 2] → f32[4, 2]
      ~ Identity `out`
          ~ type of y: f32[n, 2] → f32[4, 2]
    "#);
}

#[test]
fn the_order_of_outputs_counts() {
    let two = "g (f32[2] x) => (f32[2] y, f32[2] z) { y = Relu(x)  z = Exp(x) }";
    let swapped = two.replace("(f32[2] y, f32[2] z)", "(f32[2] z, f32[2] y)");
    assert_snapshot!(told(two, &swapped), @r"
    model
      ~ outputs: y, z → z, y
    ");
    assert!(told(two, &swapped.replace("g (", "h (")).contains("  ~ graph: g → h\n"));
}

#[test]
fn bodies_are_looked_into() {
    let net = |op: &str| {
        format!(
            "g (bool c, f32[2] x) => (f32[2] y) {{
              [if] y = If<then_branch=t () => (f32[2] a) {{ [t] a = {op}(x) }}, else_branch=e () => (f32[2] b) {{ [e] b = Exp(x) }}>(c | x)
            }}"
        )
    };
    let parse = |op: &str| ir::parse(&net(op), &|_| None);
    let (Ok(a), Ok(b)) = (parse("Relu"), parse("Abs")) else {
        panic!("{:?}", parse("Relu").err().map(|e| e.to_string()))
    };
    assert_snapshot!(diff(&a, &b, Options::default()), @r"
    nodes
      ~ if.then_branch/Relu `t`
          ~ operator: Relu → Abs
    ");
}
