//! Arguments made of the table of options: names, help, values, defaults and what excludes what are those of the rows.

use super::Failure;
use crate::job::Options;
use crate::job::keys::{Key, Takes, Topic};
use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use std::marker::PhantomData;

/// Options that a verb takes.
pub(super) trait OptionSet {
    const TOPICS: &'static [Topic];
}

/// Sets of options, as verbs take them.
macro_rules! sets {
    ($($(#[$about:meta])* $name:ident: $($topic:ident)*;)*) => {
        $($(#[$about])* pub(super) struct $name;

        impl OptionSet for $name {
            const TOPICS: &'static [Topic] = &[$(Topic::$topic),*];
        })*
    };
}

sets! {
    /// All that leads to a plan.
    ChoiceSet: Budget Amount Selection Device Calibration Sizes Tables Search Training HeldOut;
    /// How units are chosen, whatever the budget.
    SelectionSet: Selection Device Calibration Sizes;
    CalibrationSet: Calibration;
    DeviceSet: Device;
    SizesSet: Sizes;
    HeldOutSet: HeldOut;
    SparsitySet: Sparsity;
    OutputSet: Output;
    SimplifySet: Simplify;
    ProofSet: Proof;
    InputsSet: Inputs;
    JudgingSet: Judging;
    ComparisonSet: Comparison;
    TimingSet: Timing;
}

/// The options of a set that were given.
pub(super) struct Keyed<S> {
    /// In alphabetical order; those that may be repeated in the order in which they were given.
    given: Vec<(&'static Key, String)>,
    set: PhantomData<S>,
}

impl<S: OptionSet> Keyed<S> {
    fn keys() -> impl Iterator<Item = &'static Key> {
        S::TOPICS.iter().flat_map(|&topic| Key::of(topic))
    }

    /// The options with what was given; all others are as usual.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        self.set(&mut options)?;
        Ok(options)
    }

    /// Sets what was given.
    pub(super) fn set(&self, options: &mut Options) -> Result<(), Failure> {
        self.given.iter().try_for_each(|(key, value)| key.set(options, value)).map_err(Failure::usage)
    }
}

/// An option as an argument.
fn arg(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name).long(key.name).help(key.about).conflicts_with_all(key.conflicts_with());
    let arg = arg.requires_all(key.needs).alias(key.alias).default_value(key.default);
    let arg = match key.takes {
        Takes::Nothing => return arg.action(ArgAction::SetTrue),
        Takes::One => arg,
        Takes::Path => arg.value_hint(ValueHint::AnyPath),
        Takes::Many => arg.action(ArgAction::Append),
        Takes::List => arg.action(ArgAction::Append).value_delimiter(','),
    };
    let arg = arg.value_name(key.value).allow_hyphen_values(key.may_be_negative);
    match key.choices {
        [] => arg.value_parser(|value: &str| key.check(value).map(|()| value.to_owned())),
        choices => arg.value_parser(PossibleValuesParser::new(choices)),
    }
}

impl<S: OptionSet> Args for Keyed<S> {
    fn augment_args(command: Command) -> Command {
        let command = command.args(Self::keys().map(arg));
        match S::TOPICS.contains(&Topic::Budget) {
            true => command.group(ArgGroup::new("budget").args(Key::of(Topic::Budget).map(|key| key.name))),
            false => command,
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: OptionSet> FromArgMatches for Keyed<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Keyed<S>, clap::Error> {
        let mut keys: Vec<&Key> = Self::keys().collect();
        keys.sort_by_key(|key| key.name);
        Ok(Keyed { given: given(keys, matches), set: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Keyed::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options among these that were given, with their values; a switch has none.
fn given(keys: impl IntoIterator<Item = &'static Key>, matches: &ArgMatches) -> Vec<(&'static Key, String)> {
    let is_given = |key: &&Key| {
        let known = matches.ids().any(|id| id.as_str() == key.name);
        known && matches.value_source(key.name) == Some(ValueSource::CommandLine)
    };
    let values = |key: &'static Key| match key.takes {
        Takes::Nothing => vec![(key, String::new())],
        _ => matches.get_many::<String>(key.name).into_iter().flatten().map(|value| (key, value.clone())).collect(),
    };
    keys.into_iter().filter(is_given).flat_map(values).collect()
}

/// The options that were given of those that are recorded, as text: `--exclude=head.* --macs=50%`. Files are named by
/// their hashes.
pub(super) fn recorded(is_recorded: impl Fn(&Key) -> bool, matches: &ArgMatches) -> String {
    let mut keys: Vec<&Key> = crate::job::keys::KEYS.iter().filter(|key| is_recorded(key)).collect();
    keys.sort_by_key(|key| key.name);
    given(keys, matches).into_iter().map(|(key, value)| key.recorded(&value)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::prune;
    use super::*;
    use crate::job::keys::KEYS;
    use crate::job::{Output, Record};
    use crate::oracle::Setup;

    /// Flags that are about the command line, or that a build sees to.
    const NOT_KEYS: [&str; 10] =
        ["output", "overwrite", "json", "gate", "junit", "format", "report", "html", "reference", "ort-library"];

    /// A value for each option that takes one.
    const VALUES: &str = "batch-axis=x=1 calib=c.npz calib-preprocess=size=8 criterion=wanda device=cuda:1 dim=n=3 \
        energy=40% energy-table=e.json exclude=head.* external-data=always folds=3 granularity=head,neuron include=a* \
        input-range=x=-1..1 inputs=i.npz iterative=4 judge=j.npz judge-labels=l.npy judge-task=regression labels=l.csv \
        latency=30% latency-table=t.json layers=2 macs=20% made-up=audio max-drift=0.1 max-drop=1% max-ratio=0.8 memory=3MB min-keep=3 nm=2:4 \
        params=0.7 passes=dce peak-memory=0.6 preprocess=size=9 ratio=0.25 repeats=7 round-to=8 rule=a*:ratio=0.1 \
        runtime=ort samples=9 search=5 seed=6 shape=x=1,2 size=0.9 sparsity=0.3 sparsity-method=wanda \
        sparsity-scope=row target=tensorrt task=perplexity threads=3 time-budget=2 tolerance=0.5 tune-batch=4 tune-lr=0.2 tune-steps=6 \
        verify-samples=8 warmup=1";

    fn command() -> Command {
        prune::Args::augment_args(Command::new("prune").no_binary_name(true))
    }

    /// What the command line makes of some flags.
    fn parsed(flags: &[String]) -> String {
        let args = ["in.onnx", "-o", "out.onnx"].map(String::from).into_iter().chain(flags.iter().cloned());
        let given = command().try_get_matches_from(args).unwrap_or_else(|e| panic!("{flags:?}: {e}"));
        let options = prune::Args::from_arg_matches(&given).ok().and_then(|args| args.options(&given).ok());
        format!("{:?}", Options { record: Record::default(), ..options.expect("options") })
    }

    fn usual() -> Options {
        let mut usual = Options { output: Some(Output::to("out.onnx")), ..Options::default() };
        // The command line looks for ONNX Runtime where nobody says otherwise.
        usual.verification.setup = Setup::best();
        usual
    }

    fn value(key: &Key) -> &'static str {
        let mut values = VALUES.split_whitespace().filter_map(|text| text.split_once('='));
        let value = values.find(|(name, _)| *name == key.name).map(|(_, value)| value);
        value.filter(|_| key.takes != Takes::Nothing).unwrap_or_else(|| {
            assert!(key.takes == Takes::Nothing, "no value for {key}");
            ""
        })
    }

    #[test]
    fn flags_and_keys_say_the_same() {
        assert_eq!(parsed(&[]), format!("{:?}", usual()));
        for key in KEYS.iter() {
            let flag = |key: &&Key| match value(key) {
                "" => format!("--{}", key.name),
                value => format!("--{}={value}", key.name),
            };
            let all = [key.all_needs(), vec![key]].concat();
            let mut options = usual();
            for key in &all {
                let texts = if key.takes == Takes::List { value(key).split(',').collect() } else { vec![value(key)] };
                texts.into_iter().for_each(|text| key.set(&mut options, text).expect("a value"));
            }
            assert_eq!(parsed(&all.iter().map(flag).collect::<Vec<_>>()), format!("{options:?}"), "{key}");
        }
    }

    #[test]
    fn every_flag_is_a_key_or_left_out_on_purpose() {
        let flags: Vec<String> = command().get_arguments().filter_map(|a| Some(a.get_long()?.to_owned())).collect();
        let wrong: Vec<&String> =
            flags.iter().filter(|name| Key::named(name).is_some() == NOT_KEYS.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "neither a key nor left out on purpose, or both: {wrong:?}");
        for key in KEYS.iter() {
            let command = command();
            let flag = command.get_arguments().find(|arg| arg.get_long() == Some(key.name));
            let help = flag.unwrap_or_else(|| panic!("{key}: no such flag")).get_help().map(ToString::to_string);
            assert_eq!(help.as_deref(), Some(key.about), "{key}");
        }
    }

    /// What help says of an option that is not given is so.
    #[test]
    fn defaults_are_those_of_the_options() {
        for (key, default) in KEYS.iter().filter_map(|key| Some((key, key.default?))) {
            let mut options = usual();
            key.set(&mut options, default).unwrap();
            assert_eq!(format!("{options:?}"), format!("{:?}", usual()), "{key}");
        }
    }

    #[test]
    fn what_excludes_what_is_known_to_the_parser() {
        let mut command = command();
        command.build();
        let exclusive = |a: &Key, b: &Key| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == a.name).expect("an argument");
            let is_other = |other: &&Arg| other.get_id() == b.name;
            let together = |group: &ArgGroup| [a, b].iter().all(|key| group.get_args().any(|id| id == key.name));
            command.get_arg_conflicts_with(arg).iter().any(is_other)
                || command.get_groups().any(|group| !group.clone().is_multiple() && together(group))
        };
        for key in KEYS.iter() {
            for other in KEYS.iter().filter(|other| other.name != key.name && key.excludes(other)) {
                assert!(exclusive(key, other) || exclusive(other, key), "{key} and {other}");
            }
        }
    }
}
