//! `eval` judges as anybody could by hand, from samples of every kind, and says what is wrong with them.

use crate::bad_input::fails;
use crate::{Folder, fixture, json, load, prune, secateur, stdout, text};
use image::{GrayImage, Luma};
use ndarray::{Array1, Array2, Array3, Array4};
use ndarray_npy::{NpzWriter, write_npy};
use secateur::feed::{Feed, labels};
use secateur::ir::parse;
use secateur::verify;
use std::fs::{self, File};

const BATCH: usize = 50;

/// How many of the first 200 images a net reads, counted without `secateur::judge`.
fn right(net: &str) -> usize {
    let (model, images) = (load(net), fixture("digits_test.npz"));
    let feeds = Feed::from_npz(images.as_ref(), &verify::input_specs(&model).unwrap(), Some(BATCH)).unwrap();
    let (labels, runner) =
        (labels(images.as_ref()).unwrap(), verify::runner(&model, verify::Role::Alone, &feeds[0]).unwrap());
    let logits = feeds[..4].iter().flat_map(|f| runner.run(f).unwrap()[0].1.to_f64().unwrap()).collect::<Vec<_>>();
    let is_right = |(row, label): (&[f64], &i64)| row.iter().all(|&x| x <= row[*label as usize]);
    logits.chunks(10).zip(&labels).filter(|&(row, label)| is_right((row, label))).count()
}

#[test]
fn accuracy_is_what_a_count_by_hand_gives() {
    let (folder, net, images) = (Folder::new(), fixture("digits_vgg"), fixture("digits_test.npz"));
    let (small, _) = prune(&folder, &net, "small.onnx", &["--ratio", "0.5"]);
    let args = ["eval", &net, &small, "--inputs", &images, "--labels", &images, "--samples", "200"];
    let found = json(&[&args[..], &["--json"]].concat(), 0);
    for (i, path) in [&net, &small].into_iter().enumerate() {
        assert_eq!(found[i]["accuracy"], right(path) as f64 / 200.0);
    }
    let accuracy = |i: usize| found[i]["accuracy"].as_f64().unwrap();
    assert_eq!(found[1]["change"]["accuracy"].as_f64().unwrap(), accuracy(1) - accuracy(0));
    assert!(found[0]["change"].is_null() && found[0]["top5"].as_f64().unwrap() > 0.99);
    let confused: u64 = found[1]["confusion"].as_array().unwrap().iter().map(|c| c[2].as_u64().unwrap()).sum();
    assert_eq!(confused, 200);
    assert!(stdout(&args, 0).lines().next().unwrap().contains("change"));
}

