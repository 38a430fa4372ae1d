//! What a student learns from, found by a first look at the outputs.

use super::loss::Meaning;
use super::student::{Lesson, Target};
use super::{Loss, Options, Teacher, TuneError};
use crate::feed::Feed;
use crate::ir::{Model, Tensor};

/// What there is to learn from: the student's outputs with those of the teacher that have their names, or else their
/// places.
pub(super) fn lesson(
    model: &Model,
    teacher: Option<&Teacher>,
    feed: &Feed,
    own: Option<(String, Tensor)>,
    options: &Options,
) -> Result<Lesson, TuneError> {
    let of_tokens = feed.iter().any(|(_, t)| !t.dtype.is_float());
    let names: Vec<String> = model.graph.outputs().iter().map(|&o| model.graph.label(o).to_owned()).collect();
    let mut inner = vec![];
    let outputs = match teacher {
        Some(teacher) => {
            let mut theirs = teacher.outputs(options.engine(), feed)?;
            let told = theirs.split_off(theirs.len().saturating_sub(teacher.inner.len()));
            let values = model.graph.values_by_name();
            for (name, tensor) in told {
                let value = values.get(&name).ok_or_else(|| TuneError::NoOutput(name.clone()))?;
                let meaning = Meaning::of(&tensor, Loss::Mse, of_tokens)?;
                inner.push((*value, Target { student: name.clone(), teacher: name, meaning, shape: tensor.shape }));
            }
            let goal = |(at, name): (usize, &String)| {
                let named = theirs.iter().find(|(n, _)| n == name).or(theirs.get(at));
                let Some((other, tensor)) = named else { return Some(Err(TuneError::NoOutput(name.clone()))) };
                // Indices and counts can't be moved by weights.
                tensor.dtype.is_float().then(|| {
                    let (meaning, shape) = (Meaning::of(tensor, options.loss, of_tokens)?, tensor.shape.clone());
                    Ok(Target { student: name.clone(), teacher: other.clone(), meaning, shape })
                })
            };
            names.iter().enumerate().filter_map(goal).collect::<Result<Vec<_>, TuneError>>()?
        }
        None => {
            let (name, tensor) = own.ok_or(TuneError::NothingToLearn)?;
            let meaning = Meaning::of(&tensor, options.loss, of_tokens)?;
            vec![Target { student: name.clone(), teacher: name, meaning, shape: tensor.shape }]
        }
    };
    match outputs.is_empty() {
        true => Err(TuneError::NoFloats),
        false => Ok(Lesson { outputs, inner, taught: teacher.is_some() }),
    }
}
