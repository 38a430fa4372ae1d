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
    secateur::save::save(&model, path.as_ref(), &Default::default()).unwrap();
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
    wrong("--batch-axis", "y=0", "the model has no input `y`; it has `x`");
}
