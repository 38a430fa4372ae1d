//! What the outputs of the models are to one another.

use super::{Role, VerifyError};
use crate::compare::{Comparison, Difference, largest, sensitivity};
use crate::feed::Feed;
use crate::ir::Tensor;

/// Which of the models that verification compares.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Original,
    /// What the cut model must equal.
    Reference,
    /// The pruned model before its repair.
    Cut,
    Pruned,
}

impl Which {
    pub fn role(self) -> Role {
        match self {
            Which::Original => Role::Original,
            Which::Reference => Role::Reference,
            Which::Cut | Which::Pruned => Role::Pruned,
        }
    }
}

/// The models, ready to run.
pub(super) trait Models {
    /// The outputs of one of them; `None` where there is no reference, or no repair.
    fn run(&self, which: Which, feed: &Feed) -> Option<Result<Vec<(String, Tensor)>, VerifyError>>;
}

/// What comes out of runs that nobody times.
pub(super) struct Compared {
    pub equivalence: Difference,
    pub drift: Difference,
    pub sensitivity: f64,
}

impl Compared {
    /// Runs the models on each feed; `done` is called after each.
    pub fn of(models: &dyn Models, feeds: &[Feed], done: &dyn Fn()) -> Result<Compared, VerifyError> {
        let (mut equivalence, mut drift) = (Comparison::default(), Comparison::default());
        let mut outputs = vec![];
        for feed in feeds {
            let run = |which| models.run(which, feed).transpose();
            let needed = |which| run(which)?.ok_or(VerifyError::NoFeed);
            let (full, expected) = (needed(Which::Original)?, run(Which::Reference)?);
            let (result, cut) = (needed(Which::Pruned)?, run(Which::Cut)?);
            match &expected {
                // What the original finds at run time it may find more or less often than the reference.
                Some(_) => drift.add_of_any_length(&full, &result)?,
                None => drift.add(&full, &result)?,
            }
            equivalence.add(expected.as_ref().unwrap_or(&full), cut.as_ref().unwrap_or(&result))?;
            outputs.push(full);
            done();
        }
        let sensitivity = match &outputs[..] {
            [first, others @ ..] if !others.is_empty() => {
                let changes = others.iter().map(|other| sensitivity(first, other)).collect::<Result<Vec<_>, _>>()?;
                largest(changes.into_iter().flatten().map(|(_, s)| s))
            }
            _ => f64::INFINITY,
        };
        Ok(Compared { equivalence: equivalence.finish(), drift: drift.finish(), sensitivity })
    }
}
