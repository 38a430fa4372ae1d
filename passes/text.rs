//! The text of a pipeline.
//!
//! ```text
//! pipeline = [step ("," step)*]
//! step     = "fix" "(" pipeline ")" | name ["{" (key "=" value)* "}"]
//! value    = anything but spaces, braces, brackets, quotes and commas, or in quotes, with \" and \\
//! ```
//!
//! Spaces between the parts do not matter; what is printed has them in one way only.

use super::options::Setting;
use std::fmt;

/// What is wrong with a pipeline's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct SyntaxError {
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there, in words.
    pub what: String,
}

impl SyntaxError {
    pub(super) fn new(text: &str, at: usize, what: impl Into<String>) -> SyntaxError {
        SyntaxError { column: text[..at].chars().count() + 1, what: what.into() }
    }
}

/// A step as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Pass { name: String, settings: Vec<Setting>, at: usize },
    Fix(Vec<Words>),
}

/// `fix` may be nested no deeper than this: each level runs what is inside it twice at least where anything changes, so
/// that a text of sixteen would go on for hours.
const DEPTH: usize = 4;

/// Reads a pipeline's text, without asking which passes there are.
pub(super) fn parse(text: &str) -> Result<Vec<Words>, SyntaxError> {
    let mut reader = Reader { text, at: 0 };
    let steps = reader.steps(0)?;
    match reader.peek() {
        None => Ok(steps),
        Some(c) => Err(reader.error(format!("expected \",\" or the end, not {c:?}"))),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn error(&self, what: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, self.at, what)
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        self.at += self.text[self.at..].len() - self.text[self.at..].trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), SyntaxError> {
        if self.eat(wanted) {
            return Ok(());
        }
        let found = self.peek().map_or("the end".into(), |c| format!("{c:?}"));
        Err(self.error(format!("expected {wanted:?}, not {found}")))
    }

    fn word(&mut self, what: &str) -> Result<String, SyntaxError> {
        let found = self.peek();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            let found = found.map_or("the end".into(), |c| format!("{c:?}"));
            return Err(self.error(format!("expected {what}, not {found}")));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn steps(&mut self, depth: usize) -> Result<Vec<Words>, SyntaxError> {
        let mut steps = vec![];
        if matches!(self.peek(), None | Some(')')) {
            return Ok(steps);
        }
        loop {
            steps.push(self.step(depth)?);
            if !self.eat(',') {
                return Ok(steps);
            }
        }
    }

    fn step(&mut self, depth: usize) -> Result<Words, SyntaxError> {
        self.peek();
        let at = self.at;
        let name = self.word("the name of a pass")?;
        if name == "fix" {
            if depth == DEPTH {
                return Err(self.error("fix(…) is nested too deep"));
            }
            self.expect('(')?;
            let steps = self.steps(depth + 1)?;
            self.expect(')')?;
            return Ok(Words::Fix(steps));
        }
        let mut settings = vec![];
        if self.eat('{') {
            while !self.eat('}') {
                self.peek();
                let at = self.at;
                let key = self.word("an option or \"}\"")?;
                self.expect('=')?;
                settings.push(Setting { key, value: self.value()?, at });
            }
        }
        Ok(Words::Pass { name, settings, at })
    }

    fn value(&mut self) -> Result<String, SyntaxError> {
        if self.peek() != Some('"') {
            return self.word("a value");
        }
        let mut value = String::new();
        let mut chars = self.text[self.at..].char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(value);
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        Err(self.error("the quotes that begin here do not end"))
    }
}

fn is_word(c: char) -> bool {
    !c.is_whitespace() && !"{}()[],=\"".contains(c)
}

/// Prints steps as they are read.
pub(super) fn print(steps: &[Words], f: &mut fmt::Formatter) -> fmt::Result {
    for (i, step) in steps.iter().enumerate() {
        f.write_str(if i > 0 { "," } else { "" })?;
        match step {
            Words::Fix(steps) => {
                f.write_str("fix(")?;
                print(steps, f)?;
                f.write_str(")")?;
            }
            Words::Pass { name, settings, at: _ } => {
                f.write_str(name)?;
                let pairs: Vec<String> = settings.iter().map(|s| format!("{}={}", s.key, quoted(&s.value))).collect();
                if !pairs.is_empty() {
                    write!(f, "{{{}}}", pairs.join(" "))?;
                }
            }
        }
    }
    Ok(())
}

fn quoted(value: &str) -> String {
    if !value.is_empty() && value.chars().all(is_word) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The name that a misspelt one was most likely meant to be.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = names.map(|n| (edits(wrong, n), n)).min()?;
    (distance <= 1 + name.chars().count() / 3).then_some(name)
}

/// How many characters have to be added, removed or replaced to make one word the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Shown<'a>(&'a [Words]);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            print(self.0, f)
        }
    }

    /// Where a word stood is no part of what it says.
    fn without_places(steps: Vec<Words>) -> Vec<Words> {
        let step = |step| match step {
            Words::Fix(steps) => Words::Fix(without_places(steps)),
            Words::Pass { name, settings, .. } => {
                let settings = settings.into_iter().map(|s| Setting { at: 0, ..s }).collect();
                Words::Pass { name, settings, at: 0 }
            }
        };
        steps.into_iter().map(step).collect()
    }

    fn step() -> impl Strategy<Value = Words> {
        let setting = ("[a-z-]{1,5}", any::<String>()).prop_map(|(key, value)| Setting { key, value, at: 0 });
        let pass = ("[a-eg-z][a-z-]{0,6}", prop::collection::vec(setting, 0..3));
        let pass = pass.prop_map(|(name, settings)| Words::Pass { name, settings, at: 0 });
        pass.prop_recursive(3, 12, 3, |step| prop::collection::vec(step, 0..3).prop_map(Words::Fix))
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(steps in prop::collection::vec(step(), 0..4)) {
            let text = Shown(&steps).to_string();
            prop_assert_eq!(without_places(parse(&text).unwrap()), steps);
        }

        #[test]
        fn no_text_panics(text in "[a-c{}()=, \"\\\\é]{0,20}") {
            _ = parse(&text);
        }
    }

    #[test]
    fn spelling_is_forgiven_within_reason() {
        assert_eq!(nearest("fold-bnn", ["dce", "fold-bn"].into_iter()), Some("fold-bn"));
        assert_eq!(nearest("quantize", ["dce", "fold-bn"].into_iter()), None);
    }
}
