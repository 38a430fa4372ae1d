//! A pruned net still reads digits: a floor a few points under what was measured on all 500 images.

use crate::{Folder, fixture, load, prune};
use secateur::feed::{self, Labels, Samples};
use secateur::ir::Model;
use secateur::judge::{self, Task};
use secateur::oracle::Setup;
use secateur::verify;

const BATCH: usize = 50;

/// Images that are run: enough for a floor, few enough for a debug build.
const IMAGES: usize = 200;

pub(crate) fn accuracy(model: &Model) -> f64 {
    let images = fixture("digits_test.npz");
    let labels = Some(Labels { path: images.clone().into(), array: "labels".into() });
    let how = feed::Options { labels, limit: Some(IMAGES), ..feed::Options::default() };
    let samples = Samples::open(&images, &verify::input_specs(model).unwrap(), &how).unwrap();
    let options = judge::Options { task: Task::Classification, output: None, batch: BATCH, setup: Setup::default() };
    judge::evaluate(model, &samples, &options, &|_| ()).unwrap().figures()[0].value
}

/// By weights alone: what statistics without samples promise is no help to plain nets that say nothing of theirs.
fn keeps(net: &str, ratio: &str, floor: f64) {
    let folder = Folder::new();
    let before = accuracy(&load(fixture(net)));
    assert!(before >= 0.97, "{net}: {before}");
    let (output, _) = prune(&folder, &fixture(net), "o.onnx", &["--ratio", ratio, "--no-compensate"]);
    let after = accuracy(&load(output));
    assert!(after >= floor, "{net} at {ratio}: {after}");
}

// Measured with l2 on these images: 1.0, 1.0, 0.99.
#[test]
fn plain_nets_lose_30_percent() {
    keeps("digits_vgg", "0.3", 0.97);
    keeps("digits_vgg_dynamo", "0.3", 0.97);
    keeps("digits_mlp", "0.3", 0.96);
}

// Measured: 1.0, 0.995, 0.995.
#[test]
fn branching_nets_lose_20_percent() {
    keeps("digits_resnet", "0.2", 0.97);
    keeps("digits_mobilenet", "0.2", 0.96);
    keeps("digits_densenet", "0.2", 0.96);
}

// Measured: 0.99. Grouped convolutions have little to give.
#[test]
fn grouped_nets_lose_10_percent() {
    keeps("digits_shuffle", "0.1", 0.95);
}

// Measured: 0.99. Without the repair 0.3 are left.
#[test]
fn a_repaired_net_of_groups_loses_half_its_operations() {
    let folder = Folder::new();
    let samples = fixture("digits_calib.npz");
    let options = ["--macs", "50%", "--calib", &samples, "--samples", "128"];
    let (output, report) = prune(&folder, &fixture("digits_shuffle"), "o.onnx", &options);
    assert!(report["repaired"].as_array().unwrap().len() > 5, "{}", report["repaired"]);
    let after = accuracy(&load(output));
    assert!(after >= 0.9, "{after}");
}

// Measured: 1.0. Without the repair 0.3 are left.
#[test]
fn a_repaired_residual_net_loses_three_quarters_of_its_operations() {
    let folder = Folder::new();
    let samples = fixture("digits_calib.npz");
    let options = ["--macs", "25%", "--calib", &samples, "--calib-samples", "64"];
    let (output, _) = prune(&folder, &fixture("digits_resnet"), "o.onnx", &options);
    let after = accuracy(&load(output));
    assert!(after >= 0.97, "{after}");
}
