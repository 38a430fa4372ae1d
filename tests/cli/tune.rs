//! Training on the file: what it learns, what it leaves alone, and that a training that was killed is no other one.

use crate::{Folder, fixture, json, load, prune, read, secateur, text};
use secateur::ir::{DType, Model, Tensor, parse};
use secateur::onnx;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DATA: &str = "digits_test.npz";

/// A net of a convolution, a normalization and a linear layer. One vector is bias, scale and shift.
fn net(batch: &str, flat: &str) -> Model {
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]>
        net (f32[{batch},1,8,8] input) => (f32[{batch},10] logits) {{
          f32[4,1,3,3] conv.weight #0000000000000001
          f32[4] shared #0000000000000002
          f32[4] bn.mean #0000000000000003
          f32[4] bn.var #0000000000000004
          f32[10,256] head.weight #0000000000000005
          i64[2] flat = {{{flat}, 256}}
          f32[10] head.bias #0000000000000006
          c = Conv<pads=[1,1,1,1]>(input, conv.weight, shared)
          n = BatchNormalization(c, shared, shared, bn.mean, bn.var)
          r = Relu(n)
          f = Reshape(r, flat)
          logits = Gemm<transB=1>(f, head.weight, head.bias)
        }}"
    );
    let tensor = |hash: u64| {
        let shape = [vec![4, 1, 3, 3], vec![4], vec![4], vec![4], vec![10, 256], vec![10]][hash as usize - 1].clone();
        let count: usize = shape.iter().product();
        let value = |i: usize| match hash {
            3 => 0.25,
            4 => 1.0,
            _ => ((i * 7 + hash as usize * 3) % 11) as f32 / 11.0 - 0.4,
        };
        Some(Tensor::from_f32(shape, &(0..count).map(value).collect::<Vec<_>>()))
    };
    parse(&text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn written(folder: &Folder, name: &str, model: &Model) -> String {
    let path = folder.path(name);
    std::fs::write(&path, onnx::to_bytes(model).unwrap()).unwrap();
    path
}

/// Tunes with these options; the output's path and what was told.
fn tune(folder: &Folder, model: &str, name: &str, options: &[&str]) -> (String, Value) {
    let output = folder.path(name);
    let report = json(&[&["tune", model, "-o", &output, "--json"], options].concat(), 0);
    (output, report)
}

/// The held-out loss before, and the lowest after.
fn losses(report: &Value) -> (f64, f64) {
    let losses: Vec<f64> = report["held_out"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
    (losses[0], losses[1..].iter().copied().fold(f64::INFINITY, f64::min))
}

/// The numbers of a constant.
fn numbers(path: impl AsRef<Path>, name: &str) -> Vec<f64> {
    let model = load(path);
    model.graph.tensor(model.graph.values_by_name()[name]).unwrap().to_f64().unwrap()
}

/// How a wrong use is refused: what, and what can be done.
fn refused(options: &[&str], code: i32, what: &str, hint: &str) {
    let assert = secateur(&[&["tune"], options].concat()).code(code);
    let stderr = text(&assert.get_output().stderr);
    assert!(stderr.contains(what) && stderr.contains(hint), "{options:?}: {stderr}");
}

#[test]
fn a_cut_model_learns_what_the_original_says() {
    let (folder, data) = (Folder::new(), fixture(DATA));
    let original = fixture("digits_mlp");
    let (small, _) = prune(&folder, &original, "small.onnx", &["--ratio", "0.7", "--criterion", "l2"]);
    let options = ["--teacher", &original, "--data", &data, "--epochs", "3", "--lr", "0.003"];
    let (taught, report) = tune(&folder, &small, "a.onnx", &options);
    let (before, after) = losses(&report);
    assert!(after < 0.5 * before, "{report}");
    let accuracy = |path: &str| {
        let judged = json(&["eval", path, "--inputs", &data, "--labels", &data, "--json"], 0);
        judged[0]["accuracy"].as_f64().unwrap()
    };
    assert!(accuracy(&taught) > accuracy(&small) + 0.01, "{report}");
    // With labels alone, and with both.
    for teacher in [&[][..], &["--teacher", &original, "--label-share", "0.3"]] {
        let options = ["--data", &data, "--labels", &data, "--epochs", "1", "--samples", "200"];
        let (_, report) = tune(&folder, &small, "b.onnx", &[&options[..], teacher].concat());
        let (before, after) = losses(&report);
        assert!(after < before, "{report}");
        assert_eq!(report["metric"].as_array().unwrap().len(), 2, "{report}");
    }
}

#[test]
fn a_training_that_was_killed_ends_as_one_that_was_not() {
    let (folder, data, net) = (Folder::new(), fixture(DATA), fixture("digits_mlp"));
    let options =
        ["--data", &data, "--labels", &data, "--samples", "60", "--batch", "4", "--epochs", "12", "--ema", "0.9"];
    let (whole, _) = tune(&folder, &net, "whole.onnx", &options);
    let (state, output) = (folder.path("state.npz"), folder.path("resumed.onnx"));
    let kept = ["--checkpoint", &state, "--checkpoint-every", "3"];
    let mut child = Command::new(crate::BINARY)
        .env(crate::TRACT.0, crate::TRACT.1)
        .args(["tune", &net, "-o", &output])
        .args(options)
        .args(kept)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !Path::new(&state).exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Path::new(&state).exists() && !Path::new(&output).exists(), "it was not killed in between");
    let others = [&["tune", &net, "-o", &output, "--lr", "0.1", "--resume"], &options[..], &kept].concat();
    refused(&others[1..], 1, "the checkpoint of another training", "leave out --resume");
    let (resumed, report) = tune(&folder, &net, "resumed.onnx", &[&options[..], &kept, &["--resume"]].concat());
    assert!(read(&whole) == read(&resumed));
    assert_eq!(report["held_out"].as_array().unwrap().len(), 13);
    // What is done needs no step more.
    let (again, _) = tune(&folder, &net, "again.onnx", &[&options[..], &kept, &["--resume"]].concat());
    assert!(read(&whole) == read(again));
}

#[test]
fn the_seed_decides() {
    let (folder, data, net) = (Folder::new(), fixture(DATA), fixture("digits_mlp"));
    let options = ["--data", &data, "--labels", &data, "--samples", "60", "--batch", "8", "--epochs", "1"];
    let outcome =
        |name: &str, seed: &str| read(tune(&folder, &net, name, &[&options[..], &["--seed", seed]].concat()).0);
    let first = outcome("a.onnx", "1");
    assert!(first == outcome("b.onnx", "1"));
    assert!(first != outcome("c.onnx", "2"));
    // The number of threads does not.
    let alone = folder.path("d.onnx");
    let args = [&["tune", &net, "-o", &alone, "--seed", "1"], &options[..]].concat();
    crate::binary().args(args).env("RAYON_NUM_THREADS", "1").output().unwrap();
    assert!(first == read(alone));
}

#[test]
fn zeros_stay_where_they_are_asked_to() {
    let (folder, data) = (Folder::new(), fixture(DATA));
    let (sparse, _) = prune(&folder, &fixture("digits_mlp"), "sparse.onnx", &["--sparsity", "50%"]);
    let zeros = |path: &str| {
        let model = load(path);
        let tensors = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n));
        tensors.map(|c| c.tensor.to_f64().map_or(0, |v| v.iter().filter(|x| **x == 0.0).count())).sum::<usize>()
    };
    let options = ["--data", &data, "--labels", &data, "--samples", "60", "--epochs", "1"];
    let (kept, _) = tune(&folder, &sparse, "kept.onnx", &[&options[..], &["--keep-sparsity"]].concat());
    let (free, _) = tune(&folder, &sparse, "free.onnx", &options);
    assert!(zeros(&sparse) > 30_000);
    assert_eq!(zeros(&kept), zeros(&sparse));
    assert!(zeros(&free) < zeros(&sparse) / 2);
}

