//! Every criterion chooses something, and what is shown of groups and criteria.

use crate::accuracy::accuracy;
use crate::{Folder, fixture, json, left, load, prune, read, secateur, stdout, text};

#[test]
fn all_criteria_cut_as_much_and_not_all_the_same() {
    let folder = Folder::new();
    let listed = json(&["criteria", "--json"], 0);
    let calib = fixture("digits_calib.npz");
    let mut outputs = vec![];
    for row in listed.as_array().unwrap() {
        if row["needs_gradients"].as_bool().unwrap() && cfg!(not(feature = "gradients")) {
            continue;
        }
        let name = row["name"].as_str().unwrap();
        assert!(!row["source"].as_str().unwrap().is_empty());
        let samples: &[&str] = match row["needs_data"].as_bool().unwrap() {
            true => &["--calib", &calib, "--no-compensate", "--samples", "32"],
            false => &[],
        };
        let options = [&["--ratio", "0.5", "--criterion", name], samples].concat();
        let (output, report) = prune(&folder, &fixture("digits_mlp"), "o.onnx", &options);
        assert_eq!(left(&report), [128, 96], "{name}");
        assert_eq!(report["plan"]["criterion"], name);
        let units = report["plan"]["cuts"].to_string();
        assert!(read(output).len() > 1000);
        outputs.push(units);
    }
    // Without a batch normalization its scales are norms of weights, and `sensitivity` ranks long groups by `wanda`.
    let count = outputs.len();
    outputs.sort();
    outputs.dedup();
    assert_eq!(outputs.len(), count - 2);
}

#[test]
fn criteria_that_need_samples_say_so() {
    let input = fixture("digits_mlp");
    for name in ["obs", "wanda*l2", "l1+sensitivity"] {
        let assert = secateur(&["prune", &input, "-o", "o.onnx", "--criterion", name]).code(2);
        assert!(text(&assert.get_output().stderr).contains("--calib"), "{name}");
    }
    let shown = stdout(&["criteria"], 0);
    assert!(shown.contains("wanda") && shown.contains("--calib"), "{shown}");
}

#[test]
#[cfg(not(feature = "gradients"))]
fn what_needs_gradients_says_what_to_build() {
    let folder = Folder::new();
    // Before anything is read: there are no such files.
    let (net, output) = ("none.onnx", folder.path("o"));
    let verbs: [&[&str]; 8] = [
        &["prune", net, "--criterion", "synflow"],
        &["prune", net, "--criterion", "obs*taylor", "--calib", "none.npz"],
        &["prune", net, "--iterative", "2", "--tune-steps", "5", "--calib", "none.npz"],
        &["plan", net, "--criterion", "synflow"],
        &[
            "sweep",
            net,
            "--criterion",
            "lrp",
            "--calib",
            "none.npz",
            "--judge",
            "none.npz",
            "--judge-labels",
            "none.npz",
        ],
        &["sensitivity", net, "--criterion", "snip", "--calib", "none.npz"],
        &["tune", net, "--data", "none.npz", "--labels", "none.npz"],
        &["tune", net, "--data", "none.npz", "--teacher", net],
    ];
    for verb in verbs {
        let to: &[&str] = if verb[0] == "sensitivity" { &[] } else { &["-o", &output] };
        let assert = secateur(&[verb, to].concat()).code(2);
        let stderr = text(&assert.get_output().stderr);
        assert!(stderr.contains("build it with `--features gradients`"), "{verb:?}: {stderr}");
    }
    assert!(!std::path::Path::new(&output).exists());
}

#[test]
#[cfg(feature = "gradients")]
fn labels_say_what_the_loss_is() {
    let folder = Folder::new();
    let (net, test) = (fixture("digits_mlp"), fixture("digits_test.npz"));
    let samples = ["--ratio", "0.5", "--calib", &test, "--samples", "32"];
    let cuts = |more: &[&str]| {
        let (output, report) = prune(&folder, &net, "o.onnx", &[&samples, more].concat());
        assert!(accuracy(&load(&output)) >= 0.9, "{more:?}");
        report["plan"]["cuts"].to_string()
    };
    let drawn = cuts(&["--criterion", "taylor"]);
    let labelled = cuts(&["--criterion", "taylor", "--labels", &test]);
    assert_ne!(drawn, labelled);
    assert_eq!(labelled, cuts(&["--criterion", "taylor", "--judge-labels", &test]));
    assert_ne!(labelled, cuts(&["--criterion", "obs*taylor", "--labels", &test]));
    // Without gradients labels are about the inputs, and there are none.
    let args = [&["prune", &net, "-o", "o.onnx", "--criterion", "obs", "--labels", &test], &samples[..]].concat();
    assert!(text(&secateur(&args).code(2).get_output().stderr).contains("--inputs"));
}

