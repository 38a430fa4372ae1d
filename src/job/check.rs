//! The check of a result: it is run beside the original and beside what it must equal.

use super::Error;
use super::monitor::{Monitor, Steps};
use super::report::Outcome;
use crate::analysis::Analysis;
use crate::ir::{self, Model};
use crate::layers::silenced;
use crate::plan::LayerCut;
use crate::prune::Pruned;
use crate::reference::{ReferenceError, reference};
use crate::sparsity;
use crate::verify::{self, Doubled, Subjects};

/// What a check of a result comes to.
pub(super) enum Checked {
    /// The result is right, as far as anybody could say.
    Right(Outcome),
    /// It is not what it must be, for this reason; what was found out, where the models were run.
    Wrong(String, Option<Outcome>),
}

/// What a pruned model must equal, of the original's size: the original with zeros where units, layers and single
/// weights are gone.
pub(super) fn expected(
    original: &Model,
    analysis: &Analysis,
    layers: &[LayerCut],
    pruned: &Pruned,
) -> Result<Result<Model, ReferenceError>, Error> {
    let mut masked = silenced(original, layers);
    sparsity::set_zero(&mut masked, &pruned.zeroed)?;
    Ok(reference(&masked, analysis, &pruned.keep, &pruned.removed))
}

/// The same, where it need not exist: why there is none is no error then.
pub(super) fn expected_or_why(expected: Result<Model, ReferenceError>) -> Result<Result<Model, String>, Error> {
    match expected {
        Err(e @ ReferenceError::Unsayable { .. }) => Ok(Err(e.to_string())),
        other => Ok(Ok(other?)),
    }
}

/// Runs a pruned model, the original, and what the pruned one must equal, unless nobody can say what that is.
pub(super) fn check(
    original: &Model,
    expected: Result<&Model, &str>,
    pruned: &Pruned,
    options: &verify::Options,
    monitor: &Monitor,
) -> Result<Checked, Error> {
    let (cut, reference) = (pruned.cut.as_ref(), expected.ok());
    let subjects = Subjects { original, reference, cut, pruned: &pruned.model };
    let work = monitor.begin("verifying", Steps::Of(options.samples))?;
    let found = verify::verify(&subjects, options, &|done, total| work.at(done, total));
    drop(work);
    if let Some(first) = ir::verify(&pruned.model).first() {
        let why = format!("the result breaks an invariant at {}: {}", first.at, first.what);
        return Ok(Checked::Wrong(why, None));
    }
    Ok(match (found, expected) {
        (Ok(v), Ok(_)) if !v.equal => Checked::Wrong(difference(&v), Some(Outcome::Ran(Box::new(v)))),
        (Ok(v), Ok(_)) => Checked::Right(Outcome::Ran(Box::new(v))),
        (Ok(v), Err(why)) => {
            Checked::Right(Outcome::NoReference { why: why.to_owned(), drift: v.drift, latency: v.latency })
        }
        (Err(e), _) if e.is_inability() => {
            let instead = "every type inferred after the cut is the one predicted before it, and the result's \
                           invariants hold";
            Checked::Right(Outcome::Unable { why: e.to_string(), instead: instead.into() })
        }
        // What ran before the cut and does not run after it, or makes other outputs, is a broken result.
        (Err(e), _) if e.is_of_the_result() => Checked::Wrong(format!("{e}; the original model runs"), None),
        (Err(e), _) => return Err(Error::new(e)),
    })
}

/// By how much a result is wrong.
fn difference(found: &verify::Verification) -> String {
    let (worst, most) = (found.equivalence.worst(), found.tolerance);
    let too = match &found.double {
        Some(Doubled::Apart(apart)) => format!(", and by {:.1e} in double precision", apart.worst()),
        Some(Doubled::Unable(why)) => format!("; whether that is rounding is open, for {why}"),
        None => String::new(),
    };
    format!("the outputs differ by {worst:.1e} of the largest (tolerance {most:.0e}){too}")
}
