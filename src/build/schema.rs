//! The schema of build files, for editors: made from the tables of options and gates.

use crate::job::gates::{GATES, GateKind};
use crate::job::keys::{KEYS, Key, Takes};
use serde_json::{Map, Value, json};

/// A JSON schema of build files. Keys stand in it with `_`; the same with `-` is read as well.
pub fn schema() -> Value {
    let named = |section: &str| json!({ "type": "object", "additionalProperties": { "$ref": section } });
    let part = |more: Value| {
        let mut properties = options();
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

/// The keys that are no options.
fn own() -> Map<String, Value> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let entries = [
        ("input", text("The model to prune; relative to this file, like all paths")),
        ("output", text("Where the pruned model goes; {model} and {profile} are filled in")),
        ("gates", json!({ "$ref": "#/$defs/gates" })),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn options() -> Map<String, Value> {
    let mut keys: Vec<&Key> = KEYS.iter().collect();
    keys.sort_by_key(|key| key.name);
    keys.into_iter().map(|key| (key.name.replace('-', "_"), option(key))).collect()
}

fn option(key: &Key) -> Value {
    let one = match key.choices {
        [] => json!({ "type": ["string", "number"] }),
        choices => json!({ "enum": choices }),
    };
    let off = json!({ "const": false });
    let mut value = match key.takes {
        Takes::Nothing => json!({ "type": "boolean" }),
        Takes::One | Takes::Path => json!({ "anyOf": [one, off] }),
        Takes::Many | Takes::List => {
            let (list, table) = (json!({ "type": "array", "items": one }), json!({ "type": "object" }));
            json!({ "anyOf": [one, list, table, off] })
        }
    };
    value["description"] = key.about.into();
    value
}

fn gates() -> Value {
    let gate = |kind: &GateKind| {
        let bound = json!({ "type": ["string", "number", "boolean"], "description": kind.about });
        (kind.name.to_owned(), bound)
    };
    let properties: Map<String, Value> = GATES.iter().map(gate).collect();
    json!({
        "type": "object",
        "description": "Bounds that the result must keep",
        "properties": properties,
        "additionalProperties": false,
    })
}
