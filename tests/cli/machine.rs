//! Budgets of time and energy, by tables that are made up: no test asks how fast this machine is.

use crate::{Folder, fixture, json, left, prune, read, secateur, stdout};
use predicates::prelude::*;
use serde_json::{Value, json as value};

/// A table of a fixture's nodes whose costs are these of the widths: nothing is run for it.
fn table(folder: &Folder, net: &str, name: &str, cost: fn(&[u64]) -> f64) -> String {
    let energies = folder.path("energies.toml");
    std::fs::write(&energies, "weight_byte_pj = 1\nactivation_byte_pj = 1\n[mac_pj]\nother = 1\n").unwrap();
    let mut table = json(&["profile", &fixture(net), "--energy", "--energy-table", &energies, "--json"], 0);
    table["quantity"] = value!("latency");
    table["host"]["cpu"] = value!("a phone");
    set_costs(&mut table, cost);
    let path = folder.path(name);
    std::fs::write(&path, table.to_string()).unwrap();
    path
}

fn set_costs(table: &mut Value, cost: fn(&[u64]) -> f64) {
    for entry in table["pieces"].as_array_mut().unwrap() {
        let axis = |w: &Value| w.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
        let widths: Vec<Vec<u64>> = entry["widths"].as_array().unwrap().iter().map(axis).collect();
        let points: Vec<Vec<u64>> = match entry["along"].as_str() {
            Some("diagonal") => (0..widths[0].len()).map(|i| widths.iter().map(|w| w[i]).collect()).collect(),
            _ => widths.iter().fold(vec![vec![]], |points, axis| {
                points.iter().flat_map(|p| axis.iter().map(|&n| [&p[..], &[n]].concat())).collect()
            }),
        };
        entry["costs"] = points.iter().map(|p| cost(p)).collect();
    }
}

/// Work in lines of eight: a width of 9 takes as long as one of 16.
fn lines(widths: &[u64]) -> f64 {
    widths.iter().map(|w| w.div_ceil(8) as f64).product::<f64>() + 0.1
}

#[test]
fn a_table_of_another_machine_decides_the_widths() {
    let folder = Folder::new();
    let phone = table(&folder, "digits_vgg", "phone.json", lines);
    let options = ["--latency", "60%", "--latency-table", &phone];
    let (output, report) = prune(&folder, &fixture("digits_vgg"), "a.onnx", &options);
    assert!(left(&report).iter().all(|n| n % 8 == 0), "{:?}", left(&report));
    let machine = &report["machine"];
    let of = |key: &str| machine["predicted"][key].as_f64().unwrap();
    assert!(of("after") <= 0.6 * of("before") && of("after") > 0.4 * of("before"), "{machine}");
    assert!(of("floor") < of("after") && machine["predicted"]["floor_nodes"][0][1].as_f64().unwrap() > 0.0);
    assert_eq!((&machine["quantity"], &machine["asked"]), (&value!("latency"), &value!(0.6)));
    assert_eq!((&machine["met"], &machine["host"]["cpu"]), (&value!(true), &value!("a phone")));
    // Nothing is measured here for another machine, and so the same command gives the same bytes.
    assert!(machine["measured"].is_null());
    let (again, _) = prune(&folder, &fixture("digits_vgg"), "b.onnx", &options);
    assert!(read(output) == read(again));
    let shown = stdout(&[&["prune", &fixture("digits_vgg"), "-o", &folder.path("c.onnx")], &options[..]].concat(), 0);
    assert!(shown.contains("predicted by table") && shown.contains("60.0 % asked for"), "{shown}");
}

#[test]
fn a_table_rounds_other_budgets_too() {
    let folder = Folder::new();
    let phone = table(&folder, "digits_resnet", "phone.json", lines);
    for more in [&["--macs", "50%"][..], &["--macs", "50%", "--round-to", "8"], &["--params", "40%"]] {
        let options = [more, &["--latency-table", &phone]].concat();
        let (_, report) = prune(&folder, &fixture("digits_resnet"), "a.onnx", &options);
        assert!(!left(&report).is_empty() && left(&report).iter().all(|n| n % 8 == 0), "{:?}", left(&report));
        assert!(report["machine"]["asked"].is_null() && report["machine"]["predicted"]["after"].is_number());
    }
}

