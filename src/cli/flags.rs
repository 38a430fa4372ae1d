//! The flags of `prune` as data: what else asks for its options (a build file, a model's metadata) follows the
//! definitions of the command line.

use crate::content;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, ValueHint};
use std::path::Path;

/// A flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its long name, without dashes.
    pub name: String,
    /// What the parser calls it.
    id: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    pub about: String,
    pub takes: Takes,
    /// Whether its values are files or folders.
    pub is_path: bool,
    /// What may be given, if that is a list.
    pub choices: Vec<String>,
    /// Flags that may not be given beside it, by what the parser calls them.
    rivals: Vec<String>,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    One,
    Many,
}

impl Flag {
    /// Whether this flag and another one may not be given together.
    pub fn excludes(&self, other: &Flag) -> bool {
        self.rivals.contains(&other.id)
    }
}

/// The flags of some arguments, by name. Positional arguments are none.
pub fn of<A: Args>() -> Vec<Flag> {
    let command = A::augment_args(Command::new("secateur"));
    let exclusive = exclusive(&command);
    let mut flags: Vec<Flag> = command.get_arguments().filter_map(flag).collect();
    for flag in &mut flags {
        let rivals = exclusive.iter().filter(|set| set.contains(&flag.id)).flatten().filter(|id| **id != flag.id);
        flag.rivals = rivals.cloned().collect();
    }
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

/// The flags of `all` that these arguments have.
pub fn among<A: Args>(all: &[Flag]) -> Vec<Flag> {
    let command = A::augment_args(Command::new("secateur"));
    let has = |flag: &&Flag| command.get_arguments().any(|a| a.get_id() == flag.id.as_str());
    all.iter().filter(has).cloned().collect()
}

/// Sets of arguments of which one may be given.
fn exclusive(command: &Command) -> Vec<Vec<String>> {
    let groups = command.get_groups().filter(|g| !(*g).clone().is_multiple());
    let groups = groups.map(|g| g.get_args().map(ToString::to_string).collect());
    let pairs = command.get_arguments().flat_map(|a| {
        let others = command.get_arg_conflicts_with(a).into_iter();
        others.map(|b| vec![a.get_id().to_string(), b.get_id().to_string()])
    });
    groups.chain(pairs).collect()
}

fn flag(arg: &Arg) -> Option<Flag> {
    let takes = match arg.get_action() {
        ArgAction::SetTrue => Takes::Nothing,
        ArgAction::Set => Takes::One,
        ArgAction::Append => Takes::Many,
        _ => return None,
    };
    Some(Flag {
        name: arg.get_long()?.to_owned(),
        id: arg.get_id().to_string(),
        aliases: arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned).collect(),
        about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        takes,
        is_path: takes != Takes::Nothing && is_path(arg),
        choices: arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect(),
        rivals: vec![],
    })
}

/// Whether an argument's values are paths, by its type or its hint.
pub fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::DirPath | ValueHint::FilePath)
}

/// The flags among these that were given, as text: `--exclude=head.* --macs=50%`. Files are named by their hashes.
pub fn given(flags: &[Flag], matches: &ArgMatches) -> String {
    let is_given = |f: &&Flag| {
        let known = matches.ids().any(|id| id.as_str() == f.id);
        known && matches.value_source(&f.id) == Some(ValueSource::CommandLine)
    };
    let texts = flags.iter().filter(is_given).flat_map(|flag| {
        let values = matches.get_raw(&flag.id).into_iter().flatten();
        values.map(|v| as_text(flag, &v.to_string_lossy()))
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn as_text(flag: &Flag, value: &str) -> String {
    let name = &flag.name;
    let hash = || content::hash(Path::new(value)).ok().map(|h| format!("xxh3:{h}"));
    let value = flag.is_path.then(hash).flatten().unwrap_or_else(|| value.to_owned());
    match flag.takes {
        Takes::Nothing => format!("--{name}"),
        _ if value.contains(char::is_whitespace) => format!("--{name}='{value}'"),
        _ => format!("--{name}={value}"),
    }
}
