//! Rules for some groups alone: `encoder.*: ratio=0.3 min-keep=8`.

use super::{ChooseError, Share};
use globset::{Glob, GlobMatcher};
use std::fmt::{self, Display};
use std::str::FromStr;

/// What holds for the groups that reach a constant or node whose name fits a pattern. What is not given is as for all
/// groups.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRule {
    /// A glob.
    pub pattern: String,
    /// The share of its units that such a group loses, whatever the budget.
    pub ratio: Option<f64>,
    /// The largest share of its units that it may lose.
    pub max_ratio: Option<f64>,
    /// The fewest units that it keeps.
    pub min_keep: Option<usize>,
    /// What its axes stay a multiple of.
    pub round_to: Option<usize>,
}

/// The keys that a rule may have.
const KEYS: [&str; 4] = ["ratio", "max-ratio", "min-keep", "round-to"];

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum GroupRuleError {
    #[error("give a pattern and what holds for it, such as `encoder.*: ratio=0.3` (keys: {})", KEYS.join(", "))]
    Form,
    #[error("`{0}` is not a key of a rule; the keys are {keys}", keys = KEYS.join(", "))]
    Key(String),
    #[error("`{key}` is given twice")]
    Twice { key: &'static str },
    #[error("{key}={value}: {why}")]
    Value { key: &'static str, value: String, why: String },
}

impl FromStr for GroupRule {
    type Err = GroupRuleError;

    /// Reads `GLOB: KEY=VALUE …`, with spaces or commas between. Without a colon, what is before the first `=` is the
    /// pattern: so a table of a build file says it.
    fn from_str(text: &str) -> Result<GroupRule, GroupRuleError> {
        let (pattern, settings) = text.rsplit_once(':').or_else(|| text.split_once('=')).ok_or(GroupRuleError::Form)?;
        let (pattern, mut given) = (pattern.trim().to_owned(), [const { None }; KEYS.len()]);
        for setting in settings.split([' ', ',']).filter(|s| !s.is_empty()) {
            let (key, value) = setting.split_once('=').ok_or(GroupRuleError::Form)?;
            let known = KEYS.iter().position(|k| *k == key.replace('_', "-"));
            let at = known.ok_or_else(|| GroupRuleError::Key(key.to_owned()))?;
            if given[at].replace(value.to_owned()).is_some() {
                return Err(GroupRuleError::Twice { key: KEYS[at] });
            }
        }
        if pattern.is_empty() || given.iter().all(Option::is_none) {
            return Err(GroupRuleError::Form);
        }
        let share = |at: usize| Ok(value::<Share>(&given, at)?.map(|s| s.0));
        let count = |at: usize| match value::<usize>(&given, at)? {
            Some(0) => Err(GroupRuleError::Value { key: KEYS[at], value: "0".into(), why: "at least 1".into() }),
            n => Ok(n),
        };
        Ok(GroupRule { pattern, ratio: share(0)?, max_ratio: share(1)?, min_keep: count(2)?, round_to: count(3)? })
    }
}

fn value<T: FromStr<Err: Display>>(given: &[Option<String>], at: usize) -> Result<Option<T>, GroupRuleError> {
    let Some(text) = &given[at] else { return Ok(None) };
    let wrong = |e: T::Err| GroupRuleError::Value { key: KEYS[at], value: text.clone(), why: e.to_string() };
    text.parse().map(Some).map_err(wrong)
}

impl Display for GroupRule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:", self.pattern)?;
        let shares = [("ratio", self.ratio), ("max-ratio", self.max_ratio)];
        shares.iter().filter_map(|(k, v)| Some((k, (*v)?))).try_for_each(|(k, v)| write!(f, " {k}={v}"))?;
        let counts = [("min-keep", self.min_keep), ("round-to", self.round_to)];
        counts.iter().filter_map(|(k, v)| Some((k, (*v)?))).try_for_each(|(k, v)| write!(f, " {k}={v}"))
    }
}

impl GroupRule {
    /// The same with other shares to lose, by what becomes of the shares that are left.
    pub fn with_left(&self, left: impl Fn(f64) -> f64) -> GroupRule {
        let lost = |share: Option<f64>| share.map(|s| 1.0 - left(1.0 - s));
        GroupRule { ratio: lost(self.ratio), max_ratio: lost(self.max_ratio), ..self.clone() }
    }
}

/// The rules of all groups.
pub(super) struct Rules<'a> {
    rules: Vec<(&'a GroupRule, GlobMatcher)>,
    /// Which patterns fitted anything.
    hits: Vec<bool>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(rules: &'a [GroupRule]) -> Result<Rules<'a>, ChooseError> {
        let read = |rule: &'a GroupRule| match Glob::new(&rule.pattern) {
            Ok(glob) => Ok((rule, glob.compile_matcher())),
            Err(error) => Err(ChooseError::Pattern { pattern: rule.pattern.clone(), error }),
        };
        let rules = rules.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Rules { hits: vec![false; rules.len()], rules })
    }

    /// What holds for something that goes by these names. Of several rules the last one that says something counts.
    pub(super) fn of(&mut self, names: &[String]) -> GroupRule {
        let mut own =
            GroupRule { pattern: String::new(), ratio: None, max_ratio: None, min_keep: None, round_to: None };
        for ((rule, glob), hit) in self.rules.iter().zip(&mut self.hits) {
            if names.iter().any(|name| glob.is_match(name)) {
                *hit = true;
                own.ratio = rule.ratio.or(own.ratio);
                own.max_ratio = rule.max_ratio.or(own.max_ratio);
                own.min_keep = rule.min_keep.or(own.min_keep);
                own.round_to = rule.round_to.or(own.round_to);
            }
        }
        own
    }

    /// Fails if a pattern fitted nothing.
    pub(super) fn finish(self) -> Result<(), ChooseError> {
        match self.hits.iter().position(|hit| !hit) {
            Some(i) => Err(ChooseError::NoMatch(self.rules[i].0.pattern.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_print() {
        for text in ["encoder.*: ratio=0.3", "a:0: ratio=0 max-ratio=0.5 min-keep=4 round-to=8"] {
            assert_eq!(text.parse::<GroupRule>().unwrap().to_string(), text);
        }
        assert_eq!("e*:ratio=30%,round_to=8".parse::<GroupRule>().unwrap().to_string(), "e*: ratio=0.3 round-to=8");
        assert_eq!("enc.*=ratio=0.3".parse::<GroupRule>().unwrap().to_string(), "enc.*: ratio=0.3");
    }

    #[test]
    fn what_is_no_rule_says_why() {
        let fails = |text: &str| text.parse::<GroupRule>().unwrap_err().to_string();
        let form = "give a pattern and what holds for it, such as `encoder.*: ratio=0.3` (keys: ratio, max-ratio, min-keep, round-to)";
        for text in ["", "encoder", "encoder:", ": ratio=0.3", "encoder: ratio"] {
            assert_eq!(fails(text), form);
        }
        insta::assert_snapshot!(
            ["e: rate=1", "e: ratio=2", "e: min-keep=0", "e: round-to=x", "e: ratio=0 ratio=1"].map(fails).join("\n"),
            @r#"
        `rate` is not a key of a rule; the keys are ratio, max-ratio, min-keep, round-to
        ratio=2: 2 is not between 0 and 1 (or 0% and 100%)
        min-keep=0: at least 1
        round-to=x: invalid digit found in string
        `ratio` is given twice
        "#
        );
    }
}
