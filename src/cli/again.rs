//! A result that was written, compared with what its plan makes once more.

use super::proof::{Checked, Proved};
use super::prune::{Args, Done, Finish, Job};
use super::{Failure, show, source};
use crate::plan::Plan;
use crate::prune::{self, Pruned, Stages};
use crate::report::Report;
use crate::{cost, infer, layers};

/// Carries out a plan without choosing, repairing or writing, and verifies the result that is there.
pub fn again(args: &Args, plan: Plan) -> Result<Done, Failure> {
    let model = source::load(&args.model)?;
    let analysis = source::prepare(&model)?;
    let (dims, calibration) = (&args.choice.how.dims, &args.choice.how.calibration);
    let layers = layers::resolve(&analysis, &plan.layers)?;
    let shortened = prune::shorten(analysis, &layers, &dims.open(&model)?)?;
    // Zeros are not set once more.
    let thin = args.thinning.options(calibration)?.map(|options| (options, None));
    let refitted = thin.is_some() || calibration.is_given() && calibration.refits();
    let refitted = refitted || args.choice.driving.tuning.is_given();
    let (input, seed) = (args.model.as_path(), args.choice.how.seed);
    let options = String::new();
    let (calibrated, driven, trained, machine) = (None, None, None, None);
    let job = Job {
        input,
        model: &model,
        shortened,
        plan,
        seed,
        dims,
        inexact: true,
        calibrated,
        driven,
        trained,
        thin,
        machine,
        options,
        open: dims.open(&model)?,
        replan: None,
        unproved: None,
        weighed: false,
    };
    args.finish.again(&job, refitted)
}

impl Finish {
    /// `refitted`: the weights are others than the cut left.
    fn again(&self, job: &Job, refitted: bool) -> Result<Done, Failure> {
        let written = source::load(&self.output.output)?;
        let analysis = &job.shortened.analysis;
        let pruned = prune::execute(job.model, analysis, &job.plan, &self.rewriting.text(), &job.open, None)?;
        let whole = prune::unfolded(&written)?;
        let after = cost::cost(&whole, &infer::infer(&whole), &job.open);
        // The proof is about the cut; a refit moved the weights since, and the drift tells by how much.
        let cut = refitted.then_some(pruned.model);
        let pruned = Pruned { cut, model: written, after, ..pruned };
        let mut stages = Stages::default();
        let (verification, failed) = match self.check_result(job, &pruned, &mut stages)? {
            Checked::Right(verification) => (verification, false),
            Checked::Wrong(_, Some(verification)) => (verification, true),
            Checked::Wrong(why, None) => return Err(Failure::check_failed(why)),
        };
        let proved = Proved { pruned, verification, failed };
        let metrics = self.metrics(job, &proved, &mut stages)?;
        let Proved { pruned, verification, .. } = proved;
        let file = source::file_size(&self.output.output, &pruned.model);
        let report = Report { metrics, ..self.report(job, &pruned, verification, file) };
        let nothing = job.is_nothing().then(|| show::nothing(analysis, job.inexact));
        Ok(Done { report, failed, nothing, data: vec![], written: vec![] })
    }
}