#[test]
#[cfg(feature = "gradients")]
fn gradients_in_rounds_and_folds() {
    let folder = Folder::new();
    let (net, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let options = ["--macs", "50%", "--criterion", "fisher", "--calib", &calib, "--samples", "32"];
    for more in [["--iterative", "2"], ["--folds", "2"]] {
        let (output, _) = prune(&folder, &net, "o.onnx", &[&options[..], &more].concat());
        assert!(accuracy(&load(&output)) >= 0.9, "{more:?}");
    }
    let (_, report) = prune(&folder, &net, "o.onnx", &["--macs", "50%", "--criterion", "synflow", "--iterative", "3"]);
    assert_eq!(report["plan"]["criterion"], "synflow");
}

/// A net as it is before any training: matrices drawn as He et al. (2015) do, vectors as they were.
#[cfg(feature = "gradients")]
fn untrained(name: &str) -> secateur::ir::Model {
    let mut model = load(fixture(name));
    let mut lots = 1_u64;
    let mut uniform = || {
        lots = lots.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (lots >> 40) as f32 / (1 << 24) as f32
    };
    for node in model.graph.constants() {
        let tensor = &mut model.graph.constant_mut(node).unwrap().tensor;
        if tensor.dtype == secateur::ir::DType::F32 && tensor.shape.len() > 1 {
            let deviation = (2.0 / tensor.shape[1..].iter().product::<usize>() as f32).sqrt();
            // Twelve lots have the variance 1.
            let normal = |_| deviation * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0);
            let drawn: Vec<f32> = (0..tensor.count()).map(normal).collect();
            *tensor = secateur::ir::Tensor::from_f32(tensor.shape.clone(), &drawn);
        }
    }
    model
}

#[test]
#[cfg(feature = "gradients")]
fn nets_are_cut_before_any_training() {
    let (folder, test) = (Folder::new(), fixture("digits_test.npz"));
    let (input, output) = (folder.path("i.onnx"), folder.path("o.onnx"));
    secateur::onnx::save(&untrained("digits_vgg"), input.as_ref(), &Default::default()).unwrap();
    let by_labels = ["--calib", &test, "--labels", &test, "--samples", "64", "--no-compensate"];
    for (name, more) in [("snip", &by_labels[..]), ("grasp", &by_labels), ("synflow", &["--iterative", "5"])] {
        let args =
            [&["prune", &input, "-o", &output, "--overwrite", "--macs", "30%", "--criterion", name], more].concat();
        let report = json(&[&args[..], &["--json", "--repeats", "0"]].concat(), 0);
        assert_eq!(report["verification"]["equal"], true, "{name}");
        let cuts = report["plan"]["cuts"].as_array().unwrap();
        assert!(!cuts.is_empty(), "{name}");
    }
}

#[test]
#[cfg(feature = "gradients")]
fn relevance_does_not_depend_on_threads() {
    let folder = Folder::new();
    let (net, calib) = (fixture("digits_vgg"), fixture("digits_calib.npz"));
    let plan = |name: &str, threads: &str, criterion: &str| {
        let output = folder.path(name);
        let usual =
            ["--macs", "50%", "--calib", &calib, "--samples", "40", "--criterion", criterion, "--no-compensate"];
        let args = [&["plan", &net, "-o", &output], &usual[..]].concat();
        let done = crate::binary().args(args).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        std::fs::read(output).unwrap()
    };
    for criterion in ["lrp", "lrp-epsilon", "hessian"] {
        assert!(plan("a.json", "1", criterion) == plan("b.json", "2", criterion), "{criterion}");
    }
}

#[test]
fn a_combination_is_a_criterion() {
    let folder = Folder::new();
    let (_, report) = prune(&folder, &fixture("digits_resnet"), "o.onnx", &["--macs", "60%", "--criterion", "l2*fpgm"]);
    assert_eq!(report["plan"]["criterion"], "l2*fpgm");
}

#[test]
fn sensitivity_grows_with_what_is_gone() {
    let folder = Folder::new();
    let svg = folder.path("curves.svg");
    let (net, calib) = (fixture("digits_mlp"), fixture("digits_calib.npz"));
    let rows = json(&["sensitivity", &net, "--calib", &calib, "--svg", &svg, "--json", "--samples", "32"], 0);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let errors: Vec<f64> = row["curve"].as_array().unwrap().iter().map(|p| p["error"].as_f64().unwrap()).collect();
        assert_eq!(errors.len(), 5, "{row}");
        assert!(errors[0] < 0.1 && errors[0] < errors[2] && errors[2] < errors[4], "{row}");
    }
    let drawn = text(&read(svg));
    assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"), "{drawn}");
    assert_eq!(drawn.matches("<polyline").count(), 2);
    let shown = stdout(&["sensitivity", &net, "--calib", &calib, "--criterion", "random", "--run-samples", "8"], 0);
    assert!(shown.contains("90 %") && shown.lines().count() == 3, "{shown}");
}

// Measured on all 500 images, at 50 % of the MACs, beside l2: densenet 99.4 (96.4), mlp 98.8 (96.6), mobilenet 99.4
// (99.6), resnet 99.6 (94.0), shuffle 25.6 (41.2), vgg 98.8 (99.2).
#[test]
fn without_samples_folding_is_better_than_sizes() {
    let folder = Folder::new();
    for (net, asked) in [("digits_resnet", &[][..]), ("digits_mlp", &["--criterion", "fold"])] {
        let (output, report) = prune(&folder, &fixture(net), "folded.onnx", &[&["--macs", "50%"], asked].concat());
        assert_eq!(report["plan"]["criterion"], "fold");
        assert!(!report["repaired"].as_array().unwrap().is_empty(), "{net}");
        assert!(accuracy(&load(&output)) >= 0.98, "{net}");
    }
    // No normalization says how large values are: the weights that read a unit do. A shuffle of parts that are alike leaves
    // nothing to refit to.
    for (net, refitted) in [("digits_vgg", true), ("digits_shuffle", false)] {
        let (_, report) = prune(&folder, &fixture(net), "by_weights.onnx", &["--macs", "50%"]);
        assert_eq!(report["plan"]["criterion"], "lamp");
        assert_eq!(!report["repaired"].as_array().unwrap().is_empty(), refitted, "{net}");
    }
}
