//! The schema of build files, for editors: made from the definitions of the command line.

use super::flags::{self, Flag, Takes};
use super::prune::Args;
use crate::job::gates::{KINDS, Kind};
use crate::job::keys::Key;
use serde_json::{Map, Value, json};

/// A JSON schema of build files. Keys stand in it with `_`; the same with `-` is read as well.
pub fn schema() -> Value {
    let flags: Vec<Flag> = flags::of::<Args>().into_iter().filter(|f| Key::named(&f.name).is_some()).collect();
    let named = |section: &str| json!({ "type": "object", "additionalProperties": { "$ref": section } });
    let part = |more: Value| {
        let mut properties = options(&flags);
        properties.extend(own());
        properties.extend(more.as_object().cloned().unwrap_or_default());
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    };
    let extends =
        json!({ "type": "string", "description": "Another one, whose settings apply where this one has none" });
    let mut schema = part(json!({ "model": named("#/$defs/model"), "profile": named("#/$defs/profile") }));
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "secateur.toml",
        "description": "What `secateur build` makes",
        "$defs": {
            "model": part(json!({ "extends": extends })),
            "profile": part(json!({ "extends": extends, "model": named("#/$defs/model") })),
            "gates": gates(),
        },
    });
    if let (Some(schema), Value::Object(head)) = (schema.as_object_mut(), head) {
        schema.extend(head);
    }
    schema
}

