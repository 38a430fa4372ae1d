//! Budgets: how much goes. A new one is a row of [`BUDGETS`], and a figure of [`Cost`] or of a machine where it counts
//! something new. Flags, keys of build files, options of passes, the schema and the documents' tables are made from the
//! rows.

use super::{Share, ShareError};
use crate::cost::Cost;
use crate::machine::Quantity;
use std::fmt;
use std::str::FromStr;

/// All kinds of budgets, in the order in which help lists them.
pub static BUDGETS: [BudgetKind; 8] = [
    BudgetKind {
        name: "ratio",
        about: "The share of units that every group loses [default: 0.5, with --layers: none]",
        goal: Goal::EachGroup,
        conflicts: &[],
    },
    BudgetKind {
        name: "macs",
        about: "The share of multiply-accumulates to keep (`50%`)",
        goal: Goal::Whole(Measure::Count { figure: |cost| cost.macs, total: Total::OfARun }),
        conflicts: &[],
    },
    BudgetKind {
        name: "params",
        about: "The share of parameters to keep",
        goal: Goal::Whole(Measure::Count { figure: |cost| cost.params, total: Total::Sum }),
        conflicts: &[],
    },
    BudgetKind {
        name: "size",
        about: "The share of the weights' bytes to keep",
        goal: Goal::Whole(Measure::Count { figure: |cost| cost.bytes, total: Total::Sum }),
        conflicts: &[],
    },
    BudgetKind {
        name: "peak-memory",
        about: "The share of the activations' peak memory to keep",
        goal: Goal::Whole(Measure::Count { figure: |cost| cost.peak, total: Total::Peak }),
        conflicts: &[],
    },
    BudgetKind {
        name: "latency",
        about: "The share of the time of a run to keep, measured on this machine, or by --latency-table",
        goal: Goal::Whole(Measure::Machine(Quantity::Latency)),
        conflicts: &["energy-table"],
    },
    BudgetKind {
        name: "energy",
        about: "The share of the energy of a run to keep, by --energy-table, else as the processor reports it or an energy \
                model estimates it",
        goal: Goal::Whole(Measure::Machine(Quantity::Energy)),
        conflicts: &["latency-table"],
    },
    BudgetKind {
        name: "lossless",
        about: "Remove only units without which the model computes the same: dead, constant, unread ones, and multiples \
                of others",
        goal: Goal::Lossless,
        conflicts: &["no-merge", "tune-steps"],
    },
];

/// A kind of budget.
#[derive(Debug)]
pub struct BudgetKind {
    /// What its flag, its key and the option of the pass are called, and what plans and reports say.
    pub name: &'static str,
    /// What it means, as help says it.
    pub about: &'static str,
    /// What it counts, and which way its share goes.
    pub goal: Goal,
    /// Options of `prune` that may not be given beside it.
    pub conflicts: &'static [&'static str],
}

/// What becomes of a budget's share.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Every group loses this share of its units.
    EachGroup,
    /// The whole model keeps this share of what is counted.
    Whole(Measure),
    /// There is no share: what the model computes the same without goes, and nothing else.
    Lossless,
}

/// What a budget over the whole model counts.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// A figure of costs, and what the nodes' figures come to together.
    Count { figure: fn(&Cost) -> u64, total: Total },
    /// What the nodes take on a machine, by a table or a model of it.
    Machine(Quantity),
}

/// What figures of nodes come to together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Their sum.
    Sum,
    /// The sum of those that a run needs: of the branches of an If only the dearer ones.
    OfARun,
    /// The most that is alive at once; see `cost::Walk`.
    Peak,
}

impl BudgetKind {
    /// The kind of a name, if there is one.
    pub fn named(name: &str) -> Option<&'static BudgetKind> {
        BUDGETS.iter().find(|kind| kind.name == name)
    }

    /// Whether it takes a share.
    pub fn takes_share(&self) -> bool {
        !matches!(self.goal, Goal::Lossless)
    }

    /// The budget of this kind with a share as people write it; a kind without one takes any text.
    pub fn budget(&'static self, share: &str) -> Result<Budget, ShareError> {
        let share = if self.takes_share() { share.parse::<Share>()?.0 } else { 0.0 };
        Ok(Budget { kind: self, share })
    }

    /// The figure that it counts, of a model's costs; `None` where costs do not have it.
    pub fn figure(&self, cost: &Cost) -> Option<u64> {
        match self.goal {
            Goal::Whole(Measure::Count { figure, .. }) => Some(figure(cost)),
            _ => None,
        }
    }
}

/// How much goes: a kind of budget, with its share.
///
/// ```
/// use secateur::plan::{Budget, BUDGETS};
///
/// let half: Budget = "macs 50%".parse()?;
/// assert_eq!((half, half.share()), (Budget::macs(0.5), Some(0.5)));
/// assert!(BUDGETS.iter().any(|kind| kind.name == "peak-memory"));
/// # Ok::<(), secateur::plan::BudgetError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    kind: &'static BudgetKind,
    share: f64,
}