#[test]
fn what_does_not_shrink_is_the_floor() {
    let folder = Folder::new();
    let still = table(&folder, "digits_vgg", "still.json", |_| 5.0);
    let output = folder.path("o.onnx");
    let args = ["prune", &fixture("digits_vgg"), "-o", &output, "--latency", "50%", "--latency-table", &still];
    let shown = secateur(&args).code(1);
    shown.stderr(predicate::str::contains("100.0% would be left, most of it in `"));
    assert!(!std::path::Path::new(&output).exists());
}

#[test]
fn a_table_must_fit_the_model_and_the_budget() {
    let folder = Folder::new();
    let (mlp, output) = (table(&folder, "digits_mlp", "mlp.json", lines), folder.path("o.onnx"));
    let vgg = fixture("digits_vgg");
    let fails = |options: &[&str], code: i32, what: &str| {
        let args = [&["prune", &vgg, "-o", &output], options].concat();
        secateur(&args).code(code).stderr(predicate::str::contains(what));
    };
    fails(&["--latency", "50%", "--latency-table", &mlp], 1, "it lacks");
    fails(&["--latency", "50%", "--latency-table", &mlp], 1, "hint: `secateur profile`");
    fails(&["--energy", "50%", "--latency-table", &mlp], 2, "cannot be used with");
    fails(&["--latency", "50%", "--latency-table", &folder.path("no.json")], 1, "no.json");
    fails(&["--latency", "50%", "--macs", "50%"], 2, "cannot be used with");
    std::fs::write(
        folder.path("odd.json"),
        read(&mlp).iter().map(|&b| b as char).collect::<String>().replace("\"version\":1", "\"version\":9"),
    )
    .unwrap();
    fails(&["--latency", "50%", "--latency-table", &folder.path("odd.json")], 1, "version 9");
    // Open dimensions are part of the shapes.
    let args = ["plan", &fixture("digits_mlp"), "--latency", "50%", "--latency-table", &mlp, "--dim", "batch=8"];
    secateur(&args).code(1).stderr(predicate::str::contains("the same --dim"));
}

#[test]
fn energy_is_a_budget_too() {
    let folder = Folder::new();
    let input = fixture("digits_resnet");
    let energies = folder.path("energies.toml");
    // Only weights cost anything: then it is a budget over their bytes.
    std::fs::write(&energies, "weight_byte_pj = 2.0\nactivation_byte_pj = 0.0\n[mac_pj]\nother = 0.0\n").unwrap();
    let (_, report) = prune(&folder, &input, "a.onnx", &["--energy", "50%", "--energy-table", &energies]);
    let machine = &report["machine"];
    assert_eq!((&machine["quantity"], &machine["met"]), (&value!("energy"), &value!(true)));
    assert!(left(&report) == left(&prune(&folder, &input, "b.onnx", &["--size", "50%"]).1));
    for (text, what) in [
        ("weight_byte_pj = 2.0", "neither a table nor a model"),
        ("weight_byte_pj = -2.0\nactivation_byte_pj = 0.0\n[mac_pj]\n", "from 0 up"),
        ("weight_byte_pj = 2.0\nactivation_byte_pj = 0.0\n[mac_pj]\nf31 = 1\n", "f31"),
    ] {
        std::fs::write(&energies, text).unwrap();
        let args = ["plan", &input, "--energy", "50%", "--energy-table", &energies];
        secateur(&args).code(1).stderr(predicate::str::contains(what));
    }
}

