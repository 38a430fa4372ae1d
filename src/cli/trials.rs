//! How trials are shown.

use super::{figures, show};
use crate::job::search::{AllocationSearch, ConstrainedSearch, Folds, RoundTraining, SearchReport, Spread, Trial};

/// All that was tried.
pub(super) fn summary(report: &SearchReport) -> String {
    let mut out = report.constraint.as_ref().map_or_else(String::new, |found| constraint(found, report.held_out));
    out += &report.allocation.as_ref().map_or_else(String::new, |found| allocation(found, report.held_out));
    out += &report.folds.as_ref().map_or_else(String::new, folds);
    out + &training(&report.rounds)
}

/// The training of each round, a line each.
fn training(rounds: &[RoundTraining]) -> String {
    if rounds.is_empty() {
        return String::new();
    }
    let line = |(at, t): (usize, &RoundTraining)| {
        let losses = [t.before, t.after].map(|loss| format!("{loss:.4}"));
        [(at + 1).to_string(), t.steps.to_string()].into_iter().chain(losses).collect()
    };
    let header = ["round", "steps", "loss held out", "after training"];
    format!("\ntraining\n{}", show::table(&header, 0, rounds.iter().enumerate().map(line)))
}

fn constraint(found: &ConstrainedSearch, held_out: usize) -> String {
    format!("\n{} ({held_out} held-out samples)\n{}", found.constraint, table(&found.trials, found.chosen))
}

fn allocation(found: &AllocationSearch, held_out: usize) -> String {
    let (first, best) = (&found.trials[0], &found.trials[found.best]);
    let gain = match found.best {
        0 => "nothing better was found".to_owned(),
        at => format!("the best is number {at}"),
    };
    let figures = format!("drift {:.4} → {:.4}", first.score.drift, best.score.drift);
    let metric = first.score.metric.as_ref().zip(best.score.metric.as_ref());
    let metric = metric.map_or_else(String::new, |(a, b)| format!(", {} {:.4} → {:.4}", a.name, a.after, b.after));
    let trials = found.trials.len() - 1;
    format!("\nsearch ({trials} trials, {held_out} held-out samples)\n  {gain}: {figures}{metric}\n")
}

fn folds(folds: &Folds) -> String {
    let figure = |s: &Spread| format!("  {} {:.4} ± {:.4}\n", s.name, s.mean, s.deviation);
    let spread: String = folds.spread.iter().map(figure).collect();
    let agreement = figures::percent(folds.agreement);
    format!(
        "\nfolds ({})\n{spread}  of the units that go in either of two folds, {agreement} go in both\n",
        folds.folds.len()
    )
}

/// Trials, a line each; the one that was taken has a mark.
pub(super) fn table(trials: &[Trial], chosen: Option<usize>) -> String {
    let metric = trials.first().and_then(|t| t.score.metric.as_ref()).map(|m| m.name);
    let header = ["", "budget", "MACs", "parameters", "drift"].into_iter().chain(metric).collect::<Vec<_>>();
    let line = |(i, t): (usize, &Trial)| {
        let mark = if Some(i) == chosen { "→" } else { "" };
        let sizes = [show::count(t.after.macs), show::count(t.after.params), format!("{:.4}", t.score.drift)];
        let metric = t.score.metric.as_ref().map(|m| format!("{:.4}", m.after));
        let names = [mark.to_owned(), budget(t)];
        names.into_iter().chain(sizes).chain(metric).collect::<Vec<String>>()
    };
    show::table(&header, 2, trials.iter().enumerate().map(line).collect::<Vec<_>>())
}

/// A budget without digits that say nothing.
pub(super) fn budget(trial: &Trial) -> String {
    let text = trial.budget.to_string();
    let kind = text.split(' ').next().unwrap_or_default();
    trial.budget.share().map_or_else(|| text.clone(), |share| format!("{kind} {:.1} %", 100.0 * share))
}
