//! A plan with all that belongs to it, on its way to a result.

use super::choose::{self, Chosen};
use super::done::{Done, Refusal};
use super::gates::Figures;
use super::monitor::Monitor;
use super::options::Options;
use super::proof::Proved;
use super::prove::Failed;
use super::report::{self, MachineReport, RepairReport, Report, SampleReport, Size, SparsityReport, StageReport};
use super::samples::Calibrated;
use super::search::SearchReport;
use super::{Error, files};
use crate::cost::OpenDims;
use crate::figures;
use crate::ir::Model;
use crate::plan::{self, Plan};
use crate::prune::{self, Pruned, Shortened, Sparsify, Stages};
use crate::save;
use crate::sparsity;
use crate::stats::{Batches, Samples};
use std::path::Path;

/// A model with the plan for it.
pub(super) struct Run<'a> {
    pub options: &'a Options,
    pub model: &'a Model,
    /// The prepared model, without the plan's layers.
    pub shortened: Shortened,
    pub plan: Plan,
    /// Whether inexact groups could be cut, so that they are no pins.
    pub inexact: bool,
    /// What the result is repaired by.
    pub calibrated: Option<Calibrated>,
    /// What samples there were.
    pub sampled: SampleReport,
    /// What was tried to find the plan.
    pub searched: Option<SearchReport>,
    /// The prepared model that the plan leaves with trained weights, which take the place of a repair.
    pub trained: Option<Model>,
    /// How single weights are set to zero, and the samples to measure on.
    pub sparsify: Option<(sparsity::Options, Option<Batches>)>,
    /// What the machine takes for what the plan leaves.
    pub machine: Option<MachineReport>,
    /// Sizes of open dimensions, to count costs.
    pub open: OpenDims,
    /// What the plan was chosen by, where one can be chosen again.
    pub replan: Option<plan::Options>,
    /// What became of a plan that failed its proof.
    pub unproved: Option<Failed>,
    /// Whether the plan is only carried out if it is worth it.
    pub weighed: bool,
}

