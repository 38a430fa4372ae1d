//! Setting a plan right by what it is measured to come to.
//!
//! A table says what fused subgraphs take by themselves. In the whole model caches are warm or cold, and fused
//! subgraphs go together that were apart; so the plan is carried out and timed beside the original, and made again for
//! another share of the table's total until the measured share is met.

use serde::Serialize;

/// How often a plan is made again at most.
const ROUNDS: usize = 8;

/// How far below the budget the result may be before a wider one is looked for.
const SLACK: f64 = 0.03;

/// What share of the original's time a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeasuredShare {
    /// The median over the turns.
    pub share: f64,
    /// A confidence interval of that median.
    pub interval: (f64, f64),
}

/// A plan that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CorrectionRound {
    /// The share of the table's total that was planned for.
    pub planned: f64,
    pub measured: MeasuredShare,
}

/// A plan with what it was measured to come to.
pub(crate) struct Corrected<P> {
    pub plan: P,
    pub measured: MeasuredShare,
    /// Whether the measured share is within the budget.
    pub met: bool,
    /// All plans that were tried, in order.
    pub rounds: Vec<CorrectionRound>,
}

/// Makes plans until one is measured to take the share that is asked for, and not much less. `plan` makes one for a
/// share of the table's total; for less than can be had, the least. Of the plans that meet the budget the one nearest
/// to it is taken, else the fastest.
pub(crate) fn corrected<P: PartialEq, E>(
    asked: f64,
    mut plan: impl FnMut(f64) -> Result<P, E>,
    mut measure: impl FnMut(&P) -> Result<MeasuredShare, E>,
) -> Result<Corrected<P>, E> {
    let mut best: Option<(P, MeasuredShare)> = None;
    let mut rounds: Vec<CorrectionRound> = vec![];
    // The widest share known to meet the budget, and the narrowest known to miss it.
    let (mut met, mut missed): (f64, f64) = (0.0, f64::INFINITY);
    let mut share = asked;
    for _ in 0..ROUNDS {
        let next = plan(share)?;
        if best.as_ref().is_some_and(|(known, _)| *known == next) {
            break;
        }
        let measured = measure(&next)?;
        rounds.push(CorrectionRound { planned: share, measured });
        let fits = measured.share <= asked;
        if fits {
            met = met.max(share);
        } else {
            missed = missed.min(share);
        }
        if best.as_ref().is_none_or(|(_, known)| is_better(asked, measured.share, known.share)) {
            best = Some((next, measured));
        }
        if fits && measured.share >= asked * (1.0 - SLACK) {
            break;
        }
        share = next_share(asked * (1.0 - SLACK / 2.0), &rounds, met, missed.min(1.0));
    }
    let (plan, measured) = best.expect("the first round has a plan");
    Ok(Corrected { met: measured.share <= asked, plan, measured, rounds })
}

/// The share to plan for next, between one that met the budget and one that missed it: where the line through the last
/// two rounds comes to the target; after the first, what is proportional.
fn next_share(target: f64, rounds: &[CorrectionRound], met: f64, missed: f64) -> f64 {
    let guess = match rounds {
        [.., a, b] if a.measured.share != b.measured.share => {
            let slope = (b.planned - a.planned) / (b.measured.share - a.measured.share);
            b.planned + slope * (target - b.measured.share)
        }
        [.., b] => b.planned * target / b.measured.share.max(1e-9),
        [] => target,
    };
    if guess > met && guess < missed { guess } else { (met + missed) / 2.0 }
}

/// Whether a share serves a budget better than the best so far.
fn is_better(asked: f64, share: f64, known: f64) -> bool {
    match (share <= asked, known <= asked) {
        (true, true) => share > known,
        (fits, other) if fits != other => fits,
        _ => share < known,
    }
}