/// The keys that are no flags.
fn own() -> Map<String, Value> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let entries = [
        ("input", text("The model to prune; relative to this file, like all paths")),
        ("output", text("Where the pruned model goes; {model} and {profile} are filled in")),
        ("gates", json!({ "$ref": "#/$defs/gates" })),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn options(flags: &[Flag]) -> Map<String, Value> {
    flags.iter().map(|flag| (flag.name.replace('-', "_"), option(flag))).collect()
}

fn option(flag: &Flag) -> Value {
    let one = match &flag.choices[..] {
        [] => json!({ "type": ["string", "number"] }),
        choices => json!({ "enum": choices }),
    };
    let off = json!({ "const": false });
    let mut value = match flag.takes {
        Takes::Nothing => json!({ "type": "boolean" }),
        Takes::One => json!({ "anyOf": [one, off] }),
        Takes::Many => {
            let (list, table) = (json!({ "type": "array", "items": one }), json!({ "type": "object" }));
            json!({ "anyOf": [one, list, table, off] })
        }
    };
    value["description"] = flag.about.clone().into();
    value
}

fn gates() -> Value {
    let gate = |kind: Kind| {
        let bound = json!({ "type": ["string", "number", "boolean"], "description": kind.about() });
        (kind.name().to_owned(), bound)
    };
    let properties: Map<String, Value> = KINDS.into_iter().map(gate).collect();
    json!({
        "type": "object",
        "description": "Bounds that the result must keep",
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::keys::{self, KEYS};
    use crate::job::{Options, Output, Record};
    use crate::oracle::Setup;
    use clap::{Args as _, Command, FromArgMatches};

    /// Flags that are about the command line, or that a build sees to.
    const NOT_KEYS: [&str; 10] =
        ["output", "overwrite", "json", "gate", "junit", "format", "report", "html", "reference", "ort-library"];

    /// A value for each option.
    const VALUES: &str = "allow-tiny batch-axis=x=1 calib=c.npz calib-preprocess=size=8 criterion=wanda device=cuda:1 \
        dim=n=3 energy=40% energy-table=e.json exclude=head.* external-data=always folds=3 granularity=head,neuron \
        include=a* inexact input-range=x=0..1 inputs=i.npz iterative=4 judge=j.npz judge-labels=l.npy \
        judge-task=regression keep-bn labels=l.csv latency=30% latency-table=t.json layers=2 lossless macs=20% \
        max-drift=0.1 max-drop=1% max-ratio=0.8 min-keep=3 nm=2:4 no-cache no-compensate no-merge no-verify params=0.7 \
        passes=dce peak-memory=0.6 preprocess=size=9 ratio=0.25 repeats=7 round-to=8 rule=a*:ratio=0.1 runtime=ort \
        samples=9 search=5 seed=6 shape=x=1,2 size=0.9 sparsity=0.3 sparsity-method=wanda sparsity-scope=row \
        sparse-initializers task=perplexity threads=3 time-budget=2 tolerance=0.5 tune-batch=4 tune-lr=0.2 \
        tune-steps=6 verify-samples=8 warmup=1";

    fn command() -> Command {
        Args::augment_args(Command::new("prune").no_binary_name(true))
    }

    /// What the command line makes of some flags.
    fn told(flags: &[&str]) -> String {
        let args = ["in.onnx", "-o", "out.onnx"].iter().chain(flags);
        let given = command().try_get_matches_from(args).unwrap_or_else(|e| panic!("{flags:?}: {e}"));
        let options = Args::from_arg_matches(&given).ok().and_then(|args| args.options(&given).ok());
        format!("{:?}", Options { record: Record::default(), ..options.expect("options") })
    }

    fn strings(texts: Vec<&str>) -> Vec<String> {
        texts.into_iter().map(str::to_owned).collect()
    }

    /// Sets of arguments of which one may be given.
    fn exclusive(command: &Command) -> Vec<Vec<String>> {
        let groups = command.get_groups().filter(|g| !(*g).clone().is_multiple());
        let groups = groups.map(|g| g.get_args().map(ToString::to_string).collect());
        let pairs = command.get_arguments().flat_map(|a| {
            let others = command.get_arg_conflicts_with(a).into_iter();
            others.map(|b| vec![a.get_id().to_string(), b.get_id().to_string()])
        });
        groups.chain(pairs).collect()
    }

    /// What the parser calls an option.
    fn id(command: &Command, key: &Key) -> String {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(key.name));
        arg.expect("an argument").get_id().to_string()
    }

    /// Each option with its value.
    fn values() -> impl Iterator<Item = (&'static str, &'static str)> {
        VALUES.split_whitespace().map(|v| v.split_once('=').unwrap_or((v, "")))
    }

    /// An option behind those that must be given beside it.
    fn with_needs(key: &Key) -> Vec<(&'static str, &'static str)> {
        let names: Vec<&str> = key.all_needs().into_iter().map(|need| need.name).chain([key.name]).collect();
        names.into_iter().filter_map(|name| values().find(|(known, _)| *known == name)).collect()
    }

    #[test]
    fn flags_and_keys_say_the_same() {
        let mut usual = Options { output: Some(Output::to("out.onnx")), ..Options::default() };
        // The command line looks for ONNX Runtime where nobody says otherwise.
        usual.verification.setup = Setup::best();
        assert_eq!(told(&[]), format!("{usual:?}"));
        assert!(KEYS.iter().map(|key| key.name).eq(values().map(|(name, _)| name)), "a value for each, in order");
        for (key, (name, value)) in KEYS.iter().zip(values()) {
            let all = with_needs(key);
            assert_eq!(all.last(), Some(&(name, value)));
            let flag = |(name, value): &(&str, &str)| {
                if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") }
            };
            let flags: Vec<String> = all.iter().map(flag).collect();
            let mut options = usual.clone();
            for (name, value) in &all {
                let key = Key::named(name).expect("an option");
                let texts = if key.takes == keys::Takes::List { value.split(',').collect() } else { vec![*value] };
                texts.into_iter().for_each(|text| key.set(&mut options, text).expect("a value"));
            }
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            assert_eq!(told(&flags), format!("{options:?}"), "{key}");
        }
    }

    #[test]
    fn flags_and_keys_are_declared_alike() {
        let (flags, mut command) = (flags::of::<Args>(), command());
        command.build();
        let exclusive = exclusive(&command);
        let known = |name: &str| Key::named(name).is_some();
        let missing: Vec<&str> =
            flags.iter().map(|f| f.name.as_str()).filter(|n| known(n) == NOT_KEYS.contains(n)).collect();
        assert!(missing.is_empty(), "neither a key nor left out on purpose, or both: {missing:?}");
        for key in KEYS {
            let flag = flags.iter().find(|f| f.name == key.name).unwrap_or_else(|| panic!("{key}: no such flag"));
            let arg = command.get_arguments().find(|a| a.get_long() == Some(key.name)).expect("an argument");
            assert_eq!(arg.to_string().trim_end_matches("..."), key.to_string());
            let mut aliases = arg.get_all_aliases().unwrap_or_default().into_iter();
            assert!(aliases.all(|a| Key::named(a).is_some_and(|k| k.name == key.name)), "{key}");
            assert_eq!(flag.is_path, key.takes == keys::Takes::Path, "{key}");
            // What a switch takes is nobody's choice.
            assert!(key.takes == keys::Takes::Nothing || flag.choices == strings(key.choices.to_vec()), "{key}");
            let takes = match key.takes {
                keys::Takes::Nothing => Takes::Nothing,
                keys::Takes::One | keys::Takes::Path => Takes::One,
                keys::Takes::Many | keys::Takes::List => Takes::Many,
            };
            assert_eq!(flag.takes, takes, "{key}");
            for other in KEYS.iter().filter(|other| other.name != key.name) {
                let pair = [key, other].map(|key| id(&command, key));
                let rivals = exclusive.iter().any(|set| pair.iter().all(|id| set.contains(id)));
                assert_eq!(rivals, key.excludes(other), "{key} and {other}");
            }
        }
        let parts = |is: fn(&Key) -> bool| KEYS.iter().filter(|k| is(k)).map(|k| k.name).collect::<Vec<_>>();
        let (choice, result) = super::super::prune::recorded();
        let names = |flags: Vec<Flag>| flags.into_iter().map(|f| f.name).collect::<Vec<_>>();
        assert_eq!(
            (names(choice), names(result)),
            (strings(parts(|k| k.part.is_of_choice())), strings(parts(|k| k.part.is_of_result())))
        );
    }
}