impl<'a> Run<'a> {
    /// What was chosen for a model.
    pub(super) fn chosen(options: &'a Options, model: &'a Model, chosen: Chosen) -> Result<Run<'a>, Error> {
        let Chosen { shortened, plan, calibrated, searched, trained, machine, replan, sampled } = chosen;
        let open = options.choice.selection.open(model)?;
        let (inexact, weighed) = (options.choice.selection.inexact, options.choice.weighs());
        let plan = plan.recorded(&options.record.choice);
        let (sparsify, unproved) = (None, None);
        Ok(Run {
            options,
            model,
            shortened,
            plan,
            inexact,
            calibrated,
            sampled,
            searched,
            trained,
            sparsify,
            machine,
            open,
            replan,
            unproved,
            weighed,
        })
    }

    /// A plan that somebody made before.
    pub(super) fn given(
        options: &'a Options,
        model: &'a Model,
        (shortened, plan): (Shortened, Plan),
    ) -> Result<Run<'a>, Error> {
        let open = options.choice.selection.open(model)?;
        let (calibrated, searched, trained, sparsify, machine) = (None, None, None, None, None);
        Ok(Run {
            options,
            model,
            shortened,
            plan,
            inexact: true,
            calibrated,
            sampled: SampleReport::default(),
            searched,
            trained,
            sparsify,
            machine,
            open,
            replan: None,
            unproved: None,
            weighed: false,
        })
    }

    pub(super) fn monitor(&self) -> &'a Monitor {
        &self.options.monitor
    }

    /// Whether the model stays as it is.
    pub(super) fn is_nothing(&self) -> bool {
        self.plan.is_empty() && self.sparsify.is_none()
    }

    pub(super) fn sparsify(&self) -> Option<Sparsify<'_>> {
        let (options, samples) = self.sparsify.as_ref()?;
        let (samples, setup) = (samples.as_ref().map(|s| s as &dyn Samples), &self.options.verification.setup);
        Some(Sparsify { options, samples, setup })
    }

    /// Carries out the plan, proves the result, judges it, and writes it unless it is refused.
    pub(super) fn finish(mut self, mut stages: Stages) -> Result<Done, Error> {
        let mut proved = self.proved(&mut stages)?;
        let unworthy = self.unworthy(&proved);
        if unworthy.is_some() {
            self.plan.cuts.clear();
            (self.trained, self.machine) = (None, None);
            proved = self.proved(&mut stages)?;
        }
        let metrics = self.metrics(&proved, &mut stages)?;
        let Proved { pruned, verification, failed } = proved;
        let (input, output) = (self.options.input.as_deref(), self.options.output.as_ref());
        // With nothing to prune the file is written as it was read.
        let result = if self.is_nothing() { self.model } else { &pruned.model };
        // What failed its check is not written and has no size.
        let file = if failed { 0 } else { files::result_size(output, result, input)? };
        let mut report = Report { metrics, ..self.report(&pruned, verification, file)? };
        report.gates = Figures::of(&report).judge(&self.options.gates);
        let missed: Vec<_> = report.gates.iter().filter(|g| !g.met).cloned().collect();
        let refusal = match (failed, missed.is_empty()) {
            (true, _) => Some(Refusal::NotEqual),
            (false, false) => Some(Refusal::Gates(missed)),
            (false, true) => None,
        };
        let mut written = vec![];
        if let Some(output) = output.filter(|_| refusal.is_none()) {
            let saved = stages.time("save", || output.save(result, input, self.monitor()))?;
            written.push(output.path.clone());
            written.extend(saved.data.map(|(path, _)| path));
        }
        report.stages =
            stages.iter().map(|(n, t)| StageReport { name: (*n).into(), seconds: t.as_secs_f64() }).collect();
        let nothing = self.nothing(unworthy);
        let data = save::data_files(self.model)?.into_iter().collect();
        let model = refusal.map_or_else(|| Ok(result.clone()), Err);
        Ok(Done { report, model, nothing, data, written, input: self.options.input.clone() })
    }

    /// Why nothing was pruned, where that is so.
    fn nothing(&self, unworthy: Option<String>) -> Option<String> {
        let broken = self.searched.as_ref().and_then(SearchReport::violated);
        let unproved =
            self.unproved.is_some().then(|| "nothing to prune: no group that was to be cut is exact here".into());
        let whole = || choose::nothing(&self.shortened.analysis, self.inexact);
        self.is_nothing().then(|| unworthy.or(broken).or(unproved).unwrap_or_else(whole))
    }

    /// What is told of a result that takes so many bytes.
    pub(super) fn report(&self, pruned: &Pruned, verification: report::Outcome, file: u64) -> Result<Report, Error> {
        let input = self.options.input.as_deref();
        let before = Size { cost: pruned.before.clone(), file: files::size_of(self.model, input)? };
        let after = if self.is_nothing() { before.clone() } else { Size { cost: pruned.after.clone(), file } };
        let sparsity = |(layers, (options, _)): (_, &(sparsity::Options, _))| {
            SparsityReport::new(options.to_string(), layers, pruned.cut.is_none())
        };
        let named = |path: Option<&Path>| path.map_or_else(String::new, |p| p.display().to_string());
        Ok(Report {
            secateur: env!("CARGO_PKG_VERSION"),
            input: named(input),
            output: named(self.options.output.as_ref().map(|o| o.path.as_path())),
            before,
            after,
            calls: pruned.calls.clone(),
            layers: self.shortened.layers.clone(),
            groups: pruned.groups.clone(),
            lossless: pruned.lossless.clone(),
            pinned: prune::pins(&self.shortened.analysis, self.inexact),
            unproved: self.unproved.clone(),
            removed: [self.shortened.zeroing.clone(), pruned.removed.clone()].concat(),
            samples: self.sampled.clone(),
            repaired: pruned.repaired.clone(),
            unrepaired: pruned.unrepaired.clone(),
            sparsity: pruned.thinned.clone().zip(self.sparsify.as_ref()).map(sparsity),
            plan: self.plan.clone(),
            searched: self.searched.clone(),
            machine: self.machine.clone(),
            verification,
            metrics: None,
            gates: vec![],
            stages: vec![],
            repair_costs: pruned.costs.filter(|c| c.in_memory > 0).map(|c| RepairReport::new(&c)),
        })
    }

    /// Why a plan is not worth what it changes, where that is so.
    fn unworthy(&self, proved: &Proved) -> Option<String> {
        let drift = proved
            .verification
            .drift()
            .filter(|_| self.weighed && self.sparsify.is_none() && !self.plan.cuts.is_empty() && !proved.failed)?;
        let saved = prune::saved(&proved.pruned.before, &proved.pruned.after);
        (!prune::is_worth(saved, drift.drift())).then(|| {
            format!(
                "nothing worth pruning: the cut saves {} of the model and changes the outputs by {:.2} (relative L2); \
                 --allow-tiny makes it all the same",
                figures::share(saved),
                drift.drift()
            )
        })
    }
}
