//! Weights at zero: how many, in what pattern, what they cost, and the proof.

use crate::accuracy::accuracy;
use crate::{Folder, NETS, ODD, fixture, json, load, prune, read, secateur, stdout, text};
use secateur::ir::Model;
use serde_json::Value;

/// How many numbers of all floating-point constants are zero.
fn zeros(model: &Model) -> u64 {
    let graph = &model.graph;
    let constants = graph.constants().into_iter().filter_map(|n| graph.constant(n));
    let floats = constants.filter(|c| c.tensor.dtype.is_float() && c.tensor.shape.len() > 1);
    floats.map(|c| c.tensor.to_f64().unwrap().iter().filter(|x| **x == 0.0).count() as u64).sum()
}

/// Prunes with verification; the output's path and the report.
fn verified(folder: &Folder, input: &str, options: &[&str]) -> (String, Value) {
    let output = folder.path("sparse.onnx");
    let report = json(&[&["prune", input, "-o", &output, "--json", "--repeats", "0"], options].concat(), 0);
    assert!(
        report["verification"]["equal"] == true || report["verification"]["status"] == "unable",
        "{input} {options:?}"
    );
    (output, report)
}

// Measured on all 500 images, with 256 samples, magnitude / wanda / sparsegpt. At 50 %: digits_mlp 0.984 / 0.986 /
// 0.986 of 0.986, digits_resnet 0.996 / 0.996 / 0.996 of 0.996. At 70 %: digits_resnet 0.868 / 0.580 / 0.992, and with
// the scope `global` 0.990 / 0.982 / 0.996.
#[test]
fn half_of_the_weights_are_hardly_missed() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    for net in ["digits_mlp", "digits_resnet"] {
        for method in ["magnitude", "wanda", "sparsegpt"] {
            let options = ["--sparsity", "50%", "--sparsity-method", method, "--calib", &calib, "--samples", "64"];
            let (output, report) = prune(&folder, &fixture(net), "o.onnx", &options);
            assert!(accuracy(&load(&output)) >= 0.97, "{net} {method}");
            let sparsity = &report["sparsity"];
            assert!((sparsity["density"].as_f64().unwrap() - 0.5).abs() < 1e-3, "{sparsity}");
            assert_eq!(sparsity["layers"][0]["method"], method);
            // Folding a batch normalization scales weights; zeros stay zeros.
            assert_eq!(zeros(&load(&output)), sparsity["zeros"].as_u64().unwrap(), "{net} {method}");
        }
    }
}

// 0.4 % of the images less at 70 %; by size alone it is 13 %.
#[test]
fn refitting_and_one_line_for_all_save_a_lot() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    let options = ["--sparsity", "70%", "--sparsity-scope", "global", "--calib", &calib, "--samples", "128"];
    let (output, report) = prune(&folder, &fixture("digits_resnet"), "o.onnx", &options);
    assert!(accuracy(&load(output)) >= 0.97);
    assert!((report["sparsity"]["density"].as_f64().unwrap() - 0.3).abs() < 1e-3);
}

#[test]
fn two_of_four_along_the_sum() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    for options in [&["--nm", "2:4"][..], &["--nm", "2:4", "--calib", &calib, "--samples", "32"]] {
        let (output, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", options);
        let model = load(output);
        for layer in report["sparsity"]["layers"].as_array().unwrap() {
            let name = layer["tensor"].as_str().unwrap();
            let tensor = model.graph.tensor(model.graph.values_by_name()[name]).unwrap();
            // Outputs by inputs: rows are sums.
            for four in tensor.to_f64().unwrap().chunks(4) {
                assert!(four.iter().filter(|x| **x == 0.0).count() >= 2, "{name} {four:?}");
            }
        }
    }
}

#[test]
fn zeros_are_proved_against_the_file_with_the_same_zeros() {
    let folder = Folder::new();
    for name in NETS.iter().chain(&ODD) {
        let input = fixture(name);
        let (output, report) = verified(&folder, &input, &["--sparsity", "40%"]);
        assert_eq!(report["sparsity"]["proved"], true, "{name}");
        assert!(report["groups"].as_array().unwrap().is_empty());
        assert!(load(output).graph.len() > 1);
    }
    // After a cut, too; the reference is a model of its own.
    for name in ["digits_resnet", "digits_shuffle", "odd/shared_bias", "odd/concat_split"] {
        let (input, reference) = (fixture(name), folder.path("reference.onnx"));
        let options = ["--ratio", "0.5", "--nm", "1:2", "--no-compensate", "--reference", &reference];
        let (output, report) = verified(&folder, &input, &options);
        assert_eq!(report["sparsity"]["proved"], true, "{name}");
        stdout(&["verify", &reference, &output], 0);
        stdout(&["verify", &input, &output], 4);
    }
}