#[test]
fn names_and_statistics_say_what_moves() {
    let (folder, data) = (Folder::new(), fixture(DATA));
    let net = written(&folder, "net.onnx", &net("batch", "-1"));
    let moved = |options: &[&str], name: &str| {
        let usual = ["--data", &data, "--labels", &data, "--samples", "60", "--epochs", "1", "--lr", "0.01"];
        let (tuned, _) = tune(&folder, &net, "tuned.onnx", &[&usual, options].concat());
        numbers(&tuned, name) != numbers(&net, name)
    };
    assert!(moved(&[], "conv.weight") && moved(&[], "shared") && !moved(&[], "bn.mean"));
    assert!(!moved(&["--freeze", "conv*"], "conv.weight") && moved(&["--freeze", "conv*"], "head.weight"));
    let two = ["--train", "conv*", "--train", "*.bias"];
    assert!(moved(&two, "conv.weight") && moved(&two, "head.bias") && !moved(&two, "head.weight"));
    let update = ["--statistics", "update"];
    assert!(moved(&update, "bn.mean") && moved(&update, "bn.var") && moved(&update, "shared"));
    let freeze = ["--statistics", "freeze"];
    assert!(!moved(&freeze, "bn.var") && !moved(&freeze, "shared") && moved(&freeze, "conv.weight"));
    // A vector that is used three times is one vector still.
    let tuned = load(folder.path("tuned.onnx"));
    let vectors = tuned.graph.constants().into_iter().filter_map(|n| tuned.graph.constant(n));
    assert_eq!(vectors.filter(|c| c.tensor.shape == [4]).count(), 3);
}

