//! Ifs: several in a graph, decided ones, and branches of different rank.

use super::inexact::write;
use super::{Folder, json, stdout};

/// Prunes a model to half, and returns what the report says.
fn halved(folder: &Folder, input: &str) -> serde_json::Value {
    let report = json(&["prune", input, "-o", &folder.path("o.onnx"), "--ratio", "0.5", "--json"], 0);
    let verification = &report["verification"];
    assert!(verification["status"] == "ran" && verification["equal"] == true, "{verification}");
    report
}

#[test]
fn several_are_proved() {
    let choice = |name: &str, from: &str, a: usize| {
        format!(
            "{name} = If<then_branch = t{a} () => (p{a}) {{ f32[6,8] v{a} #{a} q{a} = MatMul({from}, v{a}) p{a} = Relu(q{a}) }},
               else_branch = e{a} () => (s{a}) {{ f32[6,8] w{a} #{b} r{a} = MatMul({from}, w{a}) s{a} = Tanh(r{a}) }}>(c)",
            b = a + 1
        )
    };
    let text = format!(
        "net (bool c, f32[N,6] x) => (f32[N,3] y) {{
        {}
        f32[8,6] m #5
        g = MatMul(i, m)
        {}
        f32[8,3] o #6
        y = MatMul(j, o)
    }}",
        choice("i", "x", 1),
        choice("j", "g", 3)
    );
    let folder = Folder::new();
    let input = write(&folder, &text, &[&[6, 8], &[6, 8], &[6, 8], &[6, 8], &[8, 6], &[8, 3]]);
    let report = halved(&folder, &input);
    assert_eq!(report["groups"].as_array().map(Vec::len), Some(3));
    // One of two branches of 2 · 6 · 4 operations each, and what comes between and after.
    assert_eq!(
        (report["before"]["choices"].as_u64(), report["after"]["macs"].as_u64()),
        (Some(2), Some(24 + 12 + 12 + 12))
    );
    assert!(stdout(&["inspect", &input], 0).contains("the costlier branch of each If"));
}

/// An axis that is squeezed if it has length 1, before a product that takes two axes; the length is open, or not.
fn squeezed(length: &str) -> String {
    format!(
        "net (f32[N,5,{length}] x) => (f32[..] y) {{
        f32[8,5,1] conv #1
        h = Conv(x, conv)
        r = Relu(h)
        i64 last {{-1}}  i64 one {{1}}  i64[1] axis {{-1}}
        s = Shape(r)
        n = Gather(s, last)
        c = Equal(n, one)
        z = If<then_branch = t () => (a) {{ a = Squeeze(r, axis) }}, else_branch = e () => (b) {{ b = Identity(r) }}>(c)
        f32[8,3] out #2
        y = Gemm(z, out)
    }}"
    )
}

#[test]
fn a_rank_is_decided_by_shapes_or_by_what_follows() {
    let folder = Folder::new();
    for (length, more) in [("1", None), ("L", Some("L=1"))] {
        let input = write(&folder, &squeezed(length), &[&[8, 5, 1], &[8, 3]]);
        let mut args = vec!["prune", &input, "--ratio", "0.5", "--json", "-o"];
        let output = folder.path("o.onnx");
        args.push(&output);
        args.extend(more.iter().flat_map(|size| ["--dim", size]));
        let report = json(&args, 0);
        assert_eq!(
            (&report["verification"]["status"], &report["groups"][0]["after"]),
            (&"ran".into(), &4.into()),
            "{length}"
        );
        // Where the length is open, the If stays: only inputs of length 1 can be run.
        let text = stdout(&["print", &output, "--plain"], 0);
        assert_eq!(text.contains(" = If<"), more.is_some(), "{text}");
    }
}

#[test]
fn opt_takes_out_what_is_decided() {
    let text = "net (bool c, f32[2,3] x) => (f32[2,3] y) {
        bool yes {true}
        y = If<then_branch = t () => (a) {
                a = If<then_branch = p () => (q) { q = Relu(x) }, else_branch = n () => (r) { r = Neg(x) }>(yes)
            },
            else_branch = e () => (b) { b = Exp(x) }>(c)
    }";
    let folder = Folder::new();
    let (input, output) = (write(&folder, text, &[]), folder.path("o.onnx"));
    super::secateur(&["opt", &input, "-o", &output]).success();
    let text = stdout(&["print", &output, "--plain"], 0);
    assert!(text.matches(" = If<").count() == 1 && text.contains("Relu") && !text.contains("Neg"), "{text}");
}
