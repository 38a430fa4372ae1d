//! What inputs look like: pictures, sound, tokens, tables.
//!
//! Told by element types and shapes first, by what reads an input where these leave it open, and by names last.

use super::values::last_index;
use super::{FedInput, Lengths, Values};
use crate::facts::{Facts, Unknowns};
use crate::ir::{DType, Model, Node, NodeId, ValueId};
use crate::ops::{self, Site};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What an input looks like. Axes are those of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture, with its channels along this axis; its rows and columns are the two axes beside that and the batch.
    Image {
        /// The axis of the channels.
        channels: usize,
    },
    /// A waveform along the longest axis.
    Wave,
    /// A picture of sound, or a sequence of features: what lies side by side is alike.
    Map,
    /// Numbers of tokens, which point into a table.
    Tokens {
        /// The last one that there is.
        last: i64,
    },
    /// A row of columns that have nothing to do with one another.
    Table,
    /// What a recurrence begins with.
    State,
    /// Masks, lengths and switches, which have one sensible value.
    Fixed,
    /// Nothing is known of it.
    Unknown,
}

/// Channels that pictures have: grey, colours, colours with opacity.
const CHANNELS: [i64; 3] = [1, 3, 4];
/// The fewest rows and columns of a picture.
const SIDE: i64 = 4;
/// A row of numbers that is longer than this is a waveform.
const LONG: i64 = 4096;
/// A waveform is no shorter.
const SHORT: i64 = 64;
/// So many calls are looked at, at most, for what reads an input.
const LOOKED_AT: usize = 64;

/// What is known of a model's inputs otherwise.
pub(crate) struct Known<'a> {
    pub lengths: &'a Lengths,
    pub values: &'a BTreeMap<String, Values>,
    pub states: &'a BTreeSet<String>,
    pub batches: &'a BTreeMap<String, usize>,
}

/// What each input looks like. `facts` are those of inputs of fixed sizes.
pub(crate) fn kinds(model: &Model, facts: &Facts, inputs: &[FedInput], known: &Known) -> BTreeMap<String, Kind> {
    let kind = |input: &FedInput| {
        let size = |d| known.lengths.of(d).unwrap_or(1);
        let shape: Vec<i64> = input.shape.iter().map(size).collect();
        let axes: Vec<usize> = (0..shape.len()).filter(|&axis| axis != known.batches[&input.name]).collect();
        match known.values[&input.name] {
            _ if known.states.contains(&input.name) => Kind::State,
            Values::Just(_) => Kind::Fixed,
            _ if input.dtype == DType::Bool => Kind::Fixed,
            _ if input.dtype.is_float() => numbers(&input.name, &shape, &axes, &|| slides(model, facts, input.node)),
            _ if matches!(input.dtype, DType::U8 | DType::I8) => {
                image(&shape, &axes).map_or(Kind::Unknown, |channels| Kind::Image { channels })
            }
            _ if shape.is_empty() => Kind::Fixed,
            Values::Normal => Kind::Unknown,
            Values::Between(_, high) => {
                // What is narrower than usual has a reason.
                let whole = || last_index(model, facts, input).unwrap_or(high);
                Kind::Tokens { last: if known.values[&input.name] == Values::TOKENS { whole() } else { high } }
            }
        }
    };
    inputs.iter().map(|input| (input.name.clone(), kind(input))).collect()
}

fn numbers(name: &str, shape: &[i64], axes: &[usize], slides: &dyn Fn() -> bool) -> Kind {
    let says = |words: &[&str]| words.iter().any(|word| name.to_lowercase().contains(word));
    let lengths: Vec<i64> = axes.iter().map(|&axis| shape[axis]).collect();
    match (&lengths[..], image(shape, axes)) {
        (_, Some(channels)) if shape[channels] == 1 && says(&["mel", "spec", "audio", "fbank"]) => Kind::Map,
        (_, Some(channels)) => Kind::Image { channels },
        ([], _) => Kind::Unknown,
        (&[n], _) if n >= LONG || n >= SHORT && (says(&["wave", "audio", "speech", "sound"]) || slides()) => Kind::Wave,
        ([_], _) => Kind::Table,
        (&[a, b], _) if a.min(b) <= 2 && a.max(b) >= SHORT && slides() => Kind::Wave,
        _ => Kind::Map,
    }
}

/// The axis of the channels, where a shape is that of a picture.
fn image(shape: &[i64], axes: &[usize]) -> Option<usize> {
    let &[first, _, last] = axes else { return None };
    let fits = |channels: usize| {
        let mut sides = axes.iter().filter(|&&axis| axis != channels);
        CHANNELS.contains(&shape[channels]) && sides.all(|&axis| shape[axis] >= SIDE)
    };
    [first, last].into_iter().find(|&axis| fits(axis))
}

/// Whether the first sum that reads an input slides over it.
fn slides(model: &Model, facts: &Facts, input: NodeId) -> bool {
    let (graph, unknowns) = (&model.graph, Unknowns::of_questions());
    let mut next = vec![ValueId { node: input, port: 0 }];
    let mut seen: HashSet<NodeId> = HashSet::new();
    while let Some(value) = next.pop() {
        for reader in graph.uses(value).into_iter().map(|u| u.node) {
            let Node::Call(call) = graph.node(reader) else { continue };
            if !seen.insert(reader) || seen.len() > LOOKED_AT {
                continue;
            }
            let (site, rule) = (Site::new(model, graph, reader, call, facts, &unknowns), ops::rule_of(model, call));
            if !(rule.operands.windows)(&site).is_empty() {
                return true;
            }
            if (rule.operands.sum)(&site).is_none() {
                next.extend(graph.results(reader));
            }
        }
    }
    false
}
