//! A place in the text, and the tokens that may stand there.
//!
//! There is no separate lexer: a name, a dimension and a number are made of different characters, and which of them is
//! meant is known only where it is expected.

use super::super::print::{is_name_char, is_name_start};
use super::ParseError;

/// A place in the text.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest().trim_start();
            self.at = self.text.len() - rest.len();
            if !rest.starts_with('#') || hash_digits(rest).is_some() {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    /// Where the next token begins.
    pub(super) fn place(&mut self) -> usize {
        self.skip();
        self.at
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.place() == self.text.len()
    }

    /// Whether the next token begins like this.
    pub(super) fn sees(&mut self, token: &str) -> bool {
        self.skip();
        self.rest().starts_with(token)
    }

    /// Takes the token, if it is next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.sees(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    /// Characters from here on of which this holds; maybe none.
    pub(super) fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// A name that is not quoted.
    pub(super) fn bare(&mut self) -> Option<&'a str> {
        self.skip();
        self.rest().starts_with(is_name_start).then(|| self.take(is_name_char))
    }

    /// Takes a word, if it is next and ends where a name would.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.skip();
        let found = self.clone().bare() == Some(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// A hash: `#` and up to 16 hexadecimal digits.
    pub(super) fn hash(&mut self) -> Option<u64> {
        self.skip();
        let digits = hash_digits(self.rest())?;
        self.at += 1 + digits.len();
        u64::from_str_radix(digits, 16).ok()
    }

    /// Hexadecimal digits in parentheses: opaque bytes.
    pub(super) fn opaque(&mut self) -> Result<Vec<u8>, ParseError> {
        self.expect("(")?;
        let at = self.place();
        let digits = self.take(|c| c.is_ascii_hexdigit()).as_bytes();
        let (pairs, odd) = digits.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(self.error(at, "expected two hexadecimal digits for each byte, found an odd number".into()));
        }
        self.expect(")")?;
        Ok(pairs.iter().map(|&[high, low]| nibble(high) << 4 | nibble(low)).collect())
    }

    /// A text in quotes, as bytes; `None` if the next token is none.
    pub(super) fn quoted(&mut self) -> Result<Option<Vec<u8>>, ParseError> {
        let start = self.place();
        if !self.eat("\"") {
            return Ok(None);
        }
        let mut out = Vec::new();
        let mut chars = self.rest().char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(Some(out));
                }
                '\\' => {
                    let escape = &self.rest()[i + 1..];
                    let Some(length) = unescape(escape, &mut out) else {
                        return Err(
                            self.error(self.at + i, "expected an escape like `\\n`, `\\x1f` or `\\u{1f}`".into())
                        );
                    };
                    // All escapes are ASCII.
                    (0..length).for_each(|_| _ = chars.next());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(self.error(start, "expected a closing quote".into()))
    }

    /// A text in quotes that is UTF-8.
    pub(super) fn string(&mut self) -> Result<Option<String>, ParseError> {
        let start = self.place();
        let Some(bytes) = self.quoted()? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| self.error(start, "expected a text in UTF-8".into()))
    }

    /// An error at the next token: this was expected, and something else is there.
    pub(super) fn expected(&mut self, what: &str) -> ParseError {
        let at = self.place();
        let found: String = match self.rest().chars().next() {
            None => "the end of the text".into(),
            Some(c) if is_name_char(c) => {
                let word: String = self.rest().chars().take_while(|&c| is_name_char(c)).take(40).collect();
                format!("`{word}`")
            }
            Some(c) => format!("`{}`", c.escape_default()),
        };
        self.error(at, format!("expected {what}, found {found}"))
    }

    pub(super) fn error(&self, at: usize, what: String) -> ParseError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.matches('\n').count() + 1;
        ParseError { line, column: before[line_start..].chars().count() + 1, what }
    }
}

/// The digits of a hash, if the text begins with one. Otherwise a `#` begins a comment.
fn hash_digits(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('#')?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    let ends_there = !digits[end..].starts_with(|c| is_name_char(c) || c == '#');
    ((1..=16).contains(&end) && ends_there).then_some(&digits[..end])
}

fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

/// Appends what an escape stands for, and says how long it is without its backslash.
fn unescape(escape: &str, out: &mut Vec<u8>) -> Option<usize> {
    let first = escape.chars().next()?;
    let byte = match first {
        '"' | '\\' | '\'' => first as u8,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '0' => 0,
        'x' => {
            let digits = escape.get(1..3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(3);
        }
        'u' => {
            let (digits, _) = escape.strip_prefix("u{")?.split_once('}')?;
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(digits.len() + 3);
        }
        _ => return None,
    };
    out.push(byte);
    Some(1)
}