#[test]
fn a_model_for_one_sample_learns_from_many() {
    let (folder, data) = (Folder::new(), fixture(DATA));
    let (open, one) =
        (written(&folder, "open.onnx", &net("batch", "-1")), written(&folder, "one.onnx", &net("1", "1")));
    let options = ["--data", &data, "--labels", &data, "--samples", "60", "--batch", "9", "--epochs", "1"];
    let ((_, together), (tuned, singly)) =
        (tune(&folder, &open, "a.onnx", &options), tune(&folder, &one, "b.onnx", &options));
    assert_eq!(together["steps"], 6);
    assert_eq!(singly["steps"], 6);
    // A step goes along the same gradient, however it was summed up.
    for (a, b) in numbers(folder.path("a.onnx"), "head.weight").into_iter().zip(numbers(tuned, "head.weight")) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert!((losses(&together).1 - losses(&singly).1).abs() < 1e-3, "{together} {singly}");
}

#[test]
fn weights_of_16_bits_stay_so() {
    let (folder, data, net) = (Folder::new(), fixture(DATA), fixture("odd/fp16"));
    let options = ["--data", &data, "--labels", &data, "--samples", "40", "--epochs", "2", "--lr", "0.002"];
    let (tuned, _) = tune(&folder, &net, "tuned.onnx", &options);
    let halves = |path: &str| {
        let model = load(path);
        let all = model.graph.constants().into_iter().filter_map(|n| model.graph.constant(n).cloned());
        all.filter(|c| c.tensor.dtype == DType::F16).map(|c| c.tensor.to_f64().unwrap()).collect::<Vec<_>>()
    };
    assert!(!halves(&net).is_empty());
    assert_eq!(halves(&tuned).len(), halves(&net).len());
    assert!(halves(&tuned) != halves(&net), "nothing was learned");
}

#[test]
fn weights_of_bf16_stay_so() {
    let source = "g (f32[N,1,8,8] input) => (f32[N,10] logits) {
        bf16[64,10] w #0000000000000001
        f = Flatten(input)
        h = Cast<to=16>(f)
        m = MatMul(h, w)
        logits = Cast<to=1>(m)
    }";
    let weights: Vec<f64> = (0..640).map(|i| f64::from(i * 7 % 11) / 11.0 - 0.4).collect();
    let model = parse(source, &|_| Tensor::from_f64(DType::BF16, vec![64, 10], &weights)).unwrap();
    let (folder, data) = (Folder::new(), fixture(DATA));
    let net = written(&folder, "net.onnx", &model);
    let options = ["--data", &data, "--labels", &data, "--samples", "60", "--epochs", "2", "--lr", "0.01"];
    let (tuned, report) = tune(&folder, &net, "tuned.onnx", &options);
    assert!(losses(&report).1 < losses(&report).0, "{report}");
    let model = load(&tuned);
    assert_eq!(model.graph.tensor(model.graph.values_by_name()["w"]).unwrap().dtype, DType::BF16);
    assert!(numbers(&tuned, "w") != numbers(&net, "w"));
}