#[test]
fn refitted_weights_are_no_zeros_of_the_file() {
    let folder = Folder::new();
    let calib = fixture("digits_calib.npz");
    let (input, output) = (fixture("digits_resnet"), folder.path("o.onnx"));
    let args = ["prune", &input, "-o", &output, "--repeats", "0", "--sparsity", "0.5", "--calib", &calib];
    let shown = stdout(&[&args[..], &["--samples", "32"]].concat(), 0);
    assert!(shown.contains("the equivalence below is that of the model before its weights were refitted"), "{shown}");
    let report = verified(&folder, &input, &["--sparsity", "0.5", "--calib", &calib, "--samples", "32"]).1;
    assert_eq!(report["sparsity"]["proved"], false);
    let drift = report["verification"]["drift"]["outputs"][0]["relative_l2"].as_f64().unwrap();
    assert!(drift > 0.01 && drift < 0.5, "{drift}");
    let signed = json(&["inspect", &output, "--json"], 0).to_string();
    assert!(load(&output).metadata.iter().any(|(_, v)| v.contains("sparsify{ratio=0.5 scope=layer method=sparsegpt}")));
    assert!(!signed.is_empty());
}

#[test]
fn mostly_zeros_are_written_sparse() {
    let folder = Folder::new();
    let sparse = ["--sparsity", "80%", "--sparse-initializers"];
    let (output, _) = prune(&folder, &fixture("digits_mlp"), "sparse.onnx", &sparse);
    let (dense, _) = prune(&folder, &fixture("digits_mlp"), "dense.onnx", &["--sparsity", "80%"]);
    assert!((read(&output).len() as f64) < 0.7 * read(&dense).len() as f64);
    // It loads, and what is sparse stays as it is.
    let shown = stdout(&["print", &output], 0);
    assert_eq!(shown.matches("@sparse").count(), 3, "{shown}");
    let again = folder.path("again.onnx");
    stdout(&["opt", &output, "-o", &again, "--passes", ""], 0);
    assert!(read(&again) == read(&output));
    // It computes the same, and can be cut; what is left has as many zeros, and is sparse.
    json(&["verify", &dense, &output, "--json"], 0);
    let cut = folder.path("cut.onnx");
    let report = json(&["prune", &output, "-o", &cut, "--criterion", "random", "--json", "--repeats", "0"], 0);
    assert_eq!(report["verification"]["equal"], true);
    assert_eq!(stdout(&["print", &cut], 0).matches("@sparse").count(), 3);
}

#[cfg(feature = "gradients")]
#[test]
fn what_is_written_sparse_is_trained() {
    let folder = Folder::new();
    let sparse = ["--sparsity", "80%", "--sparse-initializers"];
    let (input, _) = prune(&folder, &fixture("digits_mlp"), "sparse.onnx", &sparse);
    let (data, output) = (fixture("digits_test.npz"), folder.path("tuned.onnx"));
    let tune = |options: &[&str]| {
        let usual = ["--data", &data, "--labels", &data, "--samples", "60", "--epochs", "1", "--hold-out", "2"];
        json(&[&["tune", &input, "-o", &output, "--json"], &usual[..], options].concat(), 0)
    };
    let report = tune(&["--keep-sparsity"]);
    assert!(report["held_out"][1].as_f64() < report["held_out"][0].as_f64(), "{report}");
    assert_eq!(zeros(&load(&output)), zeros(&load(&input)));
    assert_eq!(stdout(&["print", &output], 0).matches("@sparse").count(), 3);
    // Those that need not stay zero do not, and then nothing is sparse.
    tune(&[]);
    assert!(zeros(&load(&output)) < zeros(&load(&input)) / 2);
    assert_eq!(stdout(&["print", &output], 0).matches("@sparse").count(), 0);
    // What gradients say is known of them too.
    let by = ["--ratio", "0.3", "--criterion", "taylor", "--calib", &data, "--calib-samples", "20", "--overwrite"];
    json(&[&["prune", &input, "-o", &output, "--json"], &by[..]].concat(), 0);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let input = fixture("digits_mlp");
    let refused = |options: &[&str], why: &str| {
        let assert = secateur(&[&["prune", &input, "-o", "o.onnx"], options].concat()).code(2);
        let stderr = text(&assert.get_output().stderr);
        assert!(stderr.contains(why), "{stderr}");
    };
    refused(&["--sparsity", "50%", "--nm", "2:4"], "cannot be used with");
    refused(&["--nm", "4:4"], "4 of 4");
    refused(&["--nm", "two"], "such as 2:4");
    refused(&["--sparsity", "0.5", "--sparsity-method", "wanda"], "--calib");
    refused(&["--sparsity", "0.5", "--sparsity-scope", "all"], "row, layer, global");
}
