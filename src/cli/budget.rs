//! Arguments about how much is cut: one for each budget and each quality constraint, made from their tables.

use crate::job::search::{CONSTRAINTS, Constraint, ConstraintKind};
use crate::plan::{BUDGETS, Budget, BudgetKind};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches};

/// What the parser calls the set of these arguments, of which one may be given.
const GROUP: &str = "budget";

/// How much is cut.
#[derive(Clone, Copy, Default)]
pub struct BudgetArgs {
    pub budget: Option<Budget>,
    pub constraint: Option<Constraint>,
}

/// What the parser calls the quality constraints.
pub fn constraints() -> impl Iterator<Item = &'static str> {
    CONSTRAINTS.iter().map(|kind| kind.name)
}

fn budget(kind: &'static BudgetKind) -> Arg {
    let arg = Arg::new(kind.name).long(kind.name).help(kind.about);
    let arg = arg.conflicts_with_all(kind.conflicts);
    match kind.takes_share() {
        true => arg.value_name("SHARE").value_parser(|share: &str| kind.budget(share)),
        false => arg.action(ArgAction::SetTrue),
    }
}

fn constraint(kind: &'static ConstraintKind) -> Arg {
    let arg = Arg::new(kind.name).long(kind.name).help(kind.about).value_name(kind.value());
    arg.value_parser(|bound: &str| kind.constraint(bound))
}

impl Args for BudgetArgs {
    fn augment_args(command: Command) -> Command {
        let all: Vec<Arg> = BUDGETS.iter().map(budget).chain(CONSTRAINTS.iter().map(constraint)).collect();
        let group = ArgGroup::new(GROUP).args(all.iter().map(Arg::get_id)).multiple(false);
        command.args(all).group(group)
    }

    fn augment_args_for_update(command: Command) -> Command {
        BudgetArgs::augment_args(command)
    }
}

impl FromArgMatches for BudgetArgs {
    fn from_arg_matches(given: &ArgMatches) -> Result<BudgetArgs, clap::Error> {
        let mut args = BudgetArgs::default();
        args.update_from_arg_matches(given)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, given: &ArgMatches) -> Result<(), clap::Error> {
        let budget = |kind: &'static BudgetKind| match kind.takes_share() {
            true => given.get_one::<Budget>(kind.name).copied(),
            false => given.get_flag(kind.name).then(|| kind.budget("").ok()).flatten(),
        };
        let constraint = |kind: &'static ConstraintKind| given.get_one::<Constraint>(kind.name).copied();
        self.budget = BUDGETS.iter().find_map(budget).or(self.budget);
        self.constraint = CONSTRAINTS.iter().find_map(constraint).or(self.constraint);
        Ok(())
    }
}
