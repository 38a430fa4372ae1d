//! What teaches a student.

use super::{Feature, PREPARE, TuneError};
use crate::autograd::{Bindings, Engine};
use crate::feed::Feed;
use crate::ir::Signature;
use crate::ir::{Model, NodeId, Tensor};
use crate::lowering::lower;
use crate::oracle::{OracleError, Outputs, Runner, Setup};
use crate::pipelines;
use crate::program::{Builder, Program, Statistics};
use crate::save::to_bytes;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Outputs of a teacher that are kept take no more memory than this, in bytes; beyond it they are computed each time.
const KEPT: usize = 512 << 20;

/// A model that a student learns from. The engine that trains runs it; where that can't, the oracle does.
pub struct Teacher {
    model: Model,
    dir: Option<PathBuf>,
    /// What runs it where the engine can't.
    setup: Setup,
    hash: u64,
    /// The same, as the engine takes it.
    prepared: Option<Model>,
    /// Inner values that are told beside the outputs, behind them.
    pub(super) inner: Vec<Feature>,
    ready: Mutex<Vec<(Vec<Signature>, Arc<Ready>)>>,
}

/// A teacher for inputs of certain sizes.
enum Ready {
    /// Its results have these names.
    Program(Program, Vec<String>),
    Runner(Mutex<Runner>),
}

impl Teacher {
    /// A teacher whose external data lie in `dir`. The setup runs it where the engine that trains can't.
    pub fn new(model: &Model, dir: Option<PathBuf>, inner: Vec<Feature>, setup: Setup) -> Result<Teacher, TuneError> {
        let bytes = to_bytes(model).map_err(|e| TuneError::Output(e.to_string()))?;
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
        let mut prepared = model.clone();
        let prepared = pipelines::run(PREPARE, &mut prepared).is_ok().then_some(prepared);
        Ok(Teacher { model: model.clone(), dir, setup, hash, prepared, inner, ready: Mutex::default() })
    }

    /// A hash of the model.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The outputs for a feed, by name, and then the inner values.
    pub fn outputs(&self, engine: Engine, feed: &Feed) -> Result<Vec<(String, Tensor)>, TuneError> {
        let outputs = match &*self.ready(&feed.signature())? {
            Ready::Program(program, names) => {
                let model = self.prepared.as_ref();
                let constant = |node: NodeId| model?.graph.constant(node).map(|c| &c.tensor);
                let bindings = Bindings { input: &|name| feed.get(name), constant: &constant };
                names.iter().cloned().zip(engine.run(program, bindings)?).collect()
            }
            Ready::Runner(runner) => {
                let outputs = runner.lock().expect("no run breaks down").run(feed).map_err(TuneError::Teacher)?;
                self.in_order(outputs)
            }
        };
        self.cut(outputs)
    }

    fn ready(&self, signature: &[Signature]) -> Result<Arc<Ready>, TuneError> {
        let mut ready = self.ready.lock().expect("no preparation breaks down");
        if let Some((_, known)) = ready.iter().find(|(s, _)| s == signature) {
            return Ok(known.clone());
        }
        let made = match self.program(signature) {
            Some((program, names)) => Ready::Program(program, names),
            None => Ready::Runner(Mutex::new(self.runner(signature).map_err(TuneError::Teacher)?)),
        };
        let made = Arc::new(made);
        ready.push((signature.to_vec(), made.clone()));
        Ok(made)
    }

    /// The teacher as a program, with the names of its results; none if the engine lacks something for it.
    fn program(&self, signature: &[Signature]) -> Option<(Program, Vec<String>)> {
        let model = self.prepared.as_ref()?;
        let builder = Builder::new();
        let lowered = lower(&builder, model, signature, Statistics::Running).ok()?;
        let values = model.graph.values_by_name();
        let inner = |f: &Feature| Some((f.name.clone(), *lowered.values.get(values.get(&f.name)?)?));
        let inner: Vec<_> = self.inner.iter().map(inner).collect::<Option<_>>()?;
        let all = model.graph.outputs().len() == lowered.outputs.len();
        let (names, terms): (Vec<_>, Vec<_>) = lowered.outputs.into_iter().chain(inner).unzip();
        all.then_some((builder.finish(&terms).ok()?, names))
    }

