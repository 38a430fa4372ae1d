//! Sizes that the model leaves open: found, or given.

use crate::{Folder, json, secateur};
use predicates::prelude::*;
use secateur::ir::{self, DType, Tensor};

/// Sound in windows of 64, of which a file says no size.
fn sound(folder: &Folder) -> String {
    let text = "g (f32[?0,?1] x) => (f32[a,8,b] y) {
        f32[16,1,64] k #0
        f32[8,16,1] l #1
        i64[1] one = {1}
        u = Unsqueeze(x, one)
        c = Conv<strides=[32]>(u, k)
        r = Relu(c)
        y = Conv(r, l)
    }";
    let tensor = |shape: [usize; 3]| {
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 101) as f64 / 100.0).collect();
        Tensor::from_f64(DType::F32, shape.to_vec(), &numbers)
    };
    let model = ir::parse(text, &|n| tensor(if n == 0 { [16, 1, 64] } else { [8, 16, 1] })).unwrap();
    let path = folder.path("in.onnx");
    secateur::onnx::save(&model, path.as_ref(), &Default::default()).unwrap();
    path
}

#[test]
fn what_is_made_up_is_long_enough() {
    let folder = Folder::new();
    let (input, output) = (sound(&folder), folder.path("o.onnx"));
    let args = ["prune", &input, "-o", &output, "--macs", "60%", "--json"];
    let report = json(&args, 0);
    assert_eq!(report["verification"]["status"], "ran");
    assert_eq!(report["before"]["macs"], 16 * 64 + 8 * 16);
    json(&["prune", &input, "-o", &output, "--ratio", "50%", "--calib", "random:8", "--json"], 0);
}

#[test]
fn sizes_are_given_by_axis_and_by_shape() {
    let folder = Folder::new();
    let input = sound(&folder);
    let macs = |option: &str, value: &str| {
        json(&["inspect", &input, "--json", option, value], 0)["total"]["macs"].as_u64().unwrap()
    };
    let once = 16 * 64 + 8 * 16;
    assert_eq!(macs("--dim", "x[1]=96"), 2 * once);
    assert_eq!(macs("--shape", "x=3,96"), 6 * once);
    let wrong = |option: &str, value: &str, told: &str| {
        let told = predicate::str::contains(told.to_owned());
        secateur(&["inspect", &input, option, value]).code(2).stderr(told);
    };
    wrong("--dim", "x[2]=96", "no open dimension `x[2]`; open are x[0]");
    wrong("--shape", "x=1,2,3", "the input `x` has 2 axes, but 3 are given");
    wrong("--batch-axis", "x=2", "the input `x` has 2 axes, so it has no axis 2");
    wrong("--batch-axis", "y=0", "the model has no input `y`; it has `x`");
}

fn written(folder: &Folder, text: &str, shapes: &[&[usize]]) -> String {
    crate::inexact::write(folder, text, shapes)
}

/// Windows of an image of unknown size: how many there are is a quotient of its lengths.
#[test]
fn shapes_of_quotients_are_computed_again() {
    let text = "g (f32[1,3,h,w] x) => (f32[m,4,4,5] y) {
        f32[16,3,1,1] k #1
        c = Conv(x, k)
        r = Relu(c)
        s = Shape(r)
        i64[1] at_h = {2}
        i64[1] at_w = {3}
        h = Gather(s, at_h)
        w = Gather(s, at_w)
        i64[1] four = {4}
        down = Div(h, four)
        across = Div(w, four)
        i64[1] one = {1}
        i64[1] channels = {16}
        to = Concat<axis=0>(one, channels, down, four, across, four)
        q = Reshape(r, to)
        t = Transpose<perm=[0, 2, 4, 3, 5, 1]>(q)
        i64[4] flat = {-1, 4, 4, 16}
        windows = Reshape(t, flat)
        f32[16,5] v #2
        y = MatMul(windows, v)
    }";
    let folder = Folder::new();
    let input = written(&folder, text, &[&[16, 3, 1, 1], &[16, 5]]);
    let report = json(&["prune", &input, "-o", &folder.path("o.onnx"), "--ratio", "50%", "--json"], 0);
    assert_eq!(report["groups"].as_array().unwrap().len(), 1);
    assert_eq!(report["verification"]["equal"], true);
}

/// Sizes that go through floats are unknown before the run; the others beside them are not.
#[test]
fn unknown_sizes_stay_beside_those_that_a_cut_changes() {
    let text = "g (f32[n,3,h,w] x) => (f32[n,4,u,v] y) {
        f32[16,3,1,1] k #1
        c = Conv(x, k)
        r = Relu(c)
        s = Shape(r)
        i64[1] zero = {0}
        i64[1] two = {2}
        i64[1] four = {4}
        outer = Slice(s, zero, two)
        inner = Slice(s, two, four)
        f32[] by = {1.5}
        f = Cast<to=1>(inner)
        m = Mul(f, by)
        l = Floor(m)
        i = Cast<to=7>(l)
        to = Concat<axis=0>(outer, i)
        z = Resize<mode=\"nearest\">(r, _, _, to)
        f32[4,16,1,1] v #2
        y = Conv(z, v)
    }";
    let folder = Folder::new();
    let input = written(&folder, text, &[&[16, 3, 1, 1], &[4, 16, 1, 1]]);
    let report = json(&["prune", &input, "-o", &folder.path("o.onnx"), "--ratio", "50%", "--json"], 0);
    assert_eq!(report["groups"].as_array().unwrap().len(), 1);
    assert_eq!(report["verification"]["equal"], true);
}

/// What a loop goes through has lengths that the solver knows by another name than the file.
#[test]
fn open_lengths_count_alike_before_a_cut_and_after() {
    let text = "g (f32[t,n,12] x) => (f32[t,n,5] y) {
        f32[12,16] wi #1
        f32[16,16] wh #2
        f32[16,5] wy #3
        i64[1] one = {1}
        i64[1] two = {2}
        i64[1] width = {16}
        xs = Shape(x)
        nb = Slice(xs, one, two)
        ss = Concat<axis=0>(nb, width)
        s0 = ConstantOfShape(ss)
        sn, ys = Scan<
            body=b (f32[n,16] s, f32[n,12] xi) => (f32[n,16] so, f32[n,16] yo) {
                b1 = MatMul(xi, wi)
                b2 = MatMul(s, wh)
                b3 = Add(b1, b2)
                so = Relu(b3)
                yo = Identity(so)
            },
            num_scan_inputs=1
        >(s0, x)
        y = MatMul(ys, wy)
    }";
    let folder = Folder::new();
    let input = written(&folder, text, &[&[12, 16], &[16, 16], &[16, 5]]);
    let report = json(&["prune", &input, "-o", &folder.path("o.onnx"), "--macs", "60%", "--json"], 0);
    let macs = |which: &str| report[which]["macs"].as_f64().unwrap();
    assert!(macs("after") <= 0.6 * macs("before") && macs("after") > 0.4 * macs("before"));
}
