//! Samples that are made up: `random:N`.

use super::source::{Opened, Options, Source, Together};
use super::{Feed, FeedError, InputSpec, Sizes, stack};
use crate::ir::{Atom, Dim};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn open(spec: &str, inputs: &[InputSpec], options: &Options) -> Result<Opened, FeedError> {
    let number = spec.strip_prefix("random:").and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    let number: usize = number.ok_or_else(|| FeedError::Random(spec.into()))?;
    let mut sizes = options.sizes.iter().fold(Sizes::assume(inputs), |s, (name, size)| s.with(name, *size));
    let batch = batch(inputs, options);
    let together = match &batch {
        Some(atoms) => {
            atoms.iter().for_each(|atom| _ = sizes.0.insert(atom.clone(), 1));
            Together::Any
        }
        None => {
            let first = inputs.first().and_then(|i| i.shape.first());
            Together::Just(first.and_then(|d| sizes.of(d)).unwrap_or(1).max(1))
        }
    };
    let samples = match together {
        Together::Any => number,
        Together::Just(n) => number.div_ceil(n) * n,
    };
    let source = MadeUp { inputs: inputs.to_vec(), sizes, seed: options.seed };
    Ok(Opened { source: Arc::new(source), samples, together, labels: None })
}

struct MadeUp {
    inputs: Vec<InputSpec>,
    /// Of one portion.
    sizes: Sizes,
    seed: u64,
}

impl Source for MadeUp {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        let one = |&p: &usize| Feed::random_sized(&self.inputs, &self.sizes, self.seed.wrapping_add(p as u64));
        Ok(stack(portions.iter().map(one).collect::<Result<_, _>>()?))
    }
}

/// The open sizes that count samples: those of the first axes, if every input has one there and nothing else depends
/// on them.
fn batch(inputs: &[InputSpec], options: &Options) -> Option<BTreeSet<Atom>> {
    let first = |input: &InputSpec| input.shape.first()?.as_atom().cloned();
    let batch: BTreeSet<Atom> = inputs.iter().map(first).collect::<Option<_>>()?;
    let given = |atom: &Atom| matches!(atom, Atom::Symbol(s) if options.sizes.contains_key(&**s));
    let elsewhere = inputs.iter().flat_map(|i| i.shape.iter().skip(1)).filter_map(Dim::as_atom);
    let free = !batch.is_empty() && !batch.iter().any(given) && !elsewhere.into_iter().any(|a| batch.contains(a));
    free.then_some(batch)
}