#[test]
fn whole_numbers_are_not_trained_and_that_is_told() {
    let (folder, data, quantized) = (Folder::new(), fixture(DATA), fixture("odd/int8_qdq"));
    let usual = ["--data", &data, "--labels", &data, "--samples", "60", "--epochs", "1", "--lr", "0.01"];
    let output = folder.path("out.onnx");
    // Its biases are whole numbers too: no scale may move.
    let all = [&[&*quantized, "-o", &output], &usual[..]].concat();
    refused(&all, 1, "all 3890 weights in 6 tensors are whole numbers", "quantize what comes out");
    let source = "g (f32[N,1,8,8] input) => (f32[N,10] logits) {
        i8[64,10] w #0000000000000001
        f32[10] s = {0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01}
        f32[10] b = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}
        f = Flatten(input)
        d = DequantizeLinear<axis=1>(w, s)
        logits = Gemm(f, d, b)
    }";
    let weights: Vec<u8> = (0..640).map(|i| (i * 7 % 256) as u8).collect();
    let model = parse(source, &|_| Tensor::new(DType::I8, vec![64, 10], weights.clone()).ok()).unwrap();
    let net = written(&folder, "net.onnx", &model);
    let assert = secateur(&[&["tune", &net, "-o", &output], &usual[..]].concat()).code(0);
    let stderr = text(&assert.get_output().stderr);
    assert!(stderr.contains("640 weights in 1 tensors are whole numbers (quantized), and are not trained"), "{stderr}");
    let moved = |name: &str| numbers(&output, name) != numbers(&net, name);
    assert!(!moved("w") && moved("s") && moved("b"));
}

#[test]
fn wrong_uses_are_told_with_what_to_do() {
    let folder = Folder::new();
    let (data, net, output) = (fixture(DATA), fixture("digits_mlp"), folder.path("out.onnx"));
    let usual = ["-o", &output, "--data", &data];
    let labelled = [&[&*net][..], &usual, &["--labels", &data, "--samples", "40", "--epochs", "1"]].concat();
    refused(&[&[&*net][..], &usual].concat(), 2, "nothing to learn from", "--teacher");
    refused(&[&labelled[..], &["--samples", "5"]].concat(), 2, "cannot be used multiple times", "");
    let few = [&[&*net][..], &usual, &["--labels", &data, "--samples", "5"]].concat();
    refused(&few, 1, "5 samples are too few", "--hold-out 2");
    refused(&[&labelled[..], &["--lr", "1e20", "--clip", "0"]].concat(), 1, "not a number after", "--lr");
    refused(&[&labelled[..], &["--freeze", "*"]].concat(), 1, "no weights that could be trained", "--freeze");
    let (calib, other) = (fixture("digits_calib.npz"), written(&folder, "other.onnx", &teacher_of_three()));
    refused(&[&[&*net][..], &usual, &["--teacher", &other]].concat(), 1, "the teacher's has [", "in the same order");
    refused(&[&*net, "-o", &output, "--data", &calib, "--labels", &data], 1, "500", "");
    for (name, operator) in
        [("odd/loop", r#"Loop "loop""#), ("odd/scan", r#"Scan "scan""#), ("odd/if_capture", "If \"")]
    {
        let (odd, random) = (fixture(name), "random:40");
        refused(
            &[&*odd, "-o", &output, "--data", random, "--teacher", &odd],
            1,
            operator,
            "export the model without it",
        );
        let assert = secateur(&["prune", &odd, "-o", &output, "--criterion", "synflow"]).code(1);
        let stderr = text(&assert.get_output().stderr);
        assert!(stderr.contains(operator) && stderr.contains("that needs no gradients"), "{stderr}");
    }
    let opaque = fixture("odd/opaque");
    let unknown = [&[&*opaque][..], &usual, &["--labels", &data]].concat();
    let assert = secateur(&[&["tune"], &unknown[..]].concat()).code(1);
    assert!(text(&assert.get_output().stderr).contains("Mystery"), "{:?}", text(&assert.get_output().stderr));
    refused(&[&*net, "-o", &net, "--data", &data, "--labels", &data], 1, "would be overwritten", "--overwrite");
    refused(
        &[&*net, "-o", &folder.path("no/out.onnx"), "--data", &data, "--labels", &data],
        1,
        "there is no folder",
        "",
    );
    let broken = folder.path("state");
    std::fs::write(&broken, "no archive").unwrap();
    let state = [&labelled[..], &["--resume", "--checkpoint", &broken]].concat();
    refused(&state, 1, "not a training checkpoint", "leave out --resume");
    refused(&[&labelled[..], &["--resume"]].concat(), 2, "--checkpoint", "");
    assert!(!Path::new(&output).exists());
}

/// A model of the same input, and another output.
fn teacher_of_three() -> Model {
    let text = "three (f32[batch,1,8,8] input) => (f32[batch,3] logits) {
        f32[64,3] w #0000000000000001
        f = Flatten(input)
        logits = MatMul(f, w)
    }";
    parse(text, &|_| Some(Tensor::from_f32(vec![64, 3], &[0.5; 192]))).unwrap()
}

#[test]
fn outputs_of_whole_numbers_are_not_learned() {
    let folder = Folder::new();
    let model = |outputs: &str| {
        let text = format!(
            "classes (f32[batch,1,8,8] input) => ({outputs}) {{
                f32[64,3] w #0000000000000001
                f = Flatten(input)
                logits = MatMul(f, w)
                class = ArgMax<axis=1, keepdims=0>(logits)
            }}"
        );
        let weights = (0..192).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect::<Vec<_>>();
        parse(&text, &|_| Some(Tensor::from_f32(vec![64, 3], &weights))).unwrap()
    };
    let both = written(&folder, "both.onnx", &model("i64[batch] class, f32[batch,3] logits"));
    let output = folder.path("out.onnx");
    secateur(&["tune", &both, "-o", &output, "--data", "random:40", "--teacher", &both, "--epochs", "1"]).code(0);
    let only = written(&folder, "only.onnx", &model("i64[batch] class"));
    let args = [&*only, "-o", &output, "--overwrite", "--data", "random:40", "--teacher", &only];
    refused(&args, 1, "no output of the model is made of floats", "with its scores as an output");
}

