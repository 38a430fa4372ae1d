//! Samples that are made up: `random:N`.

use crate::feed::source::{Opened, Options, Source, Together};
use crate::feed::{Feed, FeedError, InputSpec, Sizes, stack};
use crate::ir::Atom;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(in crate::run::feed) fn open(spec: &str, inputs: &[InputSpec], options: &Options) -> Result<Opened, FeedError> {
    let number = spec.strip_prefix("random:").and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    let number: usize = number.ok_or_else(|| FeedError::Random(spec.into()))?;
    let (sizes, together) = frame(inputs);
    let samples = match together {
        Together::Any => number,
        Together::Just(n) => number.div_ceil(n) * n,
    };
    let source = MadeUp { inputs: inputs.to_vec(), sizes, seed: options.seed };
    Ok(Opened { source: Arc::new(source), samples, together, labels: None, left_out: vec![] })
}

/// How long open axes are in a portion of made-up samples, and how many samples that is.
pub(super) fn frame(inputs: &[InputSpec]) -> (Sizes, Together) {
    let mut sizes = Sizes::assume(inputs);
    let batch = batch(inputs);
    let together = match &batch {
        Some(atoms) => {
            atoms.iter().for_each(|atom| _ = sizes.0.insert(atom.clone(), 1));
            Together::Any
        }
        None => {
            let first = inputs.first().and_then(|i| i.shape.get(i.batch));
            Together::Just(first.and_then(|d| sizes.of(d)).unwrap_or(1).max(1))
        }
    };
    (sizes, together)
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
        Ok(stack(portions.iter().map(one).collect::<Result<_, _>>()?, &self.inputs))
    }
}

/// The open sizes that count samples, if every input has one and nothing else depends on them.
fn batch(inputs: &[InputSpec]) -> Option<BTreeSet<Atom>> {
    let counts = |input: &InputSpec| input.shape.get(input.batch)?.as_atom().cloned();
    // A scalar is the same for all.
    let batch: BTreeSet<Atom> = inputs.iter().filter(|i| !i.shape.is_empty()).map(counts).collect::<Option<_>>()?;
    let given = inputs.iter().any(|i| i.lengths.get(i.batch).is_some_and(|length| length.given));
    let elsewhere = |i: &InputSpec, atom: &Atom| {
        let mut dims = i.shape.iter().enumerate().filter(|(axis, _)| *axis != i.batch);
        dims.any(|(_, d)| d.as_atom() == Some(atom))
    };
    let free = !batch.is_empty() && !given && !inputs.iter().any(|i| batch.iter().any(|atom| elsewhere(i, atom)));
    free.then_some(batch)
}
