//! What the direct fit rests on: layouts that say what a contraction computes, and sums that are found.

use super::{
    candidates::candidates,
    layout::{Layout, Left, Numbers},
    merge::merge,
    repair, stage,
};
use crate::analysis::Analysis;
use crate::apply;
use crate::axes::KeepSets;
use crate::contraction::Contraction;
use crate::feed::Feed;
use crate::ir::{self, Model, Tensor, ValueId};
use crate::oracle::Setup;
use crate::stats::{Draw, Floats, Measured, Probe, RunOptions};

fn model(text: &str) -> Model {
    let shapes: [(u64, &[usize]); 8] = [
        (1, &[4, 2, 1, 1]),
        (2, &[3, 4, 3, 2]),
        (3, &[6, 2, 3, 3]),
        (4, &[4, 4]),
        (5, &[3, 4]),
        (6, &[4]),
        (7, &[4, 4, 1, 1]),
        (8, &[4, 1, 3, 3]),
    ];
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
    let setup = Setup::default();
    let mut values = Probe::new(&setup, &analysis.model, &[c.data, result])
        .unwrap()
        .run(&Feed::new(vec![("x".to_owned(), x)]))
        .unwrap();
    let (data, now) = (values.remove(&c.data).unwrap(), values.remove(&result).unwrap());
    let (data, now) = (Floats::of(&data).unwrap(), Floats::of(&now).unwrap());
    let weight = Numbers::of(weight).unwrap();
    let positions = layout.positions(now.shape, Draw::ALL);
    let outputs = now.shape[layout.output] / c.groups;
    let places = layout.places(data.shape, &weight.shape, &positions);
    let now = layout.outputs(&now, &Left::default(), &positions);
    Some((0..c.groups).all(|g| {
        let range = g * outputs..(g + 1) * outputs;
        stage::computes(&layout, &places.patches(&data, g), &weight, range, now.as_ref())
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

#[test]
fn a_depthwise_kernel_makes_up_for_what_came_before() {
    let text = "g (f32[N,2,7,8] x) => (y) {
        f32[4,2,1,1] v #1
        f32[4,4,1,1] u #7
        f32[4,1,3,3] k #8
        a = Conv(x, v)
        r = Relu(a)
        b = Conv(r, u)
        y = Conv<group=4,pads=[1,1,1,1]>(b, k)
    }";
    let analysis = Analysis::new(model(text));
    let found = candidates(&analysis);
    assert_eq!(found.iter().map(|c| c.contraction.groups).collect::<Vec<_>>(), [1, 1, 4]);
    let c = &found[2].contraction;
    assert_eq!((c.depth(), c.weight_axis, c.group_axis), (1, 1, Some(0)));
    let layout = Layout::of(&analysis, c, &[4, 1, 3, 3]).unwrap();
    assert_eq!((layout.taps, layout.output, layout.row), (9, 1, 0));
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
    let execution = RunOptions::default();
    let measured = Measured::new(&analysis, &samples, &execution, &|| ()).unwrap();
    let repaired = repair(&analysis, &keep, &measured.stats, &samples, &execution, &mut model, &|| ()).unwrap().done;
    assert!(repaired.len() == 1 && repaired[0].after < repaired[0].before, "{repaired:?}");
}

#[test]
fn the_input_weights_of_a_recurrence_are_refitted() {
    // Unit 3 is twice unit 0, so its loss can be made up for.
    let weights = |hash: u64| {
        let (shape, at): (&[usize], fn(usize) -> f32) = match hash {
            1 => (&[4, 4], |i| [1.0, 0.5, -1.0, 2.0][i % 4] * [1.0, 0.3, 0.2, 0.7][i / 4]),
            2 => (&[1, 9, 4], |i| ((i * 7 + 3) % 11) as f32 / 11.0 - 0.4),
            3 => (&[1, 9, 3], |i| ((i * 5 + 1) % 7) as f32 / 14.0 - 0.2),
            _ => (&[1, 18], |i| (i % 3) as f32 / 3.0),
        };
        Some(Tensor::from_f32(shape.to_vec(), &(0..shape.iter().product()).map(at).collect::<Vec<_>>()))
    };
    for bias in ["", ", b"] {
        let text = format!(
            "g (f32[5,N,4] x) => (y) {{
                f32[4,4] v #1
                f32[1,9,4] w #2
                f32[1,9,3] r #3
                f32[1,18] b #4
                a = MatMul(x, v)
                h = Relu(a)
                y = GRU<hidden_size=3,linear_before_reset=1>(h, w, r{bias})
            }}"
        );
        let analysis = Analysis::new(ir::parse(&text, &weights).unwrap());
        let mut keep = KeepSets::default();
        let group = analysis.groups.free().find(|g| g.size == 4).unwrap();
        keep.keep(group.leaf, vec![0, 1, 2]);
        let mut model = apply::apply(&analysis, &keep).unwrap().model;
        let before = ran(&analysis.model);
        let dropped = apart(&before, &ran(&model));
        let measured = Measured::new(&analysis, &feeds(), &RunOptions::default(), &|| ()).unwrap();
        let repaired = repair(&analysis, &keep, &measured.stats, &feeds(), &RunOptions::default(), &mut model, &|| ())
            .unwrap()
            .done;
        assert_eq!(repaired.len(), 1, "{bias}");
        let after = apart(&before, &ran(&model));
        assert!(dropped > 0.05 && after < 0.02 * dropped, "{bias}: {dropped} {after}");
    }
}

fn feeds() -> Vec<Feed> {
    let feed = |seed: usize| {
        let numbers: Vec<f32> = (0..160).map(|i| ((i * 5 + seed * i * i) % 13) as f32 / 6.0 - 1.0).collect();
        Feed::new(vec![("x".to_owned(), Tensor::from_f32(vec![5, 8, 4], &numbers))])
    };
    (1..7).map(feed).collect()
}

fn ran(model: &Model) -> Vec<f64> {
    let graph = &model.graph;
    let result = graph.values_by_name()["y"];
    let mut probe = Probe::new(&Setup::default(), model, &[result]).unwrap();
    feeds().iter().flat_map(|f| probe.run(f).unwrap()[&result].to_f64().unwrap()).collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// An attention's logits over two heads of three dimensions, from queries and keys that are made together.
const LOGITS: &str = "g (f32[5,8,4] x) => (f32[5,2,8,8] y) {
    f32[4,12] w #1
    f32[12] b #2
    i64[5] s = {0, 0, 2, 2, 3}
    p = MatMul(x, w)
    a = BIAS
    r = Reshape(a, s)
    t = Transpose<perm=[2,0,3,1,4]>(r)
    q, k = Split<axis=0,num_outputs=2>(t)
    i64[1] z = {0}
    q0 = Squeeze(q, z)
    k0 = Squeeze(k, z)
    MIDDLE
    y = MatMul(q1, k1)
}";

fn cut_logits(middle: &str, bias: &str) -> (Analysis, KeepSets, Model) {
    let weights = |hash: u64| match hash {
        // The last dimension of each head is the sum of the others.
        1 => {
            let at = |i: usize| ((i * 7 + 3) % 11) as f32 / 11.0 - 0.4;
            let number = |i: usize| match i % 3 {
                2 => at(i - 1) + at(i - 2),
                _ => at(i),
            };
            Some(Tensor::from_f32(vec![4, 12], &(0..48).map(number).collect::<Vec<_>>()))
        }
        _ => Some(Tensor::from_f32(vec![12], &[0.1, 0.2, 0.3, -0.1, 0.0, -0.1, 0.2, -0.4, -0.2, 0.0, 0.3, 0.3])),
    };
    let analysis = Analysis::new(ir::parse(&LOGITS.replace("MIDDLE", middle).replace("BIAS", bias), &weights).unwrap());
    let mut keep = KeepSets::default();
    let dims = analysis.groups.free().find(|g| g.size == 3).unwrap();
    keep.keep(dims.leaf, vec![0, 2]);
    let model = apply::apply(&analysis, &keep).unwrap().model;
    (analysis, keep, model)
}

#[test]
fn queries_and_keys_are_written_in_fewer_dimensions() {
    let (analysis, keep, mut model) = cut_logits("q1 = Identity(q0)\n k1 = Transpose<perm=[0,1,3,2]>(k0)", "Add(p, b)");
    let before = ran(&analysis.model);
    let dropped = apart(&before, &ran(&model));
    let measured = Measured::new(&analysis, &feeds(), &RunOptions::default(), &|| ()).unwrap();
    let repaired =
        repair(&analysis, &keep, &measured.stats, &feeds(), &RunOptions::default(), &mut model, &|| ()).unwrap().done;
    assert!(repaired.len() == 1 && repaired[0].before > 0.01 && repaired[0].after < 1e-6, "{repaired:?}");
    // Heads of three dimensions that lie in a plane lose nothing by having two.
    let after = apart(&before, &ran(&model));
    assert!(dropped > 0.1 && after < 1e-3 * dropped, "{dropped} {after}");
}

#[test]
fn queries_that_an_activation_changes_are_left_alone() {
    let keys = "k1 = Transpose<perm=[0,1,3,2]>(k0)";
    // Of numbers that are not negative an activation may change nothing.
    for (middle, bias) in
        [("q1 = Relu(q0)", "Add(p, b)"), ("q1 = Relu(q0)", "Identity(p)"), ("q1 = Mul(q0, q0)", "Add(p, b)")]
    {
        let (analysis, keep, model) = cut_logits(&format!("{middle}\n {keys}"), bias);
        let mut repaired = model.clone();
        let measured = Measured::new(&analysis, &feeds(), &RunOptions::default(), &|| ()).unwrap();
        let told = repair(&analysis, &keep, &measured.stats, &feeds(), &RunOptions::default(), &mut repaired, &|| ())
            .unwrap()
            .done;
        assert!(told.is_empty(), "{middle}");
        assert_eq!(ran(&repaired), ran(&model), "{middle}");
    }
}

#[test]
fn heads_of_queries_that_share_keys_are_rewritten_together() {
    // The operator that has all heads in the last axis: four of queries, two of keys.
    let weights = |hash: u64| {
        let (shape, seed): (Vec<usize>, usize) = match hash {
            1 => (vec![4, 12], 3),
            2 => (vec![4, 6], 5),
            _ => (vec![4, 4], 7),
        };
        let at = |i: usize| ((i * 7 + seed) % 11) as f32 / 11.0 - 0.4;
        let number = |i: usize| if shape[1] % 3 == 0 && i % 3 == 2 { at(i - 1) - at(i - 2) } else { at(i) };
        Some(Tensor::from_f32(shape.clone(), &(0..shape.iter().product()).map(number).collect::<Vec<_>>()))
    };
    let text = "g (f32[5,8,4] x) => (f32[5,8,8] y) {
        f32[4,12] w #1
        f32[4,6] u #2
        f32[4,4] t #3
        q = MatMul(x, w)
        k = MatMul(x, u)
        v = MatMul(x, t)
        y = Attention<q_num_heads=4,kv_num_heads=2>(q, k, v)
    }";
    let analysis = Analysis::new(ir::parse(text, &weights).unwrap());
    let mut keep = KeepSets::default();
    let dims = analysis.groups.free().find(|g| g.size == 3).unwrap();
    keep.keep(dims.leaf, vec![1, 2]);
    let mut model = apply::apply(&analysis, &keep).unwrap().model;
    let measured = Measured::new(&analysis, &feeds(), &RunOptions::default(), &|| ()).unwrap();
    let repaired =
        repair(&analysis, &keep, &measured.stats, &feeds(), &RunOptions::default(), &mut model, &|| ()).unwrap().done;
    assert!(repaired.len() == 1 && repaired[0].before > 0.01 && repaired[0].after < 1e-6, "{repaired:?}");
}
