use super::*;
use crate::ir;
use crate::prune::prepare;

/// The proofs of all units that can go, and where they are read.
fn proofs(text: &str) -> String {
    let model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let analysis = prepare(&model).expect("the model can be prepared");
    let lossless = find(&analysis, &Ranges::default());
    let mut keep = KeepSets::default();
    for group in analysis.groups.all.iter().filter(|g| g.is_exact()) {
        let gone = lossless.redundant(group);
        keep.keep(group.leaf, (0..group.size).filter(|unit| !gone.contains(unit)).collect());
    }
    let certificates = lossless.merged(&analysis, &keep).certificates(&analysis);
    let line = |c: &Certificate| {
        let units: Vec<String> = c.units.iter().map(|u| serde_json::to_string(u).expect("it is JSON")).collect();
        format!("{} in {}: {}", c.group, c.readers.join(" "), units.join(" "))
    };
    certificates.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn proofs_say_what_they_rest_on() {
    let text = "g (f32[1,1,4,4] x) => (f32[1,1,4,4] y) {
        f32[5,1,1,1] w = {1.0, 0.0, 0.0, 2.0, 5.0}
        f32[5] b = {1.0, -1.0, 3.0, 2.0, 0.0}
        f32[1,5,1,1] v = {1.0, 1.0, 1.0, 2.0, 0.0}
        [first] h = Conv(x, w, b)
        r = Relu(h)
        [second] y = Conv(r, v)
    }";
    insta::assert_snapshot!(proofs(text), @r#"c0 in second: {"unit":1,"proof":"dead"} {"unit":2,"proof":"constant","values":[3.0]} {"unit":3,"proof":"twin","of":0,"factors":[2.0]} {"unit":4,"proof":"unread"}"#);
}

#[test]
fn twins_pass_what_treats_units_alike() {
    // Any function of equal units is equal; a multiple passes what is homogeneous.
    let net = |op: &str, second: &str| {
        proofs(&format!(
            "g (f32[1,1,4,4] x) => (f32[1,1,1,1] y) {{
                f32[2,1,1,1] w = {{1.0, {second}}}
                f32[1,2,1,1] v = {{1.0, 2.0}}
                h = Conv(x, w)
                a = {op}(h)
                p = MaxPool<kernel_shape=[2,2]>(a)
                m = GlobalAveragePool(p)
                y = Conv(m, v)
            }}"
        ))
    };
    insta::assert_snapshot!(net("Sigmoid", "1.0"), @r#"c0 in y: {"unit":1,"proof":"twin","of":0,"factors":[1.0]}"#);
    insta::assert_snapshot!(net("LeakyRelu", "4.0"), @r#"c0 in y: {"unit":1,"proof":"twin","of":0,"factors":[4.0]}"#);
    assert_eq!(net("Sigmoid", "4.0"), "");
    assert_eq!(net("LeakyRelu", "-4.0"), "");
}

#[test]
fn it_is_looked_for_once() {
    let text = "g (f32[1,1] x) => (f32[1,1] y) {
        f32[1,2] w = {1.0, 2.0}
        f32[2,1] v = {1.0, 2.0}
        h = MatMul(x, w)
        y = MatMul(h, v)
    }";
    let analysis = Analysis::new(ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}")));
    let find = |ranges: &[String]| find(&analysis, &Ranges::new(ranges).unwrap_or_else(|e| panic!("{e}")));
    assert!(Arc::ptr_eq(&find(&[]), &find(&[])));
    assert!(!Arc::ptr_eq(&find(&[]), &find(&["0..1".into()])));
}