#[test]
fn a_pass_counts_by_a_table_too() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_vgg"), folder.path("o.onnx"));
    let phone = table(&folder, "digits_vgg", "phone.json", lines);
    let opt = |options: &str| {
        let pipeline = format!("{},prune-channels{{{options}}}", secateur::prune::PREPARE);
        secateur(&["opt", &input, "-o", &output, "--passes", &pipeline])
    };
    opt(&format!("latency=60% table=\"{phone}\"")).code(0);
    let shapes = json(&["inspect", &output, "--json"], 0);
    assert!(shapes["total"]["macs"].as_u64() < json(&["inspect", &input, "--json"], 0)["total"]["macs"].as_u64());
    opt("latency=60%").code(1).stderr(predicate::str::contains("needs a table"));
    opt("latency=60% table=nowhere.json").code(1).stderr(predicate::str::contains("nowhere.json"));
    opt("energy=60%").code(0);
    // What is another version says which file it is.
    std::fs::write(&phone, crate::text(&read(&phone)).replace("\"version\":1", "\"version\":7")).unwrap();
    let words = predicate::str::contains("phone.json: the table's format is version 7");
    opt(&format!("latency=60% table=\"{phone}\"")).code(1).stderr(words);
}

/// Runs the binary with a cache folder of its own.
fn with_cache(folder: &Folder, args: &[&str]) -> assert_cmd::assert::Assert {
    let variables = ["XDG_CACHE_HOME", "LOCALAPPDATA"].map(|name| (name, folder.path("cache")));
    crate::binary().args(args).envs(variables).assert()
}

#[test]
fn this_machine_is_measured_once() {
    let folder = Folder::new();
    let (input, output) = (fixture("digits_mlp"), folder.path("o.onnx"));
    let first = folder.path("first.json");
    let quick = ["--warmup", "0", "--repeats", "1"];
    let profile = |more: &[&str]| with_cache(&folder, &[&["profile", &input][..], &quick, more].concat()).code(0);
    profile(&["-o", &first]).stdout(predicate::str::contains("4 shapes of nodes"));
    let table: Value = serde_json::from_slice(&read(&first)).unwrap();
    let costs = table["pieces"].as_array().unwrap().iter().flat_map(|e| e["costs"].as_array().unwrap());
    assert!(costs.into_iter().all(|c| c.as_f64().unwrap() >= 0.0), "{table}");
    profile(&[]).stdout(predicate::str::contains("measured before"));
    let cached: Vec<_> = std::fs::read_dir(folder.path("cache/secateur")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(cached.len(), 1);
    // A budget takes it from there, and is corrected by what is measured. What single runs said is too rough for a test.
    let mut table = table;
    set_costs(&mut table, lines);
    std::fs::write(&cached[0], table.to_string()).unwrap();
    let args = ["prune", &input, "-o", &output, "--latency", "80%", "--no-verify", "--json"];
    let ran = with_cache(&folder, &args);
    let out = ran.get_output();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let machine = &report["machine"];
    assert_eq!(machine["source"], "this machine, measured before");
    let measured = machine["measured"]["share"].as_f64().unwrap();
    assert_eq!(machine["met"].as_bool().unwrap(), measured <= 0.8, "{machine}");
    assert_eq!(out.status.code(), Some(if measured <= 0.8 { 0 } else { 4 }));
    assert!(!machine["rounds"].as_array().unwrap().is_empty() && !read(output).is_empty());
}

#[test]
fn ratios_have_a_confidence_interval() {
    let (a, b) = (fixture("digits_mlp"), fixture("digits_vgg"));
    let found = json(&["bench", &a, &b, "--repeats", "7", "--warmup", "0", "--json"], 0);
    let (low, high) = (&found["speedup_interval"][0], &found["speedup_interval"][1]);
    let ratio = found["speedup"].as_f64().unwrap();
    assert!(low.as_f64().unwrap() <= ratio && ratio <= high.as_f64().unwrap(), "{found}");
    assert_eq!((&found["runtime"], &found["threads"]), (&value!("tract"), &value!(1)));
    assert!(found["confidence"].as_f64().unwrap() >= 0.95);
}
