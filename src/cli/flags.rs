//! The flags of `prune` as data: a model's metadata and the schema of build files follow the definitions of the command
//! line.

use crate::job::keys::recorded;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, ValueHint};

/// A flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its long name, without dashes.
    pub name: String,
    /// What the parser calls it.
    id: String,
    pub about: String,
    pub takes: Takes,
    /// Whether its values are files or folders.
    pub is_path: bool,
    /// What may be given, if that is a list.
    pub choices: Vec<String>,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    One,
    Many,
}

/// The flags of some arguments, by name. Positional arguments are none.
pub fn of<A: Args>() -> Vec<Flag> {
    let command = A::augment_args(Command::new("secateur"));
    let mut flags: Vec<Flag> = command.get_arguments().filter_map(flag).collect();
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

/// The flags of `all` that these arguments have.
pub fn among<A: Args>(all: &[Flag]) -> Vec<Flag> {
    let command = A::augment_args(Command::new("secateur"));
    let has = |flag: &&Flag| command.get_arguments().any(|a| a.get_id() == flag.id.as_str());
    all.iter().filter(has).cloned().collect()
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
        about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        takes,
        is_path: takes != Takes::Nothing && is_path(arg),
        choices: arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect(),
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
        values.map(|v| recorded(&flag.name, flag.takes == Takes::Nothing, flag.is_path, &v.to_string_lossy()))
    });
    texts.collect::<Vec<_>>().join(" ")
}
