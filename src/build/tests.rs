//! What build files say, and what is wrong with them.

use super::{Config, Target};
use crate::oracle::Setup;
use std::path::Path;

fn config(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("at/secateur.toml"), text.to_owned()).map_err(|e| e.to_string())
}

fn targets(text: &str, profile: Option<&str>) -> Vec<Target> {
    config(text).and_then(|c| c.targets(profile).map_err(|e| e.to_string())).unwrap()
}

/// What is wrong with a file, when all of it is asked for.
fn wrong(text: &str) -> String {
    match config(text).and_then(|c| c.targets(None).map_err(|e| e.to_string())) {
        Ok(_) => panic!("nothing is wrong with\n{text}"),
        Err(e) => e,
    }
}

const FAMILY: &str = r#"
output = "out/{model}.{profile}.onnx"
round_to = 4

[model.a]
input = "a.onnx"
macs = 0.5
exclude = ["head.*", "stem"]

[model.b]
extends = "a"
input = "b.onnx"
keep-bn = true
dim = { batch = 8 }

[profile.edge]
ratio = "70%"
gates = { max_size = "1MB", max_drift = 0.5 }

[profile.tiny]
extends = "edge"
round-to = false
gates.max_drift = 0.9

[profile.tiny.model.b]
calib = "random:8"
keep_bn = false
"#;