impl Budget {
    /// A budget of the kind of a name, if there is one.
    pub fn new(name: &str, share: f64) -> Option<Budget> {
        Some(Budget { kind: BudgetKind::named(name)?, share })
    }

    fn of(name: &str, share: f64) -> Budget {
        Budget::new(name, share).unwrap_or_else(|| panic!("`{name}` is a row of the table"))
    }

    /// Every group loses this share of its units.
    pub fn ratio(share: f64) -> Budget {
        Budget::of("ratio", share)
    }

    /// The model keeps this share of its multiply-accumulates.
    pub fn macs(share: f64) -> Budget {
        Budget::of("macs", share)
    }

    /// The model keeps this share of the time or the energy of a run.
    pub fn machine(quantity: Quantity, share: f64) -> Budget {
        Budget::of(&quantity.to_string(), share)
    }

    /// Only what the model computes the same without goes.
    pub fn lossless() -> Budget {
        Budget::of("lossless", 0.0)
    }

    /// Its row of the table.
    pub fn kind(self) -> &'static BudgetKind {
        self.kind
    }

    /// What becomes of its share.
    pub fn goal(self) -> Goal {
        self.kind.goal
    }

    /// The share of the whole model to keep; `None` where every group loses a share of its own.
    pub fn share(self) -> Option<f64> {
        matches!(self.goal(), Goal::Whole(_)).then_some(self.share)
    }

    /// The share of units that every group loses, where it is about that.
    pub fn ratio_of_groups(self) -> Option<f64> {
        matches!(self.goal(), Goal::EachGroup).then_some(self.share)
    }

    /// Whether only what the model computes the same without goes.
    pub fn is_lossless(self) -> bool {
        matches!(self.goal(), Goal::Lossless)
    }

    /// What a machine is asked for, where it is about one.
    pub fn quantity(self) -> Option<Quantity> {
        match self.goal() {
            Goal::Whole(Measure::Machine(quantity)) => Some(quantity),
            _ => None,
        }
    }

    /// The same with another share.
    pub fn with_share(self, share: f64) -> Budget {
        Budget { share, ..self }
    }
}

impl Default for Budget {
    /// Every group loses half of its units.
    fn default() -> Budget {
        Budget::ratio(0.5)
    }
}

impl PartialEq for Budget {
    fn eq(&self, other: &Budget) -> bool {
        self.kind.name == other.kind.name && (self.share == other.share || !self.kind.takes_share())
    }
}

impl serde::Serialize for Budget {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (name, share) = (self.kind.name, self.share);
        match self.goal() {
            Goal::EachGroup => write!(f, "{name} {share}"),
            Goal::Whole(_) => write!(f, "{name} {}%", share * 100.0),
            Goal::Lossless => f.write_str(name),
        }
    }
}

/// A text that is no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum BudgetError {
    #[error("there is no budget `{0}`; there are {names}", names = names())]
    Unknown(String),
    #[error("{0}")]
    Share(#[from] ShareError),
}

fn names() -> String {
    BUDGETS.each_ref().map(|kind| kind.name).join(", ")
}

impl FromStr for Budget {
    type Err = BudgetError;

    /// Reads what a budget prints: `macs 50%`, `ratio 0.5`, `lossless`.
    fn from_str(text: &str) -> Result<Budget, BudgetError> {
        let (name, share) = text.split_once(' ').unwrap_or((text, ""));
        let kind = BudgetKind::named(name).ok_or_else(|| BudgetError::Unknown(name.to_owned()))?;
        Ok(kind.budget(share)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Quantity;

    #[test]
    fn budgets_read_as_they_print() {
        for kind in &BUDGETS {
            let budget = kind.budget("25%").unwrap();
            assert_eq!(budget.to_string().parse(), Ok(budget), "{budget}");
        }
        assert_eq!(Budget::macs(0.5).to_string(), "macs 50%");
        assert_eq!(Budget::ratio(0.5).to_string(), "ratio 0.5");
        assert_eq!(Budget::lossless().to_string(), "lossless");
        let error = |text: &str| text.parse::<Budget>().unwrap_err().to_string();
        assert!(error("mcas 50%").starts_with("there is no budget `mcas`; there are ratio, macs,"));
        assert_eq!(error("macs"), "give a share such as 0.5 or 50%");
    }

    /// What the code itself asks for is there.
    #[test]
    fn every_quantity_of_a_machine_is_a_budget() {
        for quantity in [Quantity::Latency, Quantity::Energy] {
            assert_eq!(Budget::machine(quantity, 0.5).quantity(), Some(quantity));
        }
        assert_eq!(Budget::macs(0.5).share(), Some(0.5));
        assert_eq!(Budget::default().ratio_of_groups(), Some(0.5));
        assert!(Budget::lossless().is_lossless());
    }
}
