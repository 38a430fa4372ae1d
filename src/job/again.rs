//! A result that was written, compared with what its plan makes once more.

use super::check::Checked;
use super::done::{Done, Refusal};
use super::proof::Proved;
use super::report::Report;
use super::run::Run;
use super::{Error, Options, choose, files, shortened};
use crate::ir::Model;
use crate::plan::Plan;
use crate::prune::{self, Pruned, Stages};
use crate::score::Formula;
use crate::{cost, infer};

/// Carries out a plan without choosing, repairing or writing, and verifies the result that is there, in
/// [`Options::output`].
pub fn check(model: &Model, plan: Plan, options: &Options) -> Result<Done, Error> {
    let Some(output) = &options.output else { return Err(Error::options("there is no output to check")) };
    let selection = &options.choice.selection;
    // Zeros are not set once more.
    let sparsify = options.zeros.options(&selection.calibration)?.map(|options| (options, None));
    let refitted = sparsify.is_some() || selection.calibration.is_given() && selection.calibration.repair;
    let implied = plan.criterion.parse().is_ok_and(|f: Formula| f.is_repaired_unmeasured());
    let refitted = refitted || implied && selection.calibration.repair || options.choice.search.training.is_given();
    let shortened = shortened(model, &plan, options, &mut Stages::default())?;
    let run = Run { sparsify, ..Run::given(options, model, (shortened, plan))? };
    run.again(&files::load(&output.path)?, refitted)
}

impl Run<'_> {
    /// Compares a result that was written; `refitted`: its weights are others than the cut left.
    fn again(&self, written: &Model, refitted: bool) -> Result<Done, Error> {
        let (analysis, simplify) = (&self.shortened.analysis, &self.options.simplify);
        let pruned = prune::execute(self.model, analysis, &self.plan, simplify, &self.open, None)?;
        let whole = prune::unfolded(written)?;
        let after = cost::cost(&whole, &infer::infer(&whole), &self.open);
        // The proof is about the cut; a refit moved the weights since, and the drift tells by how much.
        let cut = refitted.then_some(pruned.model);
        let pruned = Pruned { cut, model: written.clone(), after, ..pruned };
        let mut stages = Stages::default();
        let (verification, failed) = match self.check_result(&pruned, &mut stages)? {
            Checked::Right(verification) => (verification, false),
            Checked::Wrong(_, Some(verification)) => (verification, true),
            Checked::Wrong(why, None) => return Err(Error::check(why)),
        };
        let proved = Proved { pruned, verification, failed };
        let metrics = self.metrics(&proved, &mut stages)?;
        let Proved { pruned, verification, .. } = proved;
        let path = self.options.output.as_ref().map(|o| o.path.as_path());
        let file = files::size_of(&pruned.model, path)?;
        let report = Report { metrics, ..self.report(&pruned, verification, file)? };
        let nothing = self.is_nothing().then(|| choose::nothing(analysis, self.inexact));
        let model = if failed { Err(Refusal::NotEqual) } else { Ok(pruned.model) };
        Ok(Done { report, model, nothing, data: vec![], written: vec![], input: self.options.input.clone() })
    }
}