#[test]
fn labels_and_samples_that_can_not_be_learned_from() {
    let folder = Folder::new();
    let (data, net, output) = (fixture(DATA), fixture("digits_mlp"), folder.path("out.onnx"));
    let labels = folder.path("labels.csv");
    let with = |labels: &str| [&*net, "-o", &output, "--data", &data, "--labels", labels].map(str::to_owned);
    std::fs::write(&labels, "3\n".repeat(499) + "10\n").unwrap();
    let args = with(&labels);
    refused(&args.each_ref().map(|a| &**a), 1, "the label 10 is not one of the 10 classes", "numbered from 0");
    // Labels that do not count are none of the classes either, and that is fine.
    std::fs::write(&labels, "-100\n".repeat(100) + &"3\n".repeat(400)).unwrap();
    let args = with(&labels);
    secateur(&[&["tune", "--epochs", "1"], &args.each_ref().map(|a| &**a)[..]].concat()).code(0);
    let (strange, mut images) = (folder.path("infinite.npy"), ndarray::Array4::<f32>::zeros((40, 1, 8, 8)));
    images[[20, 0, 3, 3]] = f32::INFINITY;
    ndarray_npy::write_npy(&strange, &images).unwrap();
    let taught = [&*net, "-o", &output, "--overwrite", "--data", &strange, "--teacher", &net];
    refused(&taught, 1, "not finite numbers", "leave these samples out");
}

#[test]
fn next_tokens_need_no_labels() {
    let folder = Folder::new();
    let text = "gpt (i64[batch,length] tokens) => (f32[batch,length,16] logits) {
        f32[16,8] emb #0000000000000001
        f32[8,16] out #0000000000000002
        h = Gather(emb, tokens)
        logits = MatMul(h, out)
    }";
    let tensor = |hash| {
        let values: Vec<f32> = (0..128).map(|i| ((i * 13) % 17) as f32 / 17.0 - 0.5).collect();
        Some(Tensor::from_f32(if hash == 1 { vec![16, 8] } else { vec![8, 16] }, &values))
    };
    let gpt = written(&folder, "gpt.onnx", &parse(text, &tensor).unwrap());
    let (tokens, rows) = (folder.path("tokens.npy"), |(i, j)| ((i + 3 * j) % 16) as i64);
    ndarray_npy::write_npy(&tokens, &ndarray::Array2::from_shape_fn((40, 8), rows)).unwrap();
    let options = ["--data", &tokens, "--task", "perplexity", "--epochs", "20", "--batch", "4", "--lr", "0.02"];
    let (_, report) = tune(&folder, &gpt, "tuned.onnx", &options);
    assert!(report["metric"].as_array().unwrap().last().unwrap().as_f64().unwrap() > 0.9, "{report}");
}
