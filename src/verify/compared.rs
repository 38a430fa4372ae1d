//! What the outputs of the models are to one another.

use super::{Role, Subjects, Verification, VerifyError};
use crate::compare::{Comparison, Difference, largest, sensitivity};
use crate::feed::Feed;
use crate::ir::{Model, Tensor};
use crate::oracle::{OracleError, Plan, Runner};

/// Something for each of the models that verification compares.
pub(super) struct Each<T> {
    pub original: T,
    pub reference: Option<T>,
    pub cut: Option<T>,
    pub pruned: T,
}

impl<T> Each<T> {
    /// Makes it of each model in turn.
    pub fn of<E>(subjects: &Subjects, make: impl Fn(&Model, Role) -> Result<T, E>) -> Result<Each<T>, E> {
        Ok(Each {
            original: make(subjects.original, Role::Original)?,
            reference: subjects.reference.map(|m| make(m, Role::Reference)).transpose()?,
            cut: subjects.cut.map(|m| make(m, Role::Pruned)).transpose()?,
            pruned: make(subjects.pruned, Role::Pruned)?,
        })
    }
}

impl Each<Model> {
    pub fn subjects(&self) -> Subjects<'_> {
        Subjects {
            original: &self.original,
            reference: self.reference.as_ref(),
            cut: self.cut.as_ref(),
            pruned: &self.pruned,
        }
    }
}

/// A model that is ready to run.
pub(super) trait Ready {
    fn outputs(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError>;
}

impl Ready for Runner {
    fn outputs(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        self.run(feed)
    }
}

/// What comes out of runs that nobody times.
pub(super) struct Compared {
    pub equivalence: Difference,
    pub drift: Difference,
    pub sensitivity: f64,
}

impl Compared {
    /// Runs the models on each feed; `done` is called after each.
    pub fn of(models: &Each<impl Ready>, feeds: &[Feed], done: &dyn Fn()) -> Result<Compared, VerifyError> {
        let (mut equivalence, mut drift) = (Comparison::default(), Comparison::default());
        let mut outputs = vec![];
        for feed in feeds {
            let full = run(&models.original, Role::Original, feed)?;
            let expected = models.reference.as_ref().map(|m| run(m, Role::Reference, feed)).transpose()?;
            let result = run(&models.pruned, Role::Pruned, feed)?;
            let cut = models.cut.as_ref().map(|m| run(m, Role::Pruned, feed)).transpose()?;
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

    /// What that says where the models ran by this plan, on so many feeds, and were not timed.
    pub fn judged(self, tolerance: f64, feeds: usize, plan: Plan) -> Verification {
        let Compared { equivalence, drift, sensitivity } = self;
        Verification {
            equal: equivalence.worst() <= tolerance,
            meaningful: sensitivity > 10.0 * tolerance,
            equivalence,
            drift,
            sensitivity,
            tolerance,
            rounding: None,
            double: None,
            samples: feeds,
            latency: None,
            untimed: None,
            constants: vec![],
            plan,
        }
    }
}

fn run(model: &impl Ready, which: Role, feed: &Feed) -> Result<Vec<(String, Tensor)>, VerifyError> {
    model.outputs(feed).map_err(|error| VerifyError::Oracle { which, error })
}