#[test]
fn batches_do_not_matter_and_one_model_is_told_in_full() {
    let (net, images) = (fixture("digits_mlp"), fixture("digits_test.npz"));
    let args = ["eval", &net, "--inputs", &images, "--labels", &images, "--samples", "60"];
    let with = |batch: &str| json(&[&args[..], &["--batch", batch, "--json"]].concat(), 0);
    assert_eq!(with("7"), with("60"));
    let many = ["eval", &net, "--inputs", &images, "--labels", &images, "--samples", "200", "--folds", "4", "--json"];
    let found = json(&many, 0);
    assert!(found[0]["spread"][0]["name"] == "accuracy" && found[0]["spread"][0]["deviation"].as_f64().unwrap() > 0.0);
    // All parts are of one size.
    let (mean, whole) = (found[0]["spread"][0]["mean"].as_f64().unwrap(), found[0]["accuracy"].as_f64().unwrap());
    assert!((mean - whole).abs() < 1e-9, "{found}");
    let shown = stdout(&[&args[..], &["--folds", "4"]].concat(), 0);
    for part in [
        "on 60 samples",
        "over the folds",
        "±",
        "accuracy",
        "top5",
        "precision",
        "rows are labels, columns are predictions",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
}

/// Images of one brightness each: in sub-folders 0 and 9, eight pixels high.
fn digits(folder: &Folder) -> String {
    for (name, brightness) in [("images/0/a.png", 0), ("images/9/b.png", 255), ("images/9/c.png", 128)] {
        let path = folder.path(name);
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        GrayImage::from_pixel(12, 8, Luma([brightness])).save(path).unwrap();
    }
    folder.path("images")
}

#[test]
fn images_are_read_like_arrays_of_the_same_numbers() {
    let folder = Folder::new();
    let (net, images) = (fixture("digits_mlp"), digits(&folder));
    let (array, labels) = (folder.path("x.npy"), folder.path("labels.csv"));
    let pixel = |i: usize| [0.0, 255.0, 128.0f32][i] / 255.0 * 2.0 - 1.0;
    write_npy(&array, &Array4::from_shape_fn((3, 1, 8, 8), |(i, ..)| pixel(i))).unwrap();
    fs::write(&labels, "0\n1\n1\n").unwrap();
    let text = "mean=0.5 std=0.5";
    let by_folder = json(&["eval", &net, "--inputs", &images, "--preprocess", text, "--json"], 0);
    assert_eq!(by_folder, json(&["eval", &net, "--inputs", &array, "--labels", &labels, "--json"], 0));
    secateur(&["verify", &net, &net, "--inputs", &images, "--preprocess", text]).code(0);
    secateur(&["bench", &net, "--inputs", "random:3", "--repeats", "1"]).code(0);
    fs::write(&labels, "file,label\n0/a.png,0\n9/b.png,1\n9/c.png,1\n").unwrap();
    let named = ["eval", &net, "--inputs", &images, "--labels", &labels, "--preprocess", text, "--json"];
    assert_eq!(by_folder, json(&named, 0));
}

/// A model from text, written to the folder.
fn model(folder: &Folder, text: &str) -> String {
    let model = parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let path = folder.path("model.onnx");
    fs::write(&path, secateur::onnx::to_bytes(&model).unwrap()).unwrap();
    path
}

const HEAD: &str = "<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>\n";

#[test]
fn regression_and_perplexity() {
    let folder = Folder::new();
    let twice = format!("{HEAD}net (f32[n,1] x) => (f32[n,1] y, f32[n,1] z)\n{{\n  y = Add(x, x)\n  z = Neg(x)\n}}\n");
    let (net, data) = (model(&folder, &twice), folder.path("data.npz"));
    let mut npz = NpzWriter::new(File::create(&data).unwrap());
    npz.add_array("x", &Array2::from_shape_fn((4, 1), |(i, _)| i as f32)).unwrap();
    npz.add_array("targets", &Array1::from_vec(vec![0.0f32, 2.0, 4.0, 8.0])).unwrap();
    npz.finish().unwrap();
    let args = ["eval", &net, "--inputs", &data, "--labels", &data, "--task", "regression", "--json"];
    let found = json(&args, 0);
    assert_eq!((&found[0]["mse"], &found[0]["rmse"], &found[0]["mae"]), (&1.0.into(), &1.0.into(), &0.5.into()));
    let other = json(&[&args[..], &["--output", "z"]].concat(), 0);
    assert!(other[0]["r2"].as_f64().unwrap() < 0.0);
    fails(&folder, 1, &["no output \"w\"", "\"y\", \"z\""], &[&args[..], &["--output", "w"]].concat());

    let scores = format!("{HEAD}net (f32[n,s,3] x) => (f32[n,s,3] y)\n{{\n  y = Identity(x)\n}}\n");
    let (net, inputs, next) = (model(&folder, &scores), folder.path("x.npy"), folder.path("next.npy"));
    write_npy(&inputs, &Array3::<f32>::zeros((2, 4, 3))).unwrap();
    write_npy(&next, &Array2::from_shape_fn((2, 4), |(_, t)| [0i64, 1, 2, -100][t])).unwrap();
    let args = ["eval", &net, "--inputs", &inputs, "--task", "perplexity", "--json"];
    let found = json(&[&args[..], &["--labels", &next]].concat(), 0);
    assert!((found[0]["perplexity"].as_f64().unwrap() - 3.0).abs() < 1e-9);
    assert_eq!((&found[0]["tokens"], &found[0]["accuracy"]), (&6.into(), &(1.0 / 3.0).into()));
    fails(&folder, 1, &["which input holds the tokens"], &args);
}

#[test]
fn prune_and_verify_tell_how_good_both_models_are() {
    let (folder, net, images) = (Folder::new(), fixture("digits_mlp"), fixture("digits_test.npz"));
    let (small, labels) = (folder.path("small.onnx"), ["--inputs", &images, "--labels", &images]);
    let report = json(&[&["prune", &net, "-o", &small, "--json", "--repeats", "0"], &labels[..]].concat(), 0);
    let judged = json(&[&["eval", &net, &small, "--json"], &labels[..]].concat(), 0);
    for (i, key) in ["before", "after"].into_iter().enumerate() {
        assert_eq!(report["metrics"][key]["accuracy"], judged[i]["accuracy"]);
        assert_eq!(report["metrics"][key]["samples"], 500);
    }
    assert_eq!(report["metrics"]["change"], judged[1]["change"]);
    let shown = text(&secateur(&[&["verify", &net, &small], &labels[..]].concat()).code(4).get_output().stdout);
    assert!(shown.contains("metrics (500 samples)") && shown.contains("accuracy"), "{shown}");
    let verified = json(&[&["verify", &net, &net, "--json"], &labels[..]].concat(), 0);
    assert_eq!(verified["metrics"]["change"]["accuracy"], 0.0);
    fails(&folder, 2, &["--inputs"], &["verify", &net, &net, "--labels", &images]);
    secateur(&["prune", &net, "-o", &small, "--labels", &images]).code(2);
}

#[test]
fn what_can_not_be_judged_is_told() {
    let folder = Folder::new();
    let (net, images, labels) = (fixture("digits_mlp"), fixture("digits_test.npz"), folder.path("labels.npy"));
    write_npy(&labels, &Array1::from_vec(vec![10i64; 500])).unwrap();
    let fails = |code: i32, words: &[&str], more: &[&str]| {
        fails(&folder, code, words, &[&["eval", &net, "--inputs"], more].concat());
    };
    fails(2, &["no labels", "hint", "--labels"], &[&images]);
    fails(1, &["logits", "label 10 is not one of the 10 classes, 0 to 9"], &[&images, "--labels", &labels]);
    fails(1, &["no array \"labels\"", "\"input\""], &[&images, "--labels", &fixture("digits_calib.npz")]);
    write_npy(&labels, &Array1::from_vec(vec![1i64; 7])).unwrap();
    fails(1, &["7 labels for 500 samples"], &[&images, "--labels", &labels]);
    fails(1, &["labels.txt", "neither a .npy, .npz nor .csv"], &[&images, "--labels", "labels.txt"]);
    fails(1, &["no scores of tokens"], &[&images, "--labels", &images, "--task", "perplexity"]);
    fails(1, &["no array \"targets\""], &[&images, "--labels", &images, "--task", "regression"]);
    fails(1, &["nothing to preprocess"], &[&images, "--labels", &images, "--preprocess", "size=8"]);
    for (spec, words) in [
        ("random:0", "random:64"),
        ("random:abc", "random:64"),
        ("nowhere.npz", "No such file"),
        ("nowhere", "neither a .npz"),
    ] {
        fails(1, &[spec, words], &[spec, "--labels", &labels]);
    }
}

#[test]
fn folders_that_hold_no_samples_are_told() {
    let folder = Folder::new();
    let (net, images) = (fixture("digits_mlp"), digits(&folder));
    let fails = |words: &[&str], more: &[&str]| {
        fails(&folder, 1, words, &[&["eval", &net, "--inputs"], more].concat());
    };
    fs::create_dir(folder.path("empty")).unwrap();
    fails(&["empty has no PNG or JPEG images"], &[&folder.path("empty")]);
    fails(&["resize=7 is less than the size 8x8"], &[&images, "--preprocess", "resize=7"]);
    fails(&["not of 3 channels"], &[&images, "--preprocess", "channels=rgb"]);
    fails(&["\"sise\" is not one of"], &[&images, "--preprocess", "sise=7"]);
    fs::write(folder.path("images/9/d.png"), "no image").unwrap();
    fails(&["d.png"], &[&images]);
    fs::write(folder.path("images/e.gif"), "").unwrap();
    fails(&["e.gif: only PNG and JPEG images are read"], &[&images]);
}
