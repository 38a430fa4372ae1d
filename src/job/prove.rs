//! The proof of a plan, and what becomes of a plan that fails it.
//!
//! A cut that does not compute what its reference computes is a defect of a rule somewhere. The other groups can be cut
//! all the same: which ones are to blame is found out by cutting parts of the plan and proving them ([`super::blame`]).
//! These stay whole and are reported.

use super::monitor::Cancelled;
use super::{blame, check};
use crate::analysis::Analysis;
use crate::cost::OpenDims;
use crate::figures;
use crate::ir::{self, Model};
use crate::passes::inlined;
use crate::plan::{self, Plan};
use crate::prune::{self, PruneError};
use crate::verify::{self, Subjects, VerifyError};
use crate::widen::widened;
use serde::Serialize;

/// How many cuts are made and proved at most to find the groups to blame.
pub const RUNS: usize = 40;

/// Why the groups to blame can't be found out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ProveError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Prune(#[from] PruneError),
}

/// Cuts by plans and proves them, without a repair.
pub struct Prover<'a> {
    original: &'a Model,
    /// The prepared model, without the layers that go.
    analysis: &'a Analysis,
    simplify: &'a str,
    open: &'a OpenDims,
    options: Option<verify::Options>,
}

impl<'a> Prover<'a> {
    /// A prover of plans for this model. Without `options` nothing is run, and a cut counts as right if it can be
    /// carried out.
    pub fn new(
        original: &'a Model,
        analysis: &'a Analysis,
        simplify: &'a str,
        open: &'a OpenDims,
        options: Option<verify::Options>,
    ) -> Prover<'a> {
        let options = options.map(|options| {
            let tolerance = options.tolerance.unwrap_or_else(|| verify::tolerance(original));
            verify::Options { tolerance: Some(tolerance), repeats: 0, ..options }
        });
        Prover { original, analysis, simplify, open, options }
    }

    /// Whether the cut of a plan computes what its reference does.
    pub fn holds(&self, plan: &Plan) -> Result<bool, ProveError> {
        let pruned = match prune::execute(self.original, self.analysis, plan, self.simplify, self.open, None) {
            Ok(pruned) => pruned,
            Err(e) if e.is_defect() => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let Some(options) = &self.options else { return Ok(true) };
        let Ok(Ok(reference)) = check::expected(self.original, self.analysis, &plan.layers, &pruned) else {
            return Ok(false);
        };
        let cut = pruned.cut.as_ref().unwrap_or(&pruned.model);
        // The original need not be run: only these two are compared, and not in 16 bits.
        let (reference, cut) = (inlined(&reference), inlined(cut));
        let (reference, cut) = (widened(&reference), widened(&cut));
        let subjects = Subjects { original: &reference, reference: None, cut: None, pruned: &cut };
        match verify::verify(&subjects, options, &|_, _| {}) {
            Ok(found) => Ok(found.equal && ir::verify(&pruned.model).is_empty()),
            Err(e) if e.is_inability() => Err(e.into()),
            Err(_) => Ok(false),
        }
    }
}

/// A group that stays whole because a proof failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    pub label: String,
    pub size: usize,
    #[serde(rename = "where")]
    pub places: Vec<String>,
    pub reason: LeftReason,
}

/// Why a group stays whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftReason {
    /// With it, the proof fails; without it, it holds.
    Guilty,
    /// It is like groups that are to blame.
    Alike,
    /// There were no runs left to find out.
    Undecided,
}

impl LeftReason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            LeftReason::Guilty => "not exact here: please report",
            LeftReason::Alike => "of the same kind as groups that are not exact here: please report",
            LeftReason::Undecided => {
                "left whole because a proof failed and the limit of runs was reached before it was tried"
            }
        }
    }
}

/// What became of a plan that failed its proof.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// What was wrong with the model that the plan made.
    pub why: String,
    /// The groups that stay whole. None where the model is wrong with no group cut at all.
    pub groups: Vec<Left>,
    /// How many cuts were made and proved to find them.
    pub runs: usize,
    /// Whether other groups lose more units in their place.
    pub replanned: bool,
    /// What was dropped beside these groups, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
}

impl Failed {
    /// What became of the plan, in a line.
    pub fn in_a_line(&self) -> String {
        let first = |g: &Left| format!("{} ({})", g.label, g.places.first().map_or("", String::as_str));
        let names: Vec<String> = self.groups.iter().map(first).collect();
        let what = match names.len() {
            0 => "even with no group cut, so that nothing of it was carried out".to_owned(),
            1 => format!("because of {}, which stays whole", names[0]),
            n => format!("because of {n} groups, which stay whole: {}", figures::list(&names)),
        };
        format!("the proof of the plan failed {what}: please report")
    }
}

/// The plan that a failed one leaves, which holds; one without any cut where that fails too.
pub struct Settled {
    pub plan: Plan,
    pub groups: Vec<Left>,
    pub runs: usize,
    pub replanned: bool,
}

