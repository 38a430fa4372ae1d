//! Declared input ranges: `0..1` for all inputs, `pixels=0..255` for one.

use crate::ops::Interval;
use serde::{Deserialize, Serialize};

/// Between which numbers inputs lie. Those that nothing is said of may hold any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Ranges(Vec<Range>);

#[derive(Clone, Debug, PartialEq)]
struct Range {
    /// The input's name; all inputs where absent.
    input: Option<String>,
    lo: f64,
    hi: f64,
}

/// Why a text is no range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a range; write `LO..HI` for all inputs or `NAME=LO..HI` for one, with LO not above HI")]
pub struct RangeError(String);

impl Ranges {
    /// Reads ranges; of several for one input, and of one for it and one for all, the most particular and last holds.
    pub fn new(texts: &[String]) -> Result<Ranges, RangeError> {
        texts.iter().map(|text| parsed(text)).collect::<Result<_, _>>().map(Ranges)
    }

    /// The range of an input.
    pub fn of(&self, input: &str) -> Interval {
        let last = |name: Option<&str>| self.0.iter().rev().find(|r| r.input.as_deref() == name);
        last(Some(input)).or_else(|| last(None)).map_or(Interval::ANY, |r| Interval::new(r.lo, r.hi))
    }
}

fn parsed(text: &str) -> Result<Range, RangeError> {
    let (input, range) = match text.rsplit_once('=') {
        Some((name, range)) => (Some(name.to_owned()), range),
        None => (None, text),
    };
    let ends = range.split_once("..").and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    match ends {
        Some((lo, hi)) if lo <= hi => Ok(Range { input, lo, hi }),
        _ => Err(RangeError(text.to_owned())),
    }
}

impl TryFrom<Vec<String>> for Ranges {
    type Error = RangeError;

    fn try_from(texts: Vec<String>) -> Result<Ranges, RangeError> {
        Ranges::new(&texts)
    }
}

impl From<Ranges> for Vec<String> {
    fn from(ranges: Ranges) -> Vec<String> {
        let text = |r: Range| match r.input {
            Some(name) => format!("{name}={}..{}", r.lo, r.hi),
            None => format!("{}..{}", r.lo, r.hi),
        };
        ranges.0.into_iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_range_holds() {
        let ranges = Ranges::new(&["0..1".into(), "x=-0.5..2e3".into()]).unwrap();
        assert_eq!(ranges.of("x"), Interval::new(-0.5, 2000.0));
        assert_eq!(ranges.of("y"), Interval::new(0.0, 1.0));
        assert_eq!(Ranges::default().of("y"), Interval::ANY);
        assert_eq!(Vec::from(ranges), ["0..1", "x=-0.5..2000"]);
        for wrong in ["1..0", "1", "x=..", "nan..1"] {
            assert_eq!(Ranges::new(&[wrong.into()]), Err(RangeError(wrong.into())));
        }
    }
}
