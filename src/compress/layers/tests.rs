use super::{Options, choose, find, resolve, score::score, silenced};
use crate::analysis::Analysis;
use crate::infer::infer;
use crate::ir::{self, Graph, Model, Tensor};
use crate::oracle::Setup;
use crate::plan::LayerCut;
use insta::assert_snapshot;

fn model(text: &str) -> Model {
    let numbers = |n: usize, k: u64| (0..n).map(|i| ((i * 7 + 3) % 11) as f32 * 0.1 * k as f32).collect::<Vec<_>>();
    let shapes = [(1, vec![4, 4]), (2, vec![4, 4]), (3, vec![4]), (4, vec![4, 4, 1, 1]), (5, vec![8, 4, 1, 1])];
    let tensor = |hash: u64| {
        let (k, shape) = shapes.iter().find(|(k, _)| *k == hash)?;
        Some(Tensor::from_f32(shape.clone(), &numbers(shape.iter().product(), *k)))
    };
    ir::parse(text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The layers of a model, a line each, and why other sums end none.
fn show(text: &str) -> String {
    let model = model(text);
    let graph = &model.graph;
    let found = find(&model, &infer(&model));
    let labels = |nodes: &[ir::NodeId]| nodes.iter().map(|&n| graph.label(n)).collect::<Vec<_>>().join(" ");
    let layers = found.layers.iter().map(|l| {
        let (entry, exit) = (graph.value_name(l.entry), graph.value_name(l.exit));
        format!("{}: {entry} → {exit} by {}, with {}", graph.label(l.merge), labels(&l.calls), labels(&l.gone))
    });
    let refused = found.refused.iter().map(|r| format!("{}: no, {}", graph.label(r.merge), r.why));
    layers.chain(refused).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_residual_block_is_a_layer() {
    assert_snapshot!(show("g (f32[N,4,H,W] x) => (f32[N,4,H,W] y) {
        f32[4,4,1,1] w #4
        f32[4,4,1,1] v #4
        f32[4] b #3
        a = Relu(x)
        c = Conv(a, w, b)
        d = Relu(c)
        e = Conv(d, v)
        s = Add(e, a)
        y = Relu(s)
    }"), @"s: a → e by c d e, with w v b c d e s");
}

#[test]
fn a_transformers_block_is_two_layers() {
    assert_snapshot!(show("g (f32[N,T,4] x, f32[N,1,T,T] mask) => (f32[N,T,4] y) {
        f32[4] g1 #3
        f32[4] g2 #3
        f32[4,4] wq #1
        f32[4,4] wk #1
        f32[4,4] wv #1
        f32[4,4] wo #1
        f32[4,4] up #1
        f32[4,4] down #1
        f32[] scale = {0.5}
        h = LayerNormalization(x, g1)
        q = MatMul(h, wq)
        k = MatMul(h, wk)
        v = MatMul(h, wv)
        kt = Transpose<perm=[0,2,1]>(k)
        m = ReduceMax<axes=[1], keepdims=0>(mask)
        p = MatMul(q, kt)
        ps = Mul(p, scale)
        pm = Add(ps, m)
        soft = Softmax(pm)
        o = MatMul(soft, v)
        attention = MatMul(o, wo)
        z = Add(x, attention)
        i = LayerNormalization(z, g2)
        u = MatMul(i, up)
        act = Gelu(u)
        mlp = MatMul(act, down)
        y = Add(z, mlp)
    }"), @r"
    z: x → attention by h q k v kt p ps pm soft o attention, with g1 wq wk wv wo scale h q k v kt m p ps pm soft o attention z
    y: z → mlp by i u act mlp, with g2 up down i u act mlp y
    pm: no, neither operand is made from the other, so nothing bypasses a branch
    ");
}

#[test]
fn branches_lie_within_branches() {
    let text = "g (f32[N,4,8,8] x) => (f32[N,4,8,8] y) {
        f32[4,4,1,1] w1 #4
        f32[4,4,1,1] w2 #4
        f32[4,4,1,1] w3 #4
        f32[4] scales = {1.0, 1.0, 2.0, 2.0}
        a = Conv(x, w1)
        down = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
        inner = Conv(down, w2)
        sum = Add(down, inner)
        b = Conv(sum, w3)
        up = Resize(b, _, scales)
        y = Add(a, up)
    }";
    assert_snapshot!(show(text), @r"
    sum: down → inner by inner, with w2 inner sum
    y: a → up by down inner sum b up, with w2 w3 scales down inner sum b up y
    ");
    let model = model(text);
    let layers = find(&model, &infer(&model)).layers;
    let chosen = |scores: [f64; 2], count| {
        let options = Options { count, ..Options::default() };
        choose(&model.graph, &layers, &scores, &options).map_err(|e| e.to_string())
    };
    assert_eq!(chosen([1.0, 2.0], 1), Ok(vec![0]));
    assert_eq!(chosen([1.0, 1.0], 1), Ok(vec![0]));
    assert_eq!(chosen([2.0, 1.0], 1), Ok(vec![1]));
    // Whichever goes first, the other does not lie beside it.
    assert_snapshot!(chosen([2.0, 1.0], 2).unwrap_err(), @"too many layers: 2 asked for, but only 1 can go; `secateur layers --all` says why others can't");
}

#[test]
fn a_branch_that_is_read_elsewhere_stays() {
    assert_snapshot!(show("g (f32[N,4] x) => (f32[N,4] y, f32[N,4] cache, f32[N,4] z) {
        f32[4,4] w #1
        f32[4,4] v #1
        cache = MatMul(x, w)
        b = MatMul(cache, v)
        y = Add(x, b)
        c = MatMul(x, w)
        s = Add(x, c)
        z = Mul(s, c)
    }"), @r"
    y: no, `cache` in the branch is read by `cache` outside it too
    s: no, `c` in the branch is read by `z` outside it too
    ");
}

#[test]
fn what_is_no_branch_is_none() {
    assert_snapshot!(show("g (f32[N,4,8,8] x, f32[N,4,8,8] other, f32[N,4] t, i64[N] n) => (f32[N,8,4,4] y, f32[N,4,8,8] z, f32[N,4] u, f32[N,4,8,8] p, i64[N] m) {
        f32[8,4,1,1] w #5
        f32[8,4,1,1] v #5
        f32[4,4,1,1] c #4
        f32[4,4] d #1
        f32[4] b #3
        f32[] k = {0.04}
        f32[] three = {3.0}
        i64[] two = {2}
        a = Conv<strides=[2,2]>(x, w)
        shortcut = Conv<strides=[2,2]>(x, v)
        y = Add(a, shortcut)
        z = Add(x, other)
        cube = Pow(t, three)
        small = Mul(cube, k)
        written = Add(t, small)
        dense = MatMul(written, d)
        u = Add(dense, b)
        pool = GlobalAveragePool(other)
        pc = Conv(pool, c)
        full = Conv(other, c)
        wide = Mul(full, pc)
        p = Add(pool, wide)
        nn = Mul(n, two)
        m = Add(n, nn)
    }"), @r"
    y: no, neither operand is made from the other, so nothing bypasses a branch
    z: no, neither operand is made from the other, so nothing bypasses a branch
    written: no, the branch maps single elements, without weights or products of matrices
    p: no, its result is f32[N, 4, 8, 8], but what bypasses it is f32[N, 4, 1, 1]
    ");
}

#[test]
fn a_difference_is_bypassed_on_one_side() {
    assert_snapshot!(show("g (f32[N,4] x) => (f32[N,4] y, f32[N,4] z) {
        f32[4,4] w #1
        a = MatMul(x, w)
        y = Sub(x, a)
        b = MatMul(y, w)
        z = Sub(b, y)
    }"), @"y: x → a by a, with a y");
}

/// Two layers, of which the second changes more.
const TWO: &str = "g (f32[N,4] x) => (f32[N,4] y) {
    f32[4,4] w1 #1
    f32[4,4] w2 #2
    h = Relu(x)
    a = MatMul(h, w1)
    s = Add(h, a)
    b = MatMul(s, w2)
    y = Add(b, s)
}";

#[test]
fn larger_weights_change_more() {
    let model = model(TWO);
    let layers = find(&model, &infer(&model)).layers;
    let scores = score(&model, &layers, None, &Setup::default()).unwrap();
    assert!(scores[0] > 0.0 && (scores[1] / scores[0] - 2.0).abs() < 1e-6, "{scores:?}");
}

#[test]
fn a_branch_of_zeros_changes_nothing() {
    let mut model = model(TWO);
    let zeroed = model.graph.constants()[0];
    let constant = model.graph.constant_mut(zeroed).unwrap();
    constant.tensor = constant.tensor.zeroed(0, &[0, 1, 2, 3]).unwrap();
    let layers = find(&model, &infer(&model)).layers;
    assert_eq!(score(&model, &layers, None, &Setup::default()).unwrap()[0], 0.0);
}

fn numbered(text: &str) -> Model {
    let mut model = model(text);
    for (i, node) in model.graph.calls().into_iter().enumerate() {
        model.graph.set_origin(node, i as u32);
    }
    model
}

#[test]
fn the_reference_has_zero_in_the_branchs_place() {
    let cut = LayerCut { node: 4, slot: 0, name: String::new(), score: None, places: vec![] };
    let model = silenced(&numbered(TWO), &[cut]);
    let last = |graph: &Graph| ir::print_line(graph, graph.calls()[4]).trim().to_owned();
    assert_snapshot!(last(&model.graph), @"y = Add(zero_0, s)");
    assert!(ir::verify(&model).is_empty());
}

#[test]
fn a_plans_layers_must_be_there() {
    let analysis = Analysis::new(numbered(TWO));
    let cut = |node, slot| LayerCut { node, slot, name: "y".into(), score: None, places: vec![] };
    let error = |cuts: &[LayerCut]| resolve(&analysis, cuts).err().map_or_else(String::new, |e| e.to_string());
    assert_eq!(resolve(&analysis, &[cut(4, 0), cut(2, 1)]).unwrap().len(), 2);
    assert_snapshot!(error(&[cut(4, 1)]), @"the plan removes the layer that ends at node 4 (`y`), and the model has no such layer");
    assert_snapshot!(error(&[cut(77, 1)]), @"the plan removes the layer that ends at node 77 (`y`), and the model has no such layer");
    assert_snapshot!(error(&[cut(4, 0), cut(4, 0)]), @"the plan removes the layer that ends at node 4 (`y`) twice, or from within another one");
}