/// Finds the groups to blame for a plan that does not hold, in [`RUNS`] runs of `holds` at most. `replan` makes a plan
/// that leaves these groups whole and meets the budget with others, if it can; it is taken where it holds.
pub fn settle<E>(
    plan: &Plan,
    analysis: &Analysis,
    holds: &mut dyn FnMut(&Plan) -> Result<bool, E>,
    replan: &mut dyn FnMut(&[String]) -> Option<Plan>,
) -> Result<Settled, E> {
    let part = |some: &[usize]| Plan { cuts: some.iter().map(|&i| plan.cuts[i].clone()).collect(), ..plan.clone() };
    let bare = Plan { layers: vec![], ..part(&[]) };
    if !holds(&part(&[]))? {
        return Ok(Settled { plan: bare, groups: vec![], runs: 1, replanned: false });
    }
    let named = |label: &str| analysis.groups.named(label);
    let class = |cut: &plan::GroupCut| named(&cut.group).map_or(0, |group| plan::class(analysis, group));
    let classes: Vec<u64> = plan.cuts.iter().map(class).collect();
    let found = blame::find(&classes, RUNS - 2, |some| holds(&part(some)))?;
    let left = |list: &[usize], reason| {
        let of = |&i: &usize| {
            let cut = &plan.cuts[i];
            Left { label: cut.group.clone(), size: cut.units, places: cut.places.clone(), reason }
        };
        list.iter().map(of).collect::<Vec<_>>()
    };
    let (guilty, alike) = (left(&found.guilty, LeftReason::Guilty), left(&found.alike, LeftReason::Alike));
    let groups = [guilty, alike, left(&found.undecided, LeftReason::Undecided)].concat();
    let mut settled = Settled { plan: part(&found.good), groups, runs: found.runs + 1, replanned: false };
    let labels: Vec<String> = settled.groups.iter().map(|g| g.label.clone()).collect();
    if let Some(anew) = replan(&labels).filter(|p| p.cuts != settled.plan.cuts) {
        settled.runs += 1;
        if holds(&anew)? {
            (settled.plan, settled.replanned) = (anew, true);
        }
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Tensor;
    use crate::plan::{Budget, Options, choose};
    use crate::score::Criterion;
    use crate::{load, save};

    /// Six layers of a perceptron.
    fn net() -> (Model, Analysis, Plan) {
        let numbers = |n: usize| (0..n).map(|i| ((i * 37 + n) % 23) as f32 * 0.05 - 0.5).collect::<Vec<_>>();
        let tensor = |width: u64| {
            let shape = vec![width as usize - 1, width as usize];
            Some(Tensor::from_f32(shape.clone(), &numbers(shape.iter().product())))
        };
        let layer = |k: u64| {
            let (from, width) = (k + 4, k + 5);
            format!("f32[{from},{width}] w{k} #{width:016x}\nm{k} = MatMul(r{k}, w{k})\nr{} = LeakyRelu(m{k})\n", k + 1)
        };
        let layers: String = (0..6).map(layer).collect();
        let text = format!("g (f32[n,4] r0) => (f32[n,10] r6) {{\n{layers}}}");
        let model = ir::parse(&text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let model = load::from_bytes(save::to_bytes(&model).expect("it is written").into(), None).expect("it is read");
        let analysis = prune::prepare(&model).expect("it is prepared");
        let plan = choose(&analysis, &options()).expect("a plan");
        assert_eq!(plan.cuts.len(), 5, "{plan:?}");
        (model, analysis, plan)
    }

    fn options() -> Options {
        Options { lossless: None, ..Options::new(Budget::macs(0.6), Criterion::named("l2").expect("a criterion")) }
    }

    /// A prover that is as right as ever, but for the groups that these weights belong to.
    fn settled(wrong: &[&str], again: bool) -> (Plan, Settled) {
        let (model, analysis, plan) = net();
        let open = OpenDims::of(&model, Default::default());
        let prover = Prover::new(&model, &analysis, prune::SIMPLIFY, &open, Some(verify::Options::default()));
        let mut holds = |plan: &Plan| {
            let spoilt = |cut: &plan::GroupCut| cut.places.iter().any(|p| wrong.contains(&p.as_str()));
            Ok::<_, ProveError>(!plan.cuts.iter().any(spoilt) && prover.holds(plan)?)
        };
        let mut replan = |leave: &[String]| {
            let leave = leave.iter().filter_map(|l| analysis.groups.named(l)).map(|g| g.id).collect();
            choose(&analysis, &Options { leave, ..options() }).ok().filter(|_| again)
        };
        let settled = settle(&plan, &analysis, &mut holds, &mut replan).expect("it is settled");
        (plan, settled)
    }

    #[test]
    fn the_group_to_blame_stays_whole() {
        let (plan, _) = settled(&[], false);
        let (victim, place) = (plan.cuts[1].group.clone(), plan.cuts[1].places[0].clone());
        let (_, found) = settled(&[&place], false);
        assert_eq!(
            found.groups.iter().map(|g| (&g.label, g.reason)).collect::<Vec<_>>(),
            [(&victim, LeftReason::Guilty)]
        );
        assert_eq!(found.plan.cuts.len(), plan.cuts.len() - 1);
        assert!(found.runs <= 10 && !found.replanned);
        // Others lose more in its place.
        let (_, anew) = settled(&[&place], true);
        assert!(anew.replanned && anew.plan.cuts.iter().all(|c| c.group != victim));
        let left = |plan: &Plan| {
            let ((model, analysis, _), open) = (net(), OpenDims::default());
            let pruned = prune::execute(&model, &analysis, plan, prune::SIMPLIFY, &open, None).expect("it is cut");
            pruned.after.macs as f64 / pruned.before.macs as f64
        };
        assert!(left(&anew.plan) <= 0.6 && left(&found.plan) > left(&plan));
    }

    #[test]
    fn what_is_wrong_without_a_cut_blames_no_group() {
        let (_, analysis, plan) = net();
        let settled = settle(&plan, &analysis, &mut |_| Ok::<_, ProveError>(false), &mut |_| None).expect("settled");
        assert!(settled.plan.is_empty() && settled.groups.is_empty() && settled.runs == 1);
        // And where every group is to blame, nothing is left.
        let only = |plan: &Plan| Ok::<_, ProveError>(plan.cuts.is_empty());
        let settled = settle(&plan, &analysis, &mut { only }, &mut |_| None).expect("settled");
        assert!(settled.plan.is_empty() && settled.groups.len() == plan.cuts.len());
    }
}
