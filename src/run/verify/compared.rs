//! What the outputs of the models are to one another.

use super::{Role, Subjects, Verification, VerifyError};
use crate::compare::{Comparison, Difference, largest, sensitivity};
use crate::feed::Feed;
use crate::ir::Model;
use crate::oracle::{OracleError, Outputs, Plan, Runner};
use crate::parallel::side_by_side_on;

/// Something for each of the models that verification compares.
pub(super) struct Each<T> {
    pub original: T,
    pub reference: Option<T>,
    pub cut: Option<T>,
    pub pruned: T,
}

impl<T> Each<T> {
    /// Makes it of each model in turn.
    pub(super) fn of<E>(subjects: &Subjects, make: impl Fn(&Model, Role) -> Result<T, E>) -> Result<Each<T>, E> {
        Ok(Each {
            original: make(subjects.original, Role::Original)?,
            reference: subjects.reference.map(|m| make(m, Role::Reference)).transpose()?,
            cut: subjects.cut.map(|m| make(m, Role::Pruned)).transpose()?,
            pruned: make(subjects.pruned, Role::Pruned)?,
        })
    }
}

impl Each<Model> {
    pub(super) fn subjects(&self) -> Subjects<'_> {
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
    fn outputs(&self, feed: &Feed) -> Result<Outputs, OracleError>;
}

impl Ready for Runner {
    fn outputs(&self, feed: &Feed) -> Result<Outputs, OracleError> {
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
    /// Runs the models on each feed, so many at a time; `done` is called after each.
    pub(super) fn of(
        models: &Each<impl Ready + Sync>,
        feeds: &[Feed],
        threads: usize,
        done: &dyn Fn(),
    ) -> Result<Compared, VerifyError> {
        let (mut equivalence, mut drift) = (Comparison::default(), Comparison::default());
        let mut outputs = vec![];
        for feed in feeds {
            let Each { original: full, reference: expected, cut, pruned: result } = models.run(feed, threads)?;
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
    pub(super) fn judged(self, tolerance: f64, feeds: usize, plan: Plan) -> Verification {
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
            runtime: None,
            plan,
        }
    }
}

impl<R: Ready + Sync> Each<R> {
    /// What each of them makes of a feed. They run side by side; of several that fail, the first is to blame.
    fn run(&self, feed: &Feed, threads: usize) -> Result<Each<Outputs>, VerifyError> {
        let (original, pruned) = (Some((&self.original, Role::Original)), Some((&self.pruned, Role::Pruned)));
        let reference = self.reference.as_ref().map(|m| (m, Role::Reference));
        let all = [original, reference, pruned, self.cut.as_ref().map(|m| (m, Role::Pruned))];
        let run = |model: &Option<(&R, Role)>| {
            let (model, which) = (*model)?;
            Some(model.outputs(feed).map_err(|error| VerifyError::Oracle { which, error }))
        };
        let mut outputs = side_by_side_on(threads, &all, run).into_iter();
        let mut next = || outputs.next().flatten().transpose();
        let (original, reference, pruned, cut) = (next()?, next()?, next()?, next()?);
        let (original, pruned) = original.zip(pruned).ok_or(VerifyError::NoFeed)?;
        Ok(Each { original, reference, cut, pruned })
    }
}
