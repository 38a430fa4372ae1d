//! What keys a build file may have: the options of `secateur prune`, and a few of its own.

use crate::job::gates::GATES;
use crate::job::keys::{KEYS, Key, Takes};

/// The names of all options that a build file may set.
pub(super) fn options<'a>() -> impl Iterator<Item = &'a str> {
    KEYS.iter().map(|key| key.name)
}

/// What a key is called wherever it is compared.
fn plain(key: &str) -> String {
    key.replace('_', "-")
}

/// The name nearest to one that there is not, if any is near.
pub(super) fn nearest<'a>(key: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = plain(key);
    let scored = names.into_iter().map(|name| (strsim::damerau_levenshtein(&key, &plain(name)), name));
    let (distance, name) = scored.min()?;
    (distance <= usize::max(2, key.len() / 3)).then_some(name)
}

/// What a key takes, in words.
pub(super) fn takes(key: &Key) -> &'static str {
    match key.takes {
        Takes::Nothing => "true or false",
        Takes::One | Takes::Path => "a string or a number",
        Takes::Many | Takes::List => "a string, a number or a list of them",
    }
}

/// The names of all gates.
pub(super) fn gates() -> [&'static str; GATES.len()] {
    GATES.each_ref().map(|kind| kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        assert_eq!(nearest("mcas", ["macs", "params"]), Some("macs"));
        assert_eq!(nearest("round_too", ["round-to", "ratio"]), Some("round-to"));
        assert_eq!(nearest("colour", ["macs", "params"]), None);
    }
}
