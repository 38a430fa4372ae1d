//! What the user says of sizes: by a dimension's name, by an input's axis, or a whole shape.

use super::FedInput;
use crate::ir::{Atom, Dim, Graph, Node};
use std::collections::BTreeMap;

/// Sizes that are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// By what they are called: a dimension's name, or an axis such as `x[1]`.
    sizes: Vec<(String, i64)>,
    /// Shapes of whole inputs.
    shapes: Vec<(String, Vec<i64>)>,
    /// The axis that counts samples, by input.
    batch: BTreeMap<String, usize>,
}

/// Sizes that do not fit the model's inputs, or one another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("the model has no open dimension `{name}`; {known}")]
    Unknown { name: String, known: String },
    #[error("the model has no input `{name}`; it has {known}")]
    FedInput { name: String, known: String },
    #[error("the input `{0}` is declared without a shape; declare one in the file, with names for what is open")]
    Unranked(String),
    #[error("the input `{name}` has {rank} axes, so it has no axis {axis}; axes are counted from 0")]
    Axis { name: String, axis: usize, rank: usize },
    #[error("the input `{name}` has {rank} axes, but {given} are given")]
    Rank { name: String, rank: usize, given: usize },
    #[error("{place} is {size}, not {given}")]
    Fixed { place: String, size: Dim, given: i64 },
    #[error("{place} is `{dim}`, which is given as {other} already, not {given}")]
    Twice { place: String, dim: Dim, given: i64, other: i64 },
    #[error("{place} is `{dim}`; give the sizes that it is made of")]
    Compound { place: String, dim: Dim },
}

impl Given {
    /// The same with a size, by a dimension's name (`batch`) or an axis (`x[1]`).
    pub fn with(mut self, name: &str, size: i64) -> Given {
        self.sizes.push((name.to_owned(), size));
        self
    }

    /// The same with the shape of an input.
    pub fn with_shape(mut self, input: &str, shape: Vec<i64>) -> Given {
        self.shapes.push((input.to_owned(), shape));
        self
    }

    /// The same with the axis of an input that counts samples.
    pub fn with_batch(mut self, input: &str, axis: usize) -> Given {
        self.batch.insert(input.to_owned(), axis);
        self
    }

    /// Which axis of an input counts samples, if that is given.
    pub fn batch(&self, input: &str) -> Option<usize> {
        self.batch.get(input).copied()
    }

    /// The inputs of which it is given which axis counts samples.
    pub fn batches(&self) -> impl Iterator<Item = (&String, usize)> {
        self.batch.iter().map(|(name, &axis)| (name, axis))
    }

    /// The sizes of what inputs leave open.
    pub(super) fn resolve(&self, graph: &Graph, inputs: &[FedInput]) -> Result<BTreeMap<Atom, i64>, SizeError> {
        let mut found = Found::default();
        for (name, size) in &self.sizes {
            let named: Vec<(String, &Dim)> = places(inputs).filter(|(_, d)| is_called(d, name)).collect();
            if named.is_empty() {
                match places(inputs).find(|(place, _)| place == name) {
                    Some((place, dim)) => found.add(place, dim, *size)?,
                    None if declares(graph, name) => found.add(name.clone(), &Dim::symbol(name), *size)?,
                    None => return Err(unknown(name, inputs)),
                }
            }
            named.into_iter().try_for_each(|(place, dim)| found.add(place, dim, *size))?;
        }
        for (name, shape) in &self.shapes {
            let input = inputs.iter().find(|i| i.name == *name).ok_or_else(|| no_input(name, graph, inputs))?;
            let (rank, given) = (input.shape.len(), shape.len());
            if rank != given {
                return Err(SizeError::Rank { name: name.clone(), rank, given });
            }
            for (axis, (dim, &size)) in input.shape.iter().zip(shape).enumerate() {
                found.add(format!("{name}[{axis}]"), dim, size)?;
            }
        }
        for (name, axis) in self.batches() {
            let input = inputs.iter().find(|i| i.name == *name).ok_or_else(|| no_input(name, graph, inputs))?;
            if axis >= input.shape.len() {
                return Err(SizeError::Axis { name: name.clone(), axis, rank: input.shape.len() });
            }
        }
        Ok(found.0)
    }
}

#[derive(Default)]
struct Found(BTreeMap<Atom, i64>);

impl Found {
    fn add(&mut self, place: String, dim: &Dim, given: i64) -> Result<(), SizeError> {
        match (dim.fixed(), dim.as_atom()) {
            (Some(size), _) if size == given => Ok(()),
            (Some(_), _) => Err(SizeError::Fixed { place, size: dim.clone(), given }),
            (None, None) => Err(SizeError::Compound { place, dim: dim.clone() }),
            (None, Some(atom)) => {
                let other = *self.0.entry(atom.clone()).or_insert(given);
                let twice = || SizeError::Twice { place, dim: dim.clone(), given, other };
                if other == given { Ok(()) } else { Err(twice()) }
            }
        }
    }
}

/// Every axis of every input, as `x[1]`.
fn places(inputs: &[FedInput]) -> impl Iterator<Item = (String, &Dim)> {
    let axes = |i: &FedInput, axis: usize| format!("{}[{axis}]", i.name);
    inputs.iter().flat_map(move |i| i.shape.iter().enumerate().map(move |(axis, dim)| (axes(i, axis), dim)))
}

/// Whether a dimension has this name. Names that the file gives to several sizes are told apart by a number behind them.
fn is_called(dim: &Dim, name: &str) -> bool {
    dim.as_symbol().is_some_and(|symbol| symbol == name || crate::load::file_name(symbol) == name)
}

/// Whether an output or an inner value is declared with a dimension of this name.
fn declares(graph: &Graph, name: &str) -> bool {
    let outputs = graph.outputs().into_iter().filter_map(|n| match graph.node(n) {
        Node::Output(o) => Some(&o.info),
        _ => None,
    });
    let types = outputs.chain(&graph.value_info).filter_map(|info| info.ty.tensor());
    types.filter_map(|t| t.shape.as_ref()).flatten().any(|d| d.as_symbol() == Some(name))
}

fn unknown(name: &str, inputs: &[FedInput]) -> SizeError {
    let open = places(inputs).filter(|(_, d)| d.as_atom().is_some());
    let known: Vec<String> = open.map(|(place, dim)| format!("{place} (`{dim}`)")).collect();
    let known = if known.is_empty() { "none is open".into() } else { format!("open are {}", known.join(", ")) };
    SizeError::Unknown { name: name.to_owned(), known }
}

fn no_input(name: &str, graph: &Graph, inputs: &[FedInput]) -> SizeError {
    if graph.inputs().into_iter().any(|n| graph.label(n) == name) {
        return SizeError::Unranked(name.to_owned());
    }
    let known: Vec<String> = inputs.iter().map(|i| format!("`{}`", i.name)).collect();
    SizeError::FedInput { name: name.to_owned(), known: known.join(", ") }
}
