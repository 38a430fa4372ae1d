//! A table of a build file: options, gates, and what it extends.

use super::keys;
use crate::job::gates::{Gate, GateKind};
use crate::job::keys::{Key, Takes};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong at a place in the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: Range<usize>,
    pub what: String,
}

impl Fault {
    pub(super) fn new(at: Range<usize>, what: impl Into<String>) -> Fault {
        Fault { at, what: what.into() }
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub value: T,
    pub at: Range<usize>,
}

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// It is not given, whatever else says so.
    Off,
    /// A flag that takes nothing.
    On,
    Values(Vec<String>),
}

/// What a table says of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub input: Option<At<String>>,
    pub output: Option<At<String>>,
    pub extends: Option<At<String>>,
    pub options: BTreeMap<&'static str, At<Setting>>,
    pub gates: BTreeMap<&'static GateKind, Gate>,
}

/// Keys of a section that are no options.
pub(super) const OWN: [&str; 4] = ["input", "output", "extends", "gates"];

impl Section {
    /// Reads a table. `beside` are keys that the reader of the table sees to itself.
    pub(super) fn read(table: &DeTable, beside: &[&str]) -> Result<Section, Fault> {
        let mut section = Section::default();
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name: &str = key.get_ref();
            match name {
                _ if beside.contains(&name) => {}
                "input" => section.input = Some(text(value)?),
                "output" => section.output = Some(text(value)?),
                "extends" => section.extends = Some(text(value)?),
                "gates" => section.gates = gates(value)?,
                _ => {
                    let Some(option) = Key::named(name) else {
                        let names = keys::options().chain(OWN).chain(beside.iter().copied());
                        return Err(unknown("key", name, key.span(), names));
                    };
                    let setting = At { value: setting(option, value)?, at: key.span() };
                    if section.options.insert(option.name, setting).is_some() {
                        return Err(Fault::new(key.span(), format!("`{name}` is set twice")));
                    }
                }
            }
        }
        Ok(section)
    }

    /// Lays another section over this one: what that one says counts.
    pub(super) fn overlay(&mut self, over: &Section) {
        self.input = over.input.clone().or(self.input.take());
        self.output = over.output.clone().or(self.output.take());
        for name in over.options.keys() {
            // Of several budgets, say, the last one counts.
            let Some(option) = Key::named(name) else { continue };
            self.options.retain(|other, _| Key::named(other).is_none_or(|o| !option.excludes(o)));
        }
        self.options.extend(over.options.clone());
        self.gates.extend(over.gates.clone());
    }
}

/// A name that there is not, with one that is near.
pub(super) fn unknown<'a>(what: &str, name: &str, at: Range<usize>, names: impl IntoIterator<Item = &'a str>) -> Fault {
    let hint = keys::nearest(name, names).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
    Fault::new(at, format!("unknown {what} `{name}`{hint}"))
}

/// A table in a place where there must be one.
pub(super) fn table<'a, 'i>(value: &'a Spanned<DeValue<'i>>, what: &str) -> Result<&'a DeTable<'i>, Fault> {
    let table = value.get_ref().as_table();
    table.ok_or_else(|| Fault::new(value.span(), format!("{what} must be a table")))
}

fn text(value: &Spanned<DeValue>) -> Result<At<String>, Fault> {
    match value.get_ref() {
        DeValue::String(s) => Ok(At { value: s.to_string(), at: value.span() }),
        other => Err(Fault::new(value.span(), format!("give a string here, not {}", kind(other)))),
    }
}

fn setting(option: &Key, value: &Spanned<DeValue>) -> Result<Setting, Fault> {
    let wrong = || {
        let (takes, found) = (keys::takes(option), kind(value.get_ref()));
        Fault::new(value.span(), format!("`{}` takes {takes}, not {found}", option.name))
    };
    match (value.get_ref(), option.takes) {
        (DeValue::Boolean(false), _) => Ok(Setting::Off),
        (DeValue::Boolean(true), Takes::Nothing) => Ok(Setting::On),
        (_, Takes::Nothing) => Err(wrong()),
        (DeValue::Array(items), Takes::Many | Takes::List) => {
            let items = items.iter().map(|item| scalar(item.get_ref()).ok_or_else(wrong));
            Ok(Setting::Values(items.collect::<Result<_, _>>()?))
        }
        // `dim = { batch = 8 }` is `--dim batch=8`.
        (DeValue::Table(pairs), Takes::Many | Takes::List) => {
            let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue>)| {
                let key: &std::borrow::Cow<str> = key.get_ref();
                Some(format!("{key}={}", scalar(value.get_ref()).or_else(|| list(value.get_ref()))?))
            };
            Ok(Setting::Values(pairs.iter().map(|p| pair(p).ok_or_else(wrong)).collect::<Result<_, _>>()?))
        }
        (other, _) => Ok(Setting::Values(vec![scalar(other).ok_or_else(wrong)?])),
    }
}

/// Several of these, as they are written behind a flag: `shape = { x = [1, 3, 64, 64] }` is `--shape x=1,3,64,64`.
fn list(value: &DeValue) -> Option<String> {
    let DeValue::Array(items) = value else { return None };
    Some(items.iter().map(|item| scalar(item.get_ref())).collect::<Option<Vec<_>>>()?.join(","))
}

/// A text or a number, as it is written.
fn scalar(value: &DeValue) -> Option<String> {
    match value {
        DeValue::String(s) => Some(s.to_string()),
        DeValue::Integer(n) => Some(n.as_str().replace('_', "")),
        DeValue::Float(x) => Some(x.as_str().replace('_', "")),
        _ => None,
    }
}

fn gates(value: &Spanned<DeValue>) -> Result<BTreeMap<&'static GateKind, Gate>, Fault> {
    let mut gates = BTreeMap::new();
    for (key, value) in table(value, "gates")? {
        let name: &str = key.get_ref();
        let kind = GateKind::named(name).ok_or_else(|| unknown("gate", name, key.span(), keys::gates()))?;
        let bound = match value.get_ref() {
            DeValue::Boolean(b) => Some(b.to_string()),
            other => scalar(other),
        };
        let bound = bound.ok_or_else(|| Fault::new(value.span(), format!("`{name}` takes a number or a string")))?;
        let gate = Gate::new(kind, &bound).map_err(|e| Fault::new(value.span(), e.to_string()))?;
        gates.insert(kind, gate);
    }
    Ok(gates)
}

fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
