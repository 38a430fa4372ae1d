//! What is told of a training, and why there was none.

use super::Error;
use super::monitor::Monitor;
use crate::ir::Model;
use crate::lowering::LowerError;
use crate::tune::{Quantized, StateError, TuneError};

/// Tells how much of a model is not trained because it is quantized.
pub(crate) fn tell_untrained(model: &Model, monitor: &Monitor) {
    let (weights, tensors) = Quantized::of(model).counts(model);
    if tensors > 0 {
        monitor.note(&format!(
            "note: {weights} weights in {tensors} tensors are whole numbers (quantized), and are not trained"
        ));
    }
}

/// The failure of this text, with what can be done about the error.
pub(crate) fn hinted(error: &TuneError, text: String) -> Error {
    let hint = match error {
        TuneError::NothingToLearn => "give the original model with --teacher, or labels with --labels, or both",
        TuneError::NothingToTrain => "see `secateur inspect`; patterns of --train and --freeze are for whole names",
        TuneError::WholeNumbers { .. } => "train the model of floats, and quantize what comes out",
        TuneError::Few { .. } => "give more samples, or hold out more of them: `--hold-out 2` is every second one",
        TuneError::NoOutput(_) | TuneError::Outputs { .. } => "a teacher has the student's outputs, in the same order",
        TuneError::NoFloats => "export the model with its scores as an output: only floats have gradients",
        TuneError::Teacher(_) => "a teacher has the student's inputs, by the same names",
        TuneError::Labels(..) => {
            "labels are classes, one for each position; for numbers give `--task regression` or `--loss mse`"
        }
        TuneError::Range(_) => "classes are numbered from 0; a label below 0 does not count",
        TuneError::Diverged(0) => "the model itself, the teacher or the labels have numbers that are not finite",
        TuneError::Diverged(_) => "try a lower learning rate (--lr), or a smaller --clip",
        TuneError::Sample(_) => "leave these samples out, or repair them",
        TuneError::State(StateError::Other(_)) => {
            "resume with the same model, samples and options, or leave out --resume to start over"
        }
        TuneError::State(StateError::Format { .. }) => "leave out --resume to start over; that overwrites the file",
        TuneError::Lower(LowerError::Call { .. }) => {
            "export the model without it, or let `prune --calib` repair what it cuts, which needs no derivatives"
        }
        _ => "",
    };
    let error = Error::new(text);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}
