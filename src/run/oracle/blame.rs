//! Which node stood in tract's way: its errors are chains of sentences, some of which name a node.

use super::examine::Operators;
use std::error::Error;

/// The most characters of tract's words that a message repeats: it prints whole nodes, at times.
const LONGEST: usize = 400;

/// Operator and name of the node to blame, and what is wrong with it.
pub(super) struct Blame {
    pub operator: String,
    pub node: String,
    pub message: String,
}

/// Finds the node that the innermost sentences of an error name.
pub(super) fn blame(chain: &[String], operators: &Operators) -> Option<Blame> {
    let (node, tracts) = chain.iter().rev().find_map(|sentence| named(sentence, operators))?;
    let operator = operators.get(&node).cloned().unwrap_or(tracts);
    Some(Blame { operator, node, message: root(chain) })
}

/// The sentences of an error, outermost first.
pub(super) fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |e: &&(dyn Error + 'static)| (*e).source()).map(ToString::to_string).collect()
}

/// The innermost sentence, in plain words and cut to a length that a person reads.
pub(super) fn root(chain: &[String]) -> String {
    let words = chain.last().map_or("", |s| s.trim());
    if let Some(plain) = plain(words) {
        return plain;
    }
    match words.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    }
}

/// What tract says of two sizes that should be one: `Impossible to unify Val(16) with Val(3).`
fn plain(words: &str) -> Option<String> {
    let (a, b) = words.strip_prefix("Impossible to unify ")?.split_once(" with ")?;
    let size = |text: &str| {
        let inner = text.trim_end_matches(['.', ',']).strip_suffix(')').and_then(|t| t.split_once('('));
        inner.map_or_else(|| text.trim_end_matches('.').to_owned(), |(_, size)| size.to_owned())
    };
    Some(format!("a size of {} meets one of {}, and they must be the same", size(a), size(b)))
}

/// The node in a sentence: `#12 "name" Operator`, `node "name", ..` or `Building node name (Operator)`.
fn named(sentence: &str, operators: &Operators) -> Option<(String, String)> {
    if let Some(rest) = sentence.strip_prefix("Building node ") {
        let (name, operator) = rest.split_once(" (")?;
        return Some((name.to_owned(), operator.trim_end_matches(')').to_owned()));
    }
    let (_, rest) = sentence.split_once('"')?;
    let (name, rest) = rest.split_once('"')?;
    let operator = rest.trim_start_matches(',').split_whitespace().next().unwrap_or("?");
    Some((original(name, operators).to_owned(), operator.to_owned()))
}

/// tract's rewrites append to names (`conv1.bias`): the longest beginning that the file knows is the node.
fn original<'a>(name: &'a str, operators: &Operators) -> &'a str {
    let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
    ends.map(|at| &name[..at]).rfind(|n| operators.contains_key(*n)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_node_is_to_blame() {
        let operators = Operators::from([("a.conv".into(), "Conv".into()), ("s".into(), "Squeeze".into())]);
        let says = |sentences: &[&str]| {
            let chain: Vec<String> = sentences.iter().map(|s| s.to_string()).collect();
            blame(&chain, &operators).map(|b| format!("{} {}: {}", b.operator, b.node, b.message))
        };
        let said = says(&["Failed analyse for node #3 \"s\" Squeeze13", "Wiring node \"a.conv.bias\", Add", "no"]);
        assert_eq!(said.as_deref(), Some("Conv a.conv: no"));
        assert_eq!(says(&["Building node x (If)", "no body"]).as_deref(), Some("If x: no body"));
        assert_eq!(says(&["whatever"]), None);
    }

    #[test]
    fn sizes_that_do_not_fit_are_said_in_plain_words() {
        let root = |words: &str| root(&[words.to_owned()]);
        assert_eq!(
            root("Impossible to unify Val(16) with Val(3)."),
            "a size of 16 meets one of 3, and they must be the same"
        );
        assert_eq!(
            root("Impossible to unify Sym(n) with Val(3)"),
            "a size of n meets one of 3, and they must be the same"
        );
        assert_eq!(root("Impossible to unify"), "Impossible to unify");
    }
}
