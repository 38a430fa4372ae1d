//! Options by name, for those who have texts: what the command line and build files may say, and how it is read.
//!
//! [`table`] has a row for each: its name, its help, what it takes and what it sets. The flags of `secateur prune` are
//! made from the rows, and so are the keys of build files and their schema.

mod parse;
mod table;

#[cfg(feature = "cli")]
pub(crate) use parse::{number, positive, seconds};

use super::options::Options;
use super::search::{CONSTRAINTS, ConstraintKind};
use crate::content;
use crate::plan::{BUDGETS, BudgetKind};
use std::fmt::Display;
use std::path::Path;
use std::sync::LazyLock;

/// An option that may be given as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name, words joined by `-`.
    pub name: &'static str,
    /// Another name of the same, where there is one.
    pub alias: Option<&'static str>,
    pub topic: Topic,
    /// What it means, as help says it.
    pub about: &'static str,
    /// What stands for its value, such as `SHARE`; nothing for a switch.
    pub value: &'static str,
    pub takes: Takes,
    /// What it is where it is not given, as text, unless help says it in words.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only flags ask"))]
    pub default: Option<&'static str>,
    pub recorded: Recorded,
    /// What may be given, if that is a list.
    pub choices: &'static [&'static str],
    /// Whether a value may begin with `-`.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only flags ask"))]
    pub may_be_negative: bool,
    /// Those that may not be given beside it.
    conflicts: &'static [&'static str],
    /// Whether no quality constraint may be given beside it.
    conflicts_with_constraints: bool,
    /// Those that must be given beside it.
    pub needs: &'static [&'static str],
    set: Set,
}

/// Options that verbs take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The budgets and quality constraints, of which one may be given.
    Budget,
    Amount,
    Selection,
    Device,
    Calibration,
    Sizes,
    Tables,
    Search,
    Training,
    HeldOut,
    Sparsity,
    Output,
    Simplify,
    Proof,
    Inputs,
    Judging,
    Comparison,
    Runtime,
    Timing,
}

/// How an option is set.
#[derive(Clone, Copy, Debug)]
enum Set {
    By(Setter),
    Budget(&'static BudgetKind),
    Constraint(&'static ConstraintKind),
}

type Setter = fn(&mut Options, &str) -> Result<(), String>;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    One,
    /// One that names a file or folder.
    Path,
    Many,
    /// Many, which may be one text with commas in between.
    List,
}

/// What an option is recorded with: what led to the plan, what the result depends on beside the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Choice,
    Result,
    Both,
    Neither,
}

impl Recorded {
    pub(crate) fn is_of_choice(self) -> bool {
        matches!(self, Recorded::Choice | Recorded::Both)
    }

    pub(crate) fn is_of_result(self) -> bool {
        matches!(self, Recorded::Result | Recorded::Both)
    }
}

/// All options of a `prune` that can be given as text, in the order in which help lists them.
pub(crate) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let budgets = BUDGETS.iter().map(|kind| {
        let (takes, value) = if kind.takes_share() { (Takes::One, "SHARE") } else { (Takes::Nothing, "") };
        Key { value, takes, conflicts: kind.conflicts, ..Key::budget(kind.name, kind.about, Set::Budget(kind)) }
    });
    let constraints = CONSTRAINTS.iter().map(|kind| {
        let key = Key::budget(kind.name, kind.about, Set::Constraint(kind));
        Key { value: kind.value(), ..key }
    });
    let others = table::TABLE.iter().flat_map(|(topic, keys)| keys.iter().map(|&key| Key { topic: *topic, ..key }));
    budgets.chain(constraints).chain(others).collect()
});

impl Key {
    const fn new(recorded: Recorded, takes: Takes, name: &'static str, value: &'static str, set: Set) -> Key {
        Key {
            name,
            alias: None,
            topic: Topic::Budget,
            about: "",
            value,
            takes,
            default: None,
            recorded,
            choices: &[],
            may_be_negative: false,
            conflicts: &[],
            conflicts_with_constraints: false,
            needs: &[],
            set,
        }
    }

    /// A row that another table has.
    fn budget(name: &'static str, about: &'static str, set: Set) -> Key {
        Key { about, ..Key::new(Recorded::Choice, Takes::One, name, "", set) }
    }

    /// The option of a name, if there is one; `_` and `-` are alike.
    pub(crate) fn named(name: &str) -> Option<&'static Key> {
        let name = name.replace('_', "-");
        KEYS.iter().find(|key| key.name == name || key.alias == Some(&*name))
    }

    /// The options of a topic.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only flags ask"))]
    pub(crate) fn of(topic: Topic) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.topic == topic)
    }

    /// All that must be given beside it, and beside these; what others need comes first.
    pub(crate) fn all_needs(&self) -> Vec<&'static Key> {
        let needs = self.needs.iter().filter_map(|name| Key::named(name));
        needs.flat_map(|key| [key.all_needs(), vec![key]].concat()).collect()
    }

    /// The names of those that may not be given beside it, where it is not those that name this one.
    pub(crate) fn conflicts_with(&self) -> impl Iterator<Item = &'static str> {
        let constraints = CONSTRAINTS.iter().filter(|_| self.conflicts_with_constraints).map(|kind| kind.name);
        self.conflicts.iter().copied().chain(constraints)
    }

    /// Whether this option and another one may not be given together.
    pub(crate) fn excludes(&self, other: &Key) -> bool {
        let budgets = self.name != other.name && self.topic == Topic::Budget && other.topic == Topic::Budget;
        budgets
            || self.conflicts_with().any(|name| name == other.name)
            || other.conflicts_with().any(|name| name == self.name)
    }

    /// Sets it to a value; a switch has none.
    pub(crate) fn set(&self, options: &mut Options, value: &str) -> Result<(), String> {
        if !self.choices.is_empty() && !self.choices.contains(&value) {
            let choices = self.choices.join(", ");
            return Err(format!("invalid value '{value}' for '{self}' [possible values: {choices}]"));
        }
        self.set_to(options, value).map_err(|why| format!("invalid value '{value}' for '{self}': {why}"))
    }

    /// Whether it can be set to a value; else why not.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only flags ask"))]
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        self.set_to(&mut Options::default(), value)
    }

    fn set_to(&self, options: &mut Options, value: &str) -> Result<(), String> {
        match self.set {
            Set::By(set) => set(options, value),
            Set::Budget(kind) => kind.budget(value).map_err(|e| e.to_string()).map(|b| options.choice.budget = Some(b)),
            Set::Constraint(kind) => kind.constraint(value).map(|c| options.choice.constraint = Some(c)),
        }
    }

    /// What is recorded of a value: `--exclude=head.*`, files by their hashes.
    pub(crate) fn recorded(&self, value: &str) -> String {
        let hash = || content::hash(Path::new(value)).ok().map(|h| format!("xxh3:{h}"));
        let value = (self.takes == Takes::Path).then(hash).flatten().unwrap_or_else(|| value.to_owned());
        match self.takes {
            Takes::Nothing => format!("--{}", self.name),
            _ if value.contains(char::is_whitespace) => format!("--{}='{value}'", self.name),
            _ => format!("--{}={value}", self.name),
        }
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.takes {
            Takes::Nothing => write!(f, "--{}", self.name),
            _ => write!(f, "--{} <{}>", self.name, self.value),
        }
    }
}
