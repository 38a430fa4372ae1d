//! What the direct fit rests on: layouts that say what a contraction computes, and sums that are found.

use super::{layout::Layout, merge::merge, repair, stage};
use crate::analysis::Analysis;
use crate::apply;
use crate::axes::KeepSets;
use crate::contraction::Contraction;
use crate::feed::Feed;
use crate::ir::{self, Model, Tensor, ValueId};
use crate::stats::{Measured, Probe};

fn model(text: &str) -> Model {
    let shapes: [(u64, &[usize]); 6] =
        [(1, &[4, 2, 1, 1]), (2, &[3, 4, 3, 2]), (3, &[6, 2, 3, 3]), (4, &[4, 4]), (5, &[3, 4]), (6, &[4])];
    let tensor = |hash: u64| {
        let shape = shapes.iter().find(|(k, _)| *k == hash)?.1.to_vec();
        let count: usize = shape.iter().product();
        Some(Tensor::from_f32(shape, &(0..count).map(|i| ((i * 7 + 3) % 11) as f32 - 4.6).collect::<Vec<_>>()))
    };
    ir::parse(text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Whether the layout of the last contraction says what it computes; `None` if there is no layout.
fn holds(shape: &[usize], text: &str) -> Option<bool> {
    let analysis = Analysis::new(model(text));
    let c = Contraction::all(&analysis).pop().unwrap_or_else(|| panic!("no contraction in {text}"));
    let weight = analysis.model.graph.tensor(c.weight).unwrap();
    let layout = Layout::of(&analysis, &c, &weight.shape)?;
    let result = ValueId { node: c.node, port: 0 };
    let count: usize = shape.iter().product();
    let x = Tensor::from_f32(shape.to_vec(), &(0..count).map(|i| ((i * 5 + 1) % 13) as f32 - 6.0).collect::<Vec<_>>());
    let mut values =
        Probe::new(&analysis.model, &[c.data, result]).unwrap().run(&Feed::new(vec![("x".to_owned(), x)])).unwrap();
    let (data, now) = (values.remove(&c.data).unwrap(), values.remove(&result).unwrap());
    let positions = layout.positions(&now.shape, 1000);
    let outputs = now.shape[layout.output] / c.groups;
    Some((0..c.groups).all(|g| {
        let range = g * outputs..(g + 1) * outputs;
        let patches = layout.patches(&data, &weight.shape, g, &positions).unwrap();
        let now = layout.outputs(&now, &positions, range.clone()).unwrap();
        stage::computes(&layout, &patches, weight, range, &now).unwrap()
    }))
}

fn conv(weight: &str, attributes: &str) -> Option<bool> {
    holds(
        &[2, 2, 7, 8],
        &format!(
            "g (f32[N,2,7,8] x) => (f32[N,K,H,W] y) {{
                f32[4,2,1,1] v #1
                f32[{weight}
                a = Conv(x, v)
                r = Relu(a)
                y = Conv<{}>(r, w)
            }}",
            attributes.replace(' ', ",")
        ),
    )
}

#[test]
fn a_kernels_patches_make_its_outputs() {
    let (whole, grouped) = ("3,4,3,2] w #2", "6,2,3,3] w #3");
    for attributes in [
        "pads=[0,0,0,0]",
        "pads=[1,0,2,1]",
        "strides=[2,3] pads=[1,1,0,0]",
        "dilations=[2,1] pads=[2,0,1,1]",
        "auto_pad=\"SAME_UPPER\" strides=[2,2]",
        "auto_pad=\"SAME_LOWER\" dilations=[1,2]",
    ] {
        assert_eq!(conv(whole, attributes), Some(true), "{attributes}");
        assert_eq!(conv(grouped, &format!("group=2 {attributes}")), Some(true), "{attributes}");
    }
}

fn linear(last: &str) -> Option<bool> {
    let text = format!(
        "g (f32[N,5,4] x) => (y) {{
            f32[4,4] v #4
            f32[4,4] w #4
            f32[3,4] t #5
            f32[4] b #6
            a = MatMul(x, v)
            r = Relu(a)
            {last}
        }}"
    );
    holds(&[3, 5, 4], &text)
}

#[test]
fn a_linear_layers_rows_make_its_outputs() {
    assert_eq!(linear("y = MatMul(r, w)"), Some(true));
    assert_eq!(linear("y = Einsum<equation=\"abc,dc->adb\">(r, t)"), Some(true));
}

/// Where the result of the call `c` is added to something, as the two operands.
fn sum(text: &str) -> Option<String> {
    let analysis = Analysis::new(model(text));
    let graph = &analysis.model.graph;
    let c = graph.calls().into_iter().find(|&n| graph.label(n) == "c").unwrap();
    let found = merge(&analysis, c)?;
    let beside = graph.operand(found.node, usize::from(found.slot)).unwrap();
    Some(format!("{} + {}", graph.value_name(found.exit), graph.value_name(beside)))
}

#[test]
fn a_residual_sum_is_found_behind_what_changes_channels_alone() {
    let net = |end: &str| {
        format!(
            "g (f32[N,4] x) => (f32[N,4] y) {{
                f32[4,4] v #4
                f32[4] b #6
                r = Relu(x)
                c = MatMul(r, v)
                {end}
            }}"
        )
    };
    assert_eq!(sum(&net("y = Add(c, r)")).as_deref(), Some("c + r"));
    assert_eq!(sum(&net("d = Add(c, b)\n e = Mul(d, b)\n y = Add(r, e)")).as_deref(), Some("e + r"));
    assert_eq!(sum(&net("y = Mul(c, x)")), None, "a product");
    assert_eq!(sum(&net("y = Sub(r, c)")), None, "a difference");
    assert_eq!(sum(&net("d = Add(c, r)\n y = Mul(d, c)")), None, "something else reads it");
    assert_eq!(sum(&net("y = Add(c, c)")), None, "it is added to itself");
    assert_eq!(sum(&net("y = Add(c, x)")), None, "an input lacks nothing");
}

#[test]
fn a_branch_around_which_the_input_goes_is_refitted() {
    let analysis = Analysis::new(model(
        "g (f32[N,4] x) => (f32[N,4] y) {
            f32[4,4] v #4
            f32[4,4] w #4
            a = MatMul(x, v)
            r = Relu(a)
            c = MatMul(r, w)
            y = Add(c, x)
        }",
    ));
    let mut keep = KeepSets::default();
    keep.keep(analysis.groups.free().next().unwrap().leaf, vec![0, 2, 3]);
    let mut model = apply::apply(&analysis, &keep).unwrap().model;
    let feed = |seed: usize| {
        let numbers: Vec<f32> = (0..32).map(|i| ((i * 5 + seed * i * i) % 13) as f32 - 6.0).collect();
        Feed::new(vec![("x".to_owned(), Tensor::from_f32(vec![8, 4], &numbers))])
    };
    let samples: Vec<Feed> = (1..7).map(feed).collect();
    let measured = Measured::new(&analysis, &samples, &|| ()).unwrap();
    let repaired = repair(&analysis, &keep, &measured.stats, &samples, 1, &mut model, &|| ()).unwrap();
    assert!(repaired.len() == 1 && repaired[0].after < repaired[0].before, "{repaired:?}");
}