    fn runner(&self, signature: &[Signature]) -> Result<Runner, OracleError> {
        let mut model = self.model.clone();
        let values = model.graph.values_by_name();
        let value = |f: &Feature| values.get(&f.name).copied().ok_or_else(|| OracleError::NoValue(f.name.clone()));
        model.graph.also_return(self.inner.iter().map(value).collect::<Result<Vec<_>, _>>()?);
        let bytes = to_bytes(&model).map_err(|e| OracleError::Decode(e.to_string()))?;
        Runner::on(&self.setup, &bytes, self.dir.as_deref(), signature)
    }

    /// The model's own outputs, and then all inner values: one of these may be an output too.
    fn in_order(&self, mut outputs: Outputs) -> Outputs {
        let inner = |f: &Feature| outputs.iter().find(|(name, _)| *name == f.name).cloned();
        let inner: Outputs = self.inner.iter().filter_map(inner).collect();
        outputs.truncate(self.model.graph.outputs().len());
        outputs.extend(inner);
        outputs
    }

    /// The inner values, as the student has them.
    fn cut(&self, mut outputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, TuneError> {
        let first = outputs.len().saturating_sub(self.inner.len());
        for ((_, tensor), feature) in outputs[first..].iter_mut().zip(&self.inner) {
            *tensor = feature.of(tensor.clone())?;
        }
        Ok(outputs)
    }
}

/// Outputs of portions, while they are few enough.
#[derive(Default)]
pub(super) struct Kept {
    rows: HashMap<usize, Vec<(String, Tensor)>>,
    bytes: usize,
}

impl Kept {
    /// The outputs for these portions, if all are there.
    pub(super) fn all(&self, portions: &[usize]) -> Option<Vec<(String, Tensor)>> {
        let rows: Vec<&Vec<(String, Tensor)>> = portions.iter().map(|p| self.rows.get(p)).collect::<Option<_>>()?;
        let output = |at: usize| {
            let parts: Vec<&Tensor> = rows.iter().map(|row| &row[at].1).collect();
            Some((rows[0][at].0.clone(), joined(&parts)?))
        };
        (0..rows.first()?.len()).map(output).collect()
    }

    /// Keeps what belongs to each portion, if the first axes of the outputs count samples.
    pub(super) fn keep(&mut self, portions: &[usize], outputs: &[(String, Tensor)]) {
        let bytes: usize = outputs.iter().map(|(_, t)| t.byte_len()).sum();
        let counts = |t: &Tensor| t.shape.first().is_some_and(|&n| n > 0 && n.is_multiple_of(portions.len()));
        if self.bytes + bytes > KEPT || !outputs.iter().all(|(_, t)| counts(t)) {
            return;
        }
        self.bytes += bytes;
        for (at, portion) in portions.iter().enumerate() {
            let part = |(name, t): &(String, Tensor)| {
                let rows = t.shape[0] / portions.len();
                Some((name.clone(), t.select(0, &(at * rows..(at + 1) * rows).collect::<Vec<_>>()).ok()?))
            };
            if let Some(row) = outputs.iter().map(part).collect() {
                self.rows.insert(*portion, row);
            }
        }
    }
}

/// The rows of one tensor after those of another.
fn joined(parts: &[&Tensor]) -> Option<Tensor> {
    let first = parts.first()?;
    let mut bytes = vec![];
    for part in parts {
        bytes.extend_from_slice(part.raw().ok()?);
    }
    let rows = parts.iter().map(|p| p.shape.first().copied().unwrap_or(1)).sum();
    let mut shape = first.shape.clone();
    *shape.first_mut()? = rows;
    Tensor::new(first.dtype, shape, bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_portions_are_put_together_in_any_order() {
        let mut kept = Kept::default();
        let outputs = |rows: &[f32]| vec![("y".to_owned(), Tensor::from_f32(vec![rows.len() / 2, 2], rows))];
        kept.keep(&[4, 7], &outputs(&[1.0, 2.0, 3.0, 4.0]));
        let found = kept.all(&[7, 4]).expect("both are there");
        assert_eq!((found[0].1.shape.clone(), found[0].1.to_f64()), (vec![2, 2], Ok(vec![3.0, 4.0, 1.0, 2.0])));
        assert!(kept.all(&[4, 5]).is_none());
        // Three rows do not belong to two samples.
        kept.keep(&[1, 2], &outputs(&[0.0; 6]));
        assert!(kept.all(&[1]).is_none());
    }
}