#[test]
fn later_tables_override_earlier_ones() {
    let lines = |profile| -> Vec<String> {
        let all = targets(FAMILY, Some(profile));
        all.iter().map(|t| format!("{} {} {}", t.name, t.shown.1, t.options.join(" "))).collect()
    };
    insta::assert_snapshot!(lines("edge").join("\n"), @r"
    a/edge out/a.edge.onnx --exclude=head.* --exclude=stem --ratio=70% --round-to=4
    b/edge out/b.edge.onnx --dim=batch=8 --exclude=head.* --exclude=stem --keep-bn --ratio=70% --round-to=4
    ");
    insta::assert_snapshot!(lines("tiny").join("\n"), @r"
    a/tiny out/a.tiny.onnx --exclude=head.* --exclude=stem --ratio=70%
    b/tiny out/b.tiny.onnx --calib=random:8 --dim=batch=8 --exclude=head.* --exclude=stem --ratio=70%
    ");
    let gates = |t: &Target| t.gates.values().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(gates(&targets(FAMILY, Some("tiny"))[0]), ["max_drift=0.9", "max_size=1000000 B"]);
    assert_eq!(targets(FAMILY, None).len(), 4);
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = "input = 'in/net.onnx'\noutput = 'net.small.onnx'\ncalib = 'samples'\ninputs = 'random:4'";
    let target = targets(text, None).remove(0);
    assert_eq!(target.name, "net");
    assert_eq!(target.inputs(), ["at/secateur.toml", "at/in/net.onnx", "at/samples"].map(Path::new));
    assert_eq!(target.beside("lock.json"), Path::new("at/net.small.lock.json"));
    let asked = target.job(&Setup::default()).unwrap();
    assert_eq!((asked.verification.inputs.as_deref(), asked.verification.repeats), (Some("random:4"), 0));
    let calib = asked.choice.selection.calibration.source.unwrap();
    assert_eq!(Path::new(&calib), Path::new("at").join("samples"));
    let elsewhere = config(text).unwrap().into_folder("out").targets(None).unwrap().remove(0);
    assert_eq!(elsewhere.output, Path::new("out/net.small.onnx"));
}

#[test]
fn models_are_timed_where_a_gate_asks() {
    let text = "input = 'a.onnx'\noutput = 'b.onnx'\ngates.min_speedup = 1.5";
    assert!(targets(text, None)[0].job(&Setup::default()).unwrap().verification.repeats > 0);
}

#[test]
fn mistakes_say_where_and_what_is_near() {
    insta::assert_snapshot!(wrong("input = 'a.onnx'\nmcas = '50%'"), @"at/secateur.toml:2:1: unknown key `mcas`; did you mean `macs`?");
    insta::assert_snapshot!(wrong("[model.a]\n  inptu = 'a'"), @"at/secateur.toml:2:3: unknown key `inptu`; did you mean `input`?");
    insta::assert_snapshot!(wrong("[models.a]\ninput = 'a'"), @"at/secateur.toml:1:2: unknown key `models`; did you mean `model`?");
    insta::assert_snapshot!(wrong("[gates]\nmax_drif = 1"), @"at/secateur.toml:2:1: unknown gate `max_drif`; did you mean `max_drift`?");
    insta::assert_snapshot!(wrong("gates.max_drift = 'much'"), @"at/secateur.toml:1:19: max_drift: `much` is neither a number nor a share such as 2%");
    insta::assert_snapshot!(wrong("inexact = 'yes'"), @"at/secateur.toml:1:11: `inexact` takes true or false, not a string");
    insta::assert_snapshot!(wrong("macs = ['50%', '60%']"), @"at/secateur.toml:1:8: `macs` takes a string or a number, not a list");
    insta::assert_snapshot!(wrong("round_to = 2\nround-to = 4"), @"at/secateur.toml:2:1: `round-to` is set twice");
    insta::assert_snapshot!(wrong("macs = "), @"at/secateur.toml:1:8: string values must be quoted, expected literal string");
    insta::assert_snapshot!(wrong("model = 'a'"), @"at/secateur.toml:1:9: `model` (write [model.NAME]) must be a table");
}

#[test]
fn values_are_checked_as_on_the_command_line() {
    let file = |line: &str| format!("input = 'a.onnx'\noutput = 'b.onnx'\n{line}");
    insta::assert_snapshot!(wrong(&file("macs = '150%'")), @"at/secateur.toml:3:1: invalid value '150%' for '--macs <SHARE>': 150% is not between 0 and 1 (or 0% and 100%)");
    insta::assert_snapshot!(wrong(&file("seed = 1\nround_to = 0")), @"at/secateur.toml:4:1: invalid value '0' for '--round-to <N>': 0 is not in 1..=65535");
    insta::assert_snapshot!(wrong(&file("macs = 0.5\nratio = 0.5")), @"at/secateur.toml:3:1: the argument '--macs <SHARE>' cannot be used with '--ratio <SHARE>'");
}

#[test]
fn names_must_be_there_once_and_lead_somewhere() {
    insta::assert_snapshot!(wrong("macs = 0.5"), @"at/secateur.toml: there is no model: give `input` and `output`, or a table [model.NAME] that has them");
    insta::assert_snapshot!(wrong("[model.a]\nextends = 'b'\n[model.b]\nextends = 'a'"), @"at/secateur.toml:4:11: the model `a` extends itself");
    insta::assert_snapshot!(wrong("[model.alpha]\ninput = 'a'\n[model.b]\nextends = 'alfa'"), @"at/secateur.toml:4:11: unknown model `alfa`; did you mean `alpha`?");
    insta::assert_snapshot!(wrong("[model.a]\ninput = 'a'\noutput = 'x'\n[model.b]\ninput = 'b'\noutput = 'x'"), @"at/secateur.toml: `a` and `b` would both be written to x; put {model} or {profile} into `output`");
    insta::assert_snapshot!(wrong("[model.a]\ninput = 'a'"), @"at/secateur.toml: the model `a` has no `output`");
    insta::assert_snapshot!(wrong("input = 'a'\noutput = '{net}.onnx'"), @"at/secateur.toml:2:10: `output` may have {model} and {profile} in it, and no other braces");
    insta::assert_snapshot!(wrong("[model.a]\n[profile.p.model.c]"), @"at/secateur.toml: [profile.p.model.c]: unknown model `c`; did you mean `a`?");
    let family = config(FAMILY).unwrap();
    insta::assert_snapshot!(family.targets(Some("egde")).unwrap_err(), @"at/secateur.toml: there is no profile `egde`; did you mean `edge`?");
}
