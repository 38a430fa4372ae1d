//! What keys a build file may have: the long flags of `secateur prune`, and a few of its own.

use crate::cli::flags::{Flag, Takes};
use crate::cli::job;
use crate::gates::KINDS;

/// Flags that are about the command line, or that the build sees to.
const NOT_KEYS: [&str; 9] = ["output", "overwrite", "json", "gate", "junit", "format", "report", "html", "reference"];

/// The options of a model that a build file may set.
pub(super) fn options() -> Vec<Flag> {
    job::flags().into_iter().filter(|f| !NOT_KEYS.contains(&f.name.as_str())).collect()
}

/// What a key is called wherever it is compared.
pub(super) fn plain(key: &str) -> String {
    key.replace('_', "-")
}

/// The option of a name, if there is one.
pub(super) fn find<'a>(options: &'a [Flag], key: &str) -> Option<&'a Flag> {
    let key = plain(key);
    options.iter().find(|f| f.name == key || f.aliases.contains(&key))
}

/// The name nearest to one that there is not, if any is near.
pub(super) fn nearest<'a>(key: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = plain(key);
    let scored = names.into_iter().map(|name| (strsim::damerau_levenshtein(&key, &plain(name)), name));
    let (distance, name) = scored.min()?;
    (distance <= usize::max(2, key.len() / 3)).then_some(name)
}

/// What a key takes, in words.
pub(super) fn takes(flag: &Flag) -> &'static str {
    match flag.takes {
        Takes::Nothing => "true or false",
        Takes::One => "a string or a number",
        Takes::Many => "a string, a number or a list of them",
    }
}

/// The names of all gates.
pub(super) fn gates() -> [&'static str; KINDS.len()] {
    KINDS.map(crate::gates::Kind::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_prune_is_a_key() {
        let options = options();
        for key in
            ["macs", "round_to", "calib", "exclude", "inexact", "nm", "labels", "keep-bn", "passes", "dim", "device"]
        {
            assert!(find(&options, key).is_some(), "{key}");
        }
        assert!(find(&options, "calib").unwrap().is_path && find(&options, "inputs").unwrap().is_path);
        // A flag that is left out on purpose must be one.
        let all = job::flags();
        let known = |name: &&str| all.iter().any(|f| f.name == **name);
        assert!(NOT_KEYS.iter().filter(|n| **n != "html").all(known), "{NOT_KEYS:?}");
        let (macs, ratio) = (find(&options, "macs").unwrap(), find(&options, "ratio").unwrap());
        assert!(macs.excludes(ratio) && ratio.excludes(macs));
        let (nm, sparsity) = (find(&options, "nm").unwrap(), find(&options, "sparsity").unwrap());
        assert!(nm.excludes(sparsity) && sparsity.excludes(nm) && !nm.excludes(macs));
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(nearest("mcas", ["macs", "params"]), Some("macs"));
        assert_eq!(nearest("round_too", ["round-to", "ratio"]), Some("round-to"));
        assert_eq!(nearest("colour", ["macs", "params"]), None);
    }
}
